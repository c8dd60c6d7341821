"""A service: what a user defines in a service file, as a model.

In:  a service document in any spelling OSCAR's clients use. Out: the names below.
Not here: files (fdl.py), which events start a service (matching/).

`respelled(document, Service)` then `Service.model_validate(...)` is `Service.from_document` in two steps, for callers
that must know where something was written and what the author must be told.
"""

from oscar_events.service.block import SECRET_REFERENCE
from oscar_events.service.dispatch import Dispatch, Filters, RetrySettings
from oscar_events.service.environment import Environment
from oscar_events.service.model import CONFIDENTIAL, LOG_LEVELS, Service
from oscar_events.service.not_done import ignored_here
from oscar_events.service.oscar_json import Standing, oscar_document
from oscar_events.service.spelling import respelled, unknown_keys
from oscar_events.service.storage import StorageIO

__all__ = [
    "CONFIDENTIAL",
    "LOG_LEVELS",
    "SECRET_REFERENCE",
    "Dispatch",
    "Environment",
    "Filters",
    "RetrySettings",
    "Service",
    "Standing",
    "StorageIO",
    "ignored_here",
    "oscar_document",
    "respelled",
    "unknown_keys",
]
