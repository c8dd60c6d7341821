"""A notification as MinIO writes it, for what no MinIO told of: scripts look for its shape in EVENT.

In:  where an object is, when it came, what is known of it. Out: the document.
Not here: what is known of a file (folder_record.py) or of a listed object (listings/s3.py).

Source of the shape: reference/event-formats.md §2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote_plus

from oscar_events.codec import iso

NAME = "s3:ObjectCreated:Put"


def minio_document(bucket: str, key: bytes, time: datetime, details: Mapping[str, object]) -> dict[str, object]:
    """Return the document. details: further members of `object`; those that are None are left out.

    `Records[0].s3.object.key` is exact. `Key` is text for people: what is not UTF-8 in it is replaced, as MinIO does.
    """
    known = {member: value for member, value in details.items() if value is not None}
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": iso(time),
        "eventName": NAME,
        "userIdentity": {"principalId": ""},
        "requestParameters": {"principalId": "", "region": "", "sourceIPAddress": ""},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": ""},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {"key": quote_plus(key), **known},
        },
        "source": {"host": "", "port": "", "userAgent": "oscar-events"},
    }
    return {"EventName": NAME, "Key": f"{bucket}/{key.decode(errors='replace')}", "Records": [record]}
