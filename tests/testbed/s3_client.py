"""The smallest S3 client that can look behind the product: every key as it is, buckets, versions, notifications.

In:  a server on the loopback address and its root user. Out: what the server says, errors as `S3Error`.
Not here: anything the product uses. The signature is AWS's version 4, of headers
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote, quote_from_bytes

_REGION = "us-east-1"


class S3Error(Exception):
    """The server answered with an error. code: as in its body, or the status."""

    def __init__(self, code: str, body: str) -> None:
        super().__init__(body)
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """headers: names in lower case."""

    body: bytes
    headers: dict[str, str]

    @property
    def etag(self) -> str:
        """Return the ETag without its quotes, as events have it."""
        return self.headers["etag"].strip('"')


@dataclass(frozen=True, slots=True)
class S3Client:
    """Ask one server, one connection per request."""

    port: int
    access_key: str
    secret_key: str

    def make_bucket(self, bucket: str) -> None:
        self.ask("PUT", bucket)

    def remove_bucket(self, bucket: str) -> None:
        self.ask("DELETE", bucket)

    def keep_versions(self, bucket: str) -> None:
        self._set_versioning(bucket, "Enabled")

    def suspend_versions(self, bucket: str) -> None:
        self._set_versioning(bucket, "Suspended")

    def announce(self, bucket: str, target: str, prefix: str, kind: str = "webhook") -> None:
        """Have new objects below the prefix told to the target of this name and kind, and to no other."""
        self.announce_to_all(bucket, [(target, kind)], prefix)

    def announce_to_all(self, bucket: str, targets: Sequence[tuple[str, str]], prefix: str) -> None:
        """Have new objects below the prefix told to all these targets, each a name and its kind."""
        rule = f"<FilterRule><Name>prefix</Name><Value>{prefix}</Value></FilterRule>"
        rules = "".join(
            f"<QueueConfiguration><Queue>arn:minio:sqs::{name}:{kind}</Queue><Event>s3:ObjectCreated:*</Event>"
            f"<Filter><S3Key>{rule}</S3Key></Filter></QueueConfiguration>"
            for name, kind in targets
        )
        body = f"<NotificationConfiguration>{rules}</NotificationConfiguration>"
        self.ask("PUT", bucket, query={"notification": ""}, body=body.encode())

    def put(self, bucket: str, key: bytes, content: bytes, modified: datetime | None = None) -> Answer:
        """Put an object. modified: when it says that this was, if not now, as a copy made by replication does."""
        told = {} if modified is None else {"x-minio-source-mtime": modified.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        return self.ask("PUT", bucket, key, body=content, headers=told)

    def get(self, bucket: str, key: bytes) -> Answer | None:
        """Return an object, None if there is none."""
        try:
            return self.ask("GET", bucket, key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise

    def keys(self, bucket: str) -> list[str]:
        """Return the keys in a bucket."""
        return list(self.etags(bucket))

    def etags(self, bucket: str, prefix: str = "") -> dict[str, str]:
        """Return the ETag of each object in a bucket; of one that was put in one piece it is the MD5 of its content."""
        found: dict[str, str] = {}
        query = {"list-type": "2", "prefix": prefix}
        while True:
            page = self.ask("GET", bucket, query=dict(sorted(query.items()))).body.decode()
            for key, etag in re.findall("<Key>(.*?)</Key>.*?<ETag>(.*?)</ETag>", page, re.DOTALL):
                found[unescape(key)] = unescape(etag).strip('"')
            more = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", page)
            if more is None:
                return found
            query["continuation-token"] = unescape(more[1])

    def remove(self, bucket: str, key: bytes) -> None:
        self.ask("DELETE", bucket, key)

    def ask(
        self,
        method: str,
        bucket: str,
        key: bytes = b"",
        query: dict[str, str] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request. Raises S3Error."""
        path = f"/{bucket}" + (f"/{quote_from_bytes(key, safe='/-_.~')}" if key else "")
        asked = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in (query or {}).items()
        )
        headers = {**(headers or {}), **self._signed(method, path, asked, body)}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, f"{path}?{asked}" if asked else path, body, headers)
            response = connection.getresponse()
            content = response.read()
        if response.status >= 300:
            text = content.decode(errors="replace")
            code = re.search(r"<Code>(\w+)</Code>", text)
            raise S3Error(code[1] if code else str(response.status), text)
        return Answer(content, {name.lower(): value for name, value in response.getheaders()})

    def _set_versioning(self, bucket: str, status: str) -> None:
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        self.ask("PUT", bucket, query={"versioning": ""}, body=body.encode())

    def _signed(self, method: str, path: str, query: str, body: bytes) -> dict[str, str]:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {
            "host": f"127.0.0.1:{self.port}",
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
            "x-amz-date": moment,
        }
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = "\n".join([method, path, query, lines, names, headers["x-amz-content-sha256"]])
        scope = f"{moment[:8]}/{_REGION}/s3/aws4_request"
        key = f"AWS4{self.secret_key}".encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers
