"""What obstore's errors mean, in words of ours: the one place where they are read.

In:  an error of obstore, the host it is about. Out: an error of the storage port with one sentence for a person.
Not here: whose failure it is (failures.py), when to try again.

obstore's text ends in a dump of its source, over many lines and with the whole request's address; a person gets what
the store itself said, or why it could not be asked. The whole text stays in `__cause__`.
"""

from __future__ import annotations

import re

from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from oscar_supervisor.storage.port import (
    BucketMissingError,
    InputUnusableError,
    StorageFullError,
    StorageUnavailableError,
)

# Codes of the S3 protocol and MinIO's own (github.com/minio/minio, cmd/api-errors.go).
_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})
_FULL = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"})
_ADVICE = {
    "NoSuchBucket": "the bucket must be made, or `endpoint` and the service's path be mended",
    "AccessDenied": "the provider's user needs the right to this bucket",
    "InvalidAccessKeyId": "the provider's `access_key` must be mended",
    "SignatureDoesNotMatch": "the provider's `secret_key` must be mended",
    "InvalidTokenId": "the provider's `session_token` must be mended",
    "AuthorizationHeaderMalformed": "the provider's `region` must be mended",
    "RequestTimeTooSkewed": "the clock of this machine or of the store must be set",
}
_CODE = re.compile(r"<Code>(\w{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_STATUS = re.compile(r"non-2xx status code: (\d{3}[ \w]*)")
# The last link of the environment's chain of credentials is the machine's own metadata service; an error that is about
# that one says that no earlier link had any.
_NO_CREDENTIALS = re.compile(r"Error performing \w+ http://169\.254\.169\.254/")
# In the order in which they are looked for: what is found first says most.
_CAUSES = (
    (re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)"), "its certificate is not trusted ({})"),
    (re.compile(r"InvalidContentType"), "it does not speak TLS; `endpoint` may have to begin with http://"),
    (re.compile(r'lookup address information: ([^"]{1,100})"'), "its name cannot be looked up: {}"),
    (re.compile(r'message: "([^"]{1,100})"'), "{}"),
    (re.compile(r"TimedOut"), "it did not answer in time"),
    (re.compile(r"HTTP error: ([^\n]{1,100})"), "{}"),
)


def translated(error: BaseError | FileNotFoundError, host: str, name: str) -> Exception:
    """Return the error to raise instead, to be chained to this one; itself if it is about a local file.

    name: what was asked for, as BUCKET/KEY.
    """
    if isinstance(error, OSError) and error.errno is not None:  # of a local file; obstore's has none
        return error
    text = str(error)
    code = _first(_CODE, text)
    if isinstance(error, PreconditionError):
        return replaced(name)
    if code in _GONE:
        return InputUnusableError(f"the input {name} is gone")
    what = f"{name}: {host} {_what_it_said(text, code)}"
    if code in _FULL:
        return StorageFullError(what)
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    advice = _ADVICE.get(code) or ("the provider's keys and their rights must be looked at" if refused else "")
    kind = BucketMissingError if code == "NoSuchBucket" else StorageUnavailableError
    return kind(f"{what}; {advice}" if advice else what)


def replaced(name: str) -> InputUnusableError:
    """Return the error for an input that is not the version of its event any more."""
    return InputUnusableError(f"the input {name} was replaced after the event; the newer version has its own event")


def _what_it_said(text: str, code: str) -> str:
    if _NO_CREDENTIALS.search(text):
        return "cannot be asked: the environment holds no credentials for it"
    if code:
        return f"said {code}: {_first(_MESSAGE, text)}".rstrip(": .")
    if status := _first(_STATUS, text):
        return f"said {status.strip()}"
    for pattern, sentence in _CAUSES:
        if found := pattern.search(text):
            return f"cannot be asked: {sentence.format(*found.groups())}"
    return f"failed: {text.partition(chr(10))[0][:300]}"


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
