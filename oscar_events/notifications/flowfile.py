"""NiFi's FlowFiles: packages of attributes and content, and what ListS3 tells by attributes alone.

In:  a body of media type application/flowfile-v3; or attributes. Out: each content with its attributes as headers, to
     be read; the event of an object that was listed.
Not here: NiFi's other roads, which are plain requests and records. Source: reference/event-formats.md §7.3, §7.5.
"""

from __future__ import annotations

from collections.abc import Iterator

from oscar_events.errors import EventError
from oscar_events.event import StorageEvent
from oscar_events.notifications import s3
from oscar_events.notifications.fields import Document, optional_text, since_1970, text, whole_number
from oscar_events.notifications.keys import KeyEncoding, decode_key
from oscar_events.notifications.part import Ignored, Part
from oscar_events.notifications.strict_json import dump

MEDIA_TYPE = "application/flowfile-v3"
_MAGIC = b"NiFiFF3"
_LONG = 0xFFFF  # a number that needs four bytes follows


class _Bytes:
    """Reads a body from its beginning; nothing is taken that is not there, whatever a length claims."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._body)

    def take(self, length: int, what: str) -> bytes:
        left = len(self._body) - self._at
        if length > left:
            raise EventError(f"FlowFile: {what} of {length} bytes at byte {self._at}, where {left} are left")
        self._at += length
        return self._body[self._at - length : self._at]

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "big")

    def length(self, what: str) -> int:
        short = self.number(2, what)
        return self.number(4, what) if short == _LONG else short

    def text(self, what: str) -> str:
        try:
            return self.take(self.length(what), what).decode()
        except UnicodeDecodeError as error:
            raise EventError(f"FlowFile: {what} is not UTF-8") from error


def packages(part: Part) -> Iterator[Part]:
    """Yield the content of each package, named by its `uuid`. Raises EventError where the layout is broken."""
    body = _Bytes(part.body)
    index = 0
    while not body.is_at_end or index == 0:
        if body.take(len(_MAGIC), "the beginning") != _MAGIC:
            raise EventError(f"FlowFile: package {index} does not begin with {_MAGIC.decode()}")
        attributes = {}
        for _ in range(body.length("the number of attributes")):
            name = body.text("an attribute's name").lower()
            attributes[name] = body.text("an attribute's value")
        content = body.take(body.number(8, "the content's length"), "the content")
        if "mime.type" in attributes:
            attributes["content-type"] = attributes["mime.type"]
        yield part.inside(content, index=index, headers=attributes)
        index += 1


def is_listing(attributes: Document) -> bool:
    """Whether these are attributes of ListS3, or of AttributesToJSON behind it: an object's notification (§7.5)."""
    return "s3.bucket" in attributes and "filename" in attributes


def listed(part: Part, attributes: Document) -> StorageEvent | Ignored:
    """Return the event of an object that ListS3 found; EVENT is what its store would have sent.

    On MinIO the id is that of its own notification; on others, whose notifications name no time of the version, only
    where the object has a version.
    """
    attributes = {name.lower(): value for name, value in attributes.items()}
    bucket = text(attributes, "s3.bucket")
    key = decode_key(text(attributes, "filename"), part.route.key_encoding or KeyEncoding.NONE)
    milliseconds = whole_number(attributes, "s3.lastmodified")
    if milliseconds is None:
        raise EventError("s3.lastModified is missing")
    is_minio = part.route.provider.partition(".")[0] == "minio"
    record = s3.aws_record(
        "ObjectCreated:Put",
        bucket,
        key,
        since_1970(milliseconds / 1000, "s3.lastModified"),
        {
            "size": whole_number(attributes, "s3.length"),
            "eTag": optional_text(attributes, "s3.etag"),
            "versionId": optional_text(attributes, "s3.version"),
            "sequencer": f"{milliseconds * 10**6:X}" if is_minio else None,
        },
        sender=s3.MINIO if is_minio else s3.AWS,
        region=optional_text(attributes, "s3.region") or "",
    )
    document = {"Records": [record]}
    return s3.record_event(part, document, record, dump(document), key)
