"""Why something did or did not run: for one object, what came of each of its events, service by service.

In:  what log and ledger hold of the object, the active services, how the object lies in its folder.
Out: the explanation as plain JSON values.
Not here: reading any of it (journal.py, local_objects.py), how it is printed (cli/why.py). Pure, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from oscar_events.codec import iso
from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.event import Action, StorageEvent
from oscar_events.ledger.services import StoredService
from oscar_events.matching import ActiveService, Aliases, canonical_provider, explain
from oscar_events.service.amounts import quantity

STARTED, WAITING, NOT_STARTED = "started", "waiting", "not started"

_INPUT_MET = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """That a source told of an event, once: it may come by several roads, and again."""

    time: datetime
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the object. event: None if only its runs are left of it. is_waiting: intake has not come to it."""

    identity: str
    event: StorageEvent | None
    arrivals: tuple[Arrival, ...] = ()
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known of an object. runs: as JSON, each with its `service_uid` and `event_id`, newest first.

    told: newest first. services: the active ones of the tenant. has_platform: whether one runs on this directory.
    """

    tenant: str
    bucket: str
    key: bytes
    provider: str
    told: Sequence[Told]
    runs: Sequence[Mapping[str, Any]]
    services: Sequence[StoredService]
    aliases: Aliases = field(default_factory=dict)
    has_platform: bool = True


def explained_events(known: Known) -> list[dict[str, Any]]:
    """Return each event with, per service, what it started or the first condition that failed."""
    return [_event(known, told) for told in known.told]


def explained_services(known: Known, size: int | None = None) -> dict[str, Any]:
    """Return what each service would say of the object if it were created now, for one that no event speaks of.

    size: None if it is not known: then one that asks for a size says of which it would take it.
    """
    near, elsewhere = _near(known, known.bucket)
    answers = []
    for stored in near:
        reasons = _failed_inputs_now(known, stored, size)
        verdict = {"service": stored.service.name, "uid": stored.uid, "takes_it": not reasons}
        bounds = _bounds(stored) if size is None and not reasons else ""
        answers.append({**verdict, "reason": f"if its size is {bounds}" if bounds else "; ".join(reasons)})
    return {"services": answers, "elsewhere": len(elsewhere)}


def _event(known: Known, told: Told) -> dict[str, Any]:
    event = told.event
    runs = [run for run in known.runs if run["event_id"] == told.identity]
    started = [_started(known, uid, runs) for uid in sorted({run["service_uid"] for run in runs})]
    uids = {one["uid"] for one in started}
    if event is None:
        return {"id": told.identity, "seen": [], "services": _by_name(started), "elsewhere": 0}
    near, elsewhere = _near(known, event.bucket, event.service)
    others = [_not_started(known, told, event, stored) for stored in near if stored.uid not in uids]
    return {
        "id": event.id,
        "provider": event.provider,
        "action": event.action.value,
        "reason": event.reason,
        "time": iso(event.time),
        "size": event.size,
        "version": event.version,
        "etag": event.etag,
        "for_service": event.service,
        "seen": [{"time": iso(one.time), "source": one.source, "reason": one.reason} for one in told.arrivals],
        "services": _by_name([*started, *others]),
        "elsewhere": sum(stored.uid not in uids for stored in elsewhere),
    }


def _by_name(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What started something stands first."""
    return sorted(answers, key=lambda one: (one["verdict"] != STARTED, one["service"], one["uid"]))


