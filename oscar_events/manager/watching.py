"""What MinIO tells of a bucket, and to whom: the rules of its notifications, ours beside everybody's.

In:  a provider's settings, buckets, the folders that services take inputs from. Out: rules at the server, or what would
be changed.
Not here: the targets themselves, which the server has from its start (minio_targets.py), receiving (oscar_ingest).

Rules name targets that the server knows; to add, change or take away a rule restarts nothing. S3 has no way to change
one rule: all of a bucket are read and written together, so two that do so in the same instant may undo each other. What
we write is read again; others' rules are given back as they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from miniopy_async.api import Minio
from miniopy_async.notificationconfig import (
    NotificationConfig,
    PrefixFilterRule,
    QueueConfig,
    SuffixFilterRule,
)

from oscar_events.errors import ConflictError
from oscar_events.matching import Folder
from oscar_events.minio_client import minio_client, telling
from oscar_events.notifications.minio import event_names

# What the ids of our rules begin with: nobody else's are changed or taken away.
MARK = "oscar-events-"


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """That events of these names, of keys with this prefix and suffix, are told to a target. identity: its id there."""

    target: str
    prefix: str
    suffix: str
    events: tuple[str, ...]
    identity: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether an oscar-events made it."""
        return self.identity.startswith(MARK)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the rules of a bucket. kept: of ours, those that are right already."""

    bucket: str
    added: tuple[Rule, ...] = ()
    removed: tuple[Rule, ...] = ()
    kept: tuple[Rule, ...] = ()

    def view(self) -> list[dict[str, Any]]:
        """Return it as JSON, a line per rule."""
        done = (("added", self.added), ("removed", self.removed), ("unchanged", self.kept))
        return [{"change": change, **view(self.bucket, rule)} for change, rules in done for rule in rules]


def view(bucket: str, rule: Rule) -> dict[str, Any]:
    """Return a rule as JSON."""
    return {
        "bucket": bucket,
        "prefix": rule.prefix,
        "suffix": rule.suffix,
        "events": list(rule.events),
        "target": rule.target,
        "ours": rule.is_ours,
    }


def wanted_rules(folders: Iterable[Folder], targets: Iterable[str]) -> list[Rule]:
    """Return a rule per folder and target; none where MinIO has no event for what is wanted."""
    rules = []
    for folder in folders:
        events = event_names(folder.actions)
        for target in targets:
            if events:
                name = hashlib.sha256(f"{_place(target)}\n{folder.prefix}".encode()).hexdigest()[:16]
                rules.append(Rule(target, folder.prefix, "", events, f"{MARK}{name}"))
    return rules


def change(bucket: str, present: Sequence[Rule], wanted: Sequence[Rule], targets: Iterable[str]) -> Change:
    """Return how ours, as far as they name one of the targets, become those wanted; nobody else's are touched.

    targets: with or without their region, which the server puts in by itself.
    """
    places = {_place(target) for target in targets}
    ours = [rule for rule in present if rule.is_ours and _place(rule.target) in places]
    before, after = {_meaning(rule): rule for rule in ours}, {_meaning(rule): rule for rule in wanted}
    return Change(
        bucket,
        added=tuple(rule for meaning, rule in after.items() if meaning not in before),
        removed=tuple(rule for rule in ours if _meaning(rule) not in after or before[_meaning(rule)] is not rule),
        kept=tuple(rule for meaning, rule in before.items() if meaning in after),
    )


def covers(rules: Iterable[Rule], folder: Folder) -> bool:
    """Tell whether all that is wanted of a folder is told to somebody, as far as rules say so."""
    told = {
        name
        for rule in rules
        if folder.prefix.startswith(rule.prefix) and not rule.suffix
        for name in event_names(folder.actions)
        if name in rule.events or f"{name.rpartition(':')[0]}:*" in rule.events
    }
    return told == set(event_names(folder.actions))


class Watching:
    """The notifications of one MinIO. Open it with `watching`."""

    def __init__(self, client: Minio, host: str) -> None:
        self._client, self._host = client, host

    async def buckets(self) -> list[str]:
        """Return the names of all buckets the user of these keys sees."""
        with telling(f"listing the buckets of {self._host}", "s3:ListAllMyBuckets"):
            return sorted(bucket.name for bucket in await self._client.list_buckets())

    async def rules(self, bucket: str) -> list[Rule]:
        """Return all rules of a bucket. Raises as `minio_client.telling`."""
        with telling(self._doing("reading", bucket), "s3:GetBucketNotification"):
            present = await self._client.get_bucket_notification(bucket)
        return [_rule(queue) for queue in present.queue_config_list or []]

    async def carry_out(self, planned: Change) -> None:
        """Change the bucket's rules. Raises as `minio_client.telling`, ConflictError if somebody undid it meanwhile."""
        if not planned.added and not planned.removed:
            return
        gone = set(planned.removed)
        rules = [rule for rule in await self.rules(planned.bucket) if rule not in gone]
        queues = [_queue(rule) for rule in (*rules, *planned.added)]
        with telling(self._doing("setting", planned.bucket), "s3:PutBucketNotification"):
            await self._client.set_bucket_notification(planned.bucket, NotificationConfig(queue_config_list=queues))
        present = {_meaning(rule) for rule in await self.rules(planned.bucket) if rule.is_ours}
        if not present.issuperset(_meaning(rule) for rule in planned.added):
            raise ConflictError(
                f"bucket {planned.bucket}: somebody else changed its notifications in the same moment; run it again"
            )

    def _doing(self, what: str, bucket: str) -> str:
        return f"{what} the notifications of bucket {bucket} at {self._host}"


@asynccontextmanager
async def watching(settings: Mapping[str, str]) -> AsyncIterator[Watching]:
    """Yield the notifications of the provider with these settings."""
    async with minio_client(settings) as client:
        yield Watching(client, urlsplit(settings.get("endpoint", "")).netloc)


def _place(target: str) -> str:
    """Return an ARN without its region: the server writes its own into those that have none."""
    parts = target.split(":")
    return ":".join([*parts[:3], "", *parts[4:]]) if len(parts) > 4 else target


def _meaning(rule: Rule) -> tuple[str, str, str, frozenset[str]]:
    return _place(rule.target), rule.prefix, rule.suffix, frozenset(rule.events)


def _rule(queue: QueueConfig) -> Rule:
    return Rule(
        queue.queue,
        queue.prefix_filter_rule.value if queue.prefix_filter_rule else "",
        queue.suffix_filter_rule.value if queue.suffix_filter_rule else "",
        tuple(queue.events),
        queue.config_id or "",
    )


def _queue(rule: Rule) -> QueueConfig:
    return QueueConfig(
        rule.target,
        list(rule.events),
        rule.identity or None,
        PrefixFilterRule(rule.prefix) if rule.prefix else None,
        SuffixFilterRule(rule.suffix) if rule.suffix else None,
    )
