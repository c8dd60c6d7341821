"""What obstore's errors become. Those a real server can be brought to are in tests/integration."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, PreconditionError

from oscar_events.job import FailureClass
from oscar_supervisor import failures
from oscar_supervisor.storage.s3_errors import translated

ANSWER = "Generic S3 error: Error performing PUT http://h:1/b/k in 5ms - Server returned non-2xx status code: "


def body(code: str, message: str) -> str:
    return f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>\n\nDebug source: ..."


@pytest.mark.parametrize(
    ("error", "failure", "said"),
    [
        (
            GenericError(ANSWER + "507 Insufficient Storage: " + body("XMinioStorageFull", "Storage backend is full.")),
            FailureClass.RESOURCE,
            "b/k: h:1 said XMinioStorageFull: Storage backend is full",
        ),
        (
            GenericError(
                ANSWER + "400 Bad Request: " + body("XMinioAdminBucketQuotaExceeded", "Bucket quota exceeded")
            ),
            FailureClass.RESOURCE,
            "b/k: h:1 said XMinioAdminBucketQuotaExceeded: Bucket quota exceeded",
        ),
        (
            GenericError(ANSWER + "503 Service Unavailable: \n\nDebug source: ..."),
            FailureClass.INFRASTRUCTURE,
            "b/k: h:1 said 503 Service Unavailable",
        ),
        (
            PermissionDeniedError(ANSWER + "403 Forbidden: " + body("AccessDenied", "Access Denied.")),
            FailureClass.INFRASTRUCTURE,
            "b/k: h:1 said AccessDenied: Access Denied; the provider's user needs the right to this bucket",
        ),
        (
            PermissionDeniedError(ANSWER + "403 Forbidden: "),
            FailureClass.INFRASTRUCTURE,
            "b/k: h:1 said 403 Forbidden; the provider's keys and their rights must be looked at",
        ),
        (
            GenericError("Generic S3 error: what nobody foresaw\n\nDebug source: Generic { secret }"),
            FailureClass.INFRASTRUCTURE,
            "b/k: h:1 failed: Generic S3 error: what nobody foresaw",
        ),
        (
            GenericError("Generic S3 error: x - HTTP error: error sending request\n\nDebug: kind: Timeout, TimedOut"),
            FailureClass.INFRASTRUCTURE,
            "b/k: h:1 cannot be asked: it did not answer in time",
        ),
        (
            GenericError(
                "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1ms - HTTP error"
            ),
            FailureClass.INFRASTRUCTURE,
            "b/k: h:1 cannot be asked: the environment holds no credentials for it",
        ),
        (
            PreconditionError("Request precondition failure for path k: ..."),
            FailureClass.PERMANENT,
            "the input b/k was replaced after the event; the newer version has its own event",
        ),
        (
            FileNotFoundError(ANSWER + "404 Not Found: " + body("NoSuchVersion", "The version does not exist.")),
            FailureClass.PERMANENT,
            "the input b/k is gone",
        ),
    ],
)
def test_an_error_becomes_one_sentence_and_a_class(
    error: GenericError | FileNotFoundError, failure: FailureClass, said: str
) -> None:
    ours = translated(error, "h:1", "b/k")
    assert (failures.class_of(ours), failures.sentence(ours)) == (failure, said)


def test_an_error_of_a_local_file_stays_what_it_is() -> None:
    local = FileNotFoundError(2, "No such file or directory")
    assert translated(local, "h:1", "b/k") is local