def _started(known: Known, uid: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    theirs = [run for run in runs if run["service_uid"] == uid]
    is_active = any(stored.uid == uid for stored in known.services)
    return {
        "service": theirs[0]["service"],
        "uid": uid,
        "verdict": STARTED,
        "reason": "" if is_active else "the service was deleted since",
        "runs": theirs,
    }


def _not_started(known: Known, told: Told, event: StorageEvent, stored: StoredService) -> dict[str, Any]:
    reason = _first_failure(known, event, stored)
    verdict = NOT_STARTED
    if reason is None and told.is_waiting:
        state = "intake has not come to it yet" if known.has_platform else "no platform runs that would read it"
        verdict, reason = WAITING, f"the event lies in the log and {state}"
    return {
        "service": stored.service.name,
        "uid": stored.uid,
        "verdict": verdict,
        "reason": reason if reason is not None else _fits(known, event, stored),
        "runs": [],
    }


def _first_failure(known: Known, event: StorageEvent, stored: StoredService) -> str | None:
    """Return the first condition that failed, None if the event fits the service as it is now."""
    if event.service is not None and event.service != stored.service.name:
        return f"the source {event.adapter} is for service {event.service} only"
    if event.has_object:
        reasons = _failed_inputs(known, stored, event.provider, event.action, event.size)
        if reasons:
            return "; ".join(reasons)
    elif event.service is None:
        return "a message without object starts only the service that its source names, and this one names none"
    if event.service_uids and stored.uid not in event.service_uids:
        return "the event was brought again by a listing or a replay, for other services only"
    return None


def _fits(known: Known, event: StorageEvent, stored: StoredService) -> str:
    """Return why an event that fits the service as it is now has no run of it."""
    seen = event.recorded.timestamp() * 1000
    if stored.created_at > seen:
        applied = f"the service was applied after the event, at {_time(stored.created_at)}"
        return f"{applied}: what was there is left alone; {_replay(event, stored)}"
    if stored.updated_at > seen:
        revision = f"revision {stored.revision} of {_time(stored.updated_at)}"
        return f"it fits now, by {revision}; the event came before; {_replay(event, stored)}"
    if _ran_under_newer_time(known, event, stored.uid):
        return "this version of the file had run already, before a tool set its time back"
    return "it fits, and yet there is no run; `oscar-events doctor` says whether the log has a gap"


def _replay(event: StorageEvent, stored: StoredService) -> str:
    """Return the command that runs the event after all, as long as the log holds it."""
    command = f"oscar-events replay --from {iso(event.recorded)} --service {stored.service.name}"
    return f"to run it and what came after: {command}"


def _ran_under_newer_time(known: Known, event: StorageEvent, uid: str) -> bool:
    """Whether the same inode and size ran under a newer time: then it was the same version (design §3.2)."""
    if event.modified_ns is None:
        return False
    same = {
        told.identity
        for told in known.told
        if (other := told.event) is not None
        and (other.provider, other.file_id, other.size) == (event.provider, event.file_id, event.size)
        and (other.modified_ns or 0) > event.modified_ns
    }
    return any(run["service_uid"] == uid and run["event_id"] in same for run in known.runs)


def _failed_inputs(known: Known, stored: StoredService, provider: str, action: Action, size: int | None) -> list[str]:
    """Return per input what failed first; empty if one of them is met."""
    entry = ActiveService(stored.uid, stored.tenant, stored.service)
    reasons = explain(entry, known.tenant, provider, known.bucket, known.key, action, size, known.aliases)
    if _INPUT_MET in reasons:
        return []
    if not reasons:
        return ["it has no input"]
    return reasons if len(reasons) == 1 else [f"input[{index}]: {reason}" for index, reason in enumerate(reasons)]


def _near(known: Known, bucket: str, named: str | None = None) -> tuple[list[StoredService], list[StoredService]]:
    """Return the services with an input in this bucket, or named by the event's source; and all others."""
    near = [
        stored
        for stored in known.services
        if stored.service.name == named or any(place.bucket == bucket for place in stored.service.input)
    ]
    uids = {stored.uid for stored in near}
    return near, [stored for stored in known.services if stored.uid not in uids]


@dataclass(frozen=True, slots=True)
class ObjectState:
    """A local object as it lies there. kind: file | folder | link | other | missing. changed: its ctime, or the move of
    a folder above it. is_written: whether somebody has it open for writing, None if that cannot be known.
    similar: names beside it that are almost the same, for one that is missing. path: where it was looked for.
    """

    path: str
    kind: str
    size: int | None = None
    changed: datetime | None = None
    is_written: bool | None = None
    similar: tuple[str, ...] = ()

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "path": self.path,
            "kind": self.kind,
            "size": self.size,
            "changed": None if self.changed is None else iso(self.changed),
            "is_written": self.is_written,
            "similar": list(self.similar),
        }


def advice(known: Known, state: ObjectState | None, is_hidden: bool, sources: Sequence[str]) -> list[str]:
    """Return what to look at when no event of the object is known, the likeliest first.

    state: of its file, also for a remote object whose bucket has a local directory; None if there is neither. sources:
    of config.yaml, those that speak for its provider.
    """
    said = []
    is_local = canonical_provider(known.provider, known.aliases) == LOCAL_PROVIDER
    size = None if state is None or not is_local else state.size
    covering = [stored for stored in known.services if not _failed_inputs_now(known, stored, size)]
    if state is not None and is_local:
        said += _of_file(state, is_hidden)
        if state.kind == "file" and state.changed is not None:
            said += [_before(stored, since) for stored in covering if (since := _since(known, stored)) > state.changed]
    elif known.provider:
        told_by = ", ".join(sources)
        said.append(
            f"check that the object is there and that its store tells the source {told_by} of it"
            if sources
            else f"no source in config.yaml speaks for {known.provider}: nothing tells the platform of its objects"
        )
        if state is not None and state.similar:
            said += _of_file(state, is_hidden)
    if not covering and (state is None or not is_local or state.kind in ("file", "missing")):
        said.append("no service takes it: see below what each of them asks for, or apply one that does")
    if not known.has_platform:
        said.append("no platform runs on this directory: start it with `oscar-events up`")
    if not said:
        said.append("it should have been seen, or is at the next listing; `oscar-events doctor` says what is wrong")
    return said


def _failed_inputs_now(known: Known, stored: StoredService, size: int | None) -> list[str]:
    """Return per input what would fail now; one that asks for a size that is not known would not."""
    least, most = _sizes(stored)
    assumed = size if size is not None else least or most
    return _failed_inputs(known, stored, known.provider, Action.CREATED, assumed or 0)


def _sizes(stored: StoredService) -> tuple[int | None, int | None]:
    bounds = stored.service.dispatch.filters.size
    return bounds.min, bounds.max


def _bounds(stored: StoredService) -> str:
    """Return the sizes a service takes, as people write them; "" if it takes every size."""
    named = zip(("at least", "at most"), _sizes(stored), strict=True)
    return " and ".join(f"{which} {quantity(size)}" for which, size in named if size is not None)


def _of_file(state: ObjectState, is_hidden: bool) -> list[str]:
    if state.kind == "missing":
        similar = f"; similar: {', '.join(state.similar)}" if state.similar else ""
        return [f"there is no file {state.path}{similar}"]
    if state.kind != "file":
        what = {"folder": "a directory: ask for a file in it", "link": "or lies below a symbolic link: not followed"}
        return [f"{state.path} is {what.get(state.kind, 'no regular file: only those are taken')}"]
    said = []
    if state.is_written:
        said.append("somebody has it open for writing: it is taken when that is closed")
    if is_hidden:
        said.append("its name, or that of a folder above, begins with a dot: it is taken when it was still for 2 s")
    return said


def _before(stored: StoredService, since: datetime) -> str:
    return (
        f"it was there before the input of service {stored.service.name} was applied, at {iso(since)}: such files are "
        "left alone; `touch` it, and it is taken"
    )


def _since(known: Known, stored: StoredService) -> datetime:
    """Return since when the service looks at this bucket, the earliest of its inputs there."""
    provider = canonical_provider(known.provider, known.aliases)
    return min(
        since
        for place, since in zip(stored.service.input, stored.since, strict=True)
        if place.bucket == known.bucket and canonical_provider(place.storage_provider, known.aliases) == provider
    )


def _time(milliseconds: int) -> str:
    return iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
