"""The command `why`: what came of one object.

In:  BUCKET/KEY. Out: its events, and for each service the run it started or the first condition that failed.
Not here: finding it out (manager/journal.py, manager/why.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from oscar_events.cli.moments import FORMS, moment
from oscar_events.cli.options import Data, Json, data_directory
from oscar_events.cli.platform import ask
from oscar_events.errors import ConfigurationError
from oscar_events.job import FailureClass

# Services that started nothing are shown up to here, by event; --json has them all.
_SHOWN = 10
_TOLD_TIME = re.compile(r"(?<= (?:at|of) )\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z(?=[:;,]|$)")


def why(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="BUCKET/KEY", help="The object; or the path of its file in the buckets.", show_default=False
        ),
    ],
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help=f"How far back to search the log for events that started nothing: {FORMS}. Runs are found anyway.",
        ),
    ] = "24h",
    provider: Annotated[
        str | None, typer.Option("--provider", help="Only events of this storage, like minio.default.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=50, help="At most so many events, newest first.")] = 10,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say why an object did or did not start runs: when it was seen, by which source, and what each service made of it.

    Ends with 0 also when nothing is known of the object: then it says what to look at.
    """
    from oscar_events.cli import output

    directory = data_directory(context)
    bucket, key = object_of(name, directory.buckets)
    earliest = moment(since, datetime.now(UTC))
    provider = provider if provider is None or "." in provider else f"{provider}.default"
    found = ask(
        directory,
        lambda platform: platform.journal.why(bucket, key, since=earliest, provider=provider, limit=limit),
    )
    if as_json:
        output.print_json(found)
        return
    console = output.console()
    for line in lines(found):
        console.print(line, soft_wrap=True)


def object_of(name: str, buckets: Path) -> tuple[str, bytes]:
    """Return bucket and key of what people typed. Raises ConfigurationError if it is neither of both."""
    path = Path(os.path.abspath(name))
    is_path = name.startswith(("/", "./", "../")) or os.path.lexists(name)
    if is_path and path.is_relative_to(root := os.path.abspath(buckets)):
        name = str(path.relative_to(root))
    bucket, _, key = name.partition("/")
    if not bucket or not key:
        raise ConfigurationError(f"{name!r} is no object; write BUCKET/KEY, like pics/in/a.png")
    return bucket, os.fsencode(key)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is found, for people."""
    yield f"{found['bucket']}/{found['key']}"
    state = found["object"]
    if state is not None and (found["events"] or state["kind"] == "file"):  # else the advice says it
        yield f"  {_state(state)}"
    for event in found["events"]:
        yield ""
        yield from _event(event)
    if found["more_events"]:
        yield f"\n{found['more_events']} older events; --limit shows more"
    if not found["events"] and (wrote := found["result_of"]) is not None:
        yield f"\nresult of run {wrote['id']} of {wrote['service']}, which ended {_clock(wrote['ended_at'])}"
        yield "no event of it is known"
        yield from _services_now(found)
    elif not found["events"]:
        yield f"\nno event of it is known, back to {_clock(found['since'])}"
        yield from (f"  - {_with_clock(one)}" for one in found["advice"])
        yield from _services_now(found)
    yield from _remarks(found)


def _state(state: Mapping[str, Any]) -> str:
    if state["kind"] != "file":
        return f"{state['path']}: {'not there' if state['kind'] == 'missing' else state['kind']}"
    writing = ", open for writing" if state["is_written"] else ""
    return f"{state['path']}: {state['size']} bytes, changed {_clock(state['changed'])}{writing}"


def _event(event: Mapping[str, Any]) -> Iterator[str]:
    if "action" not in event:
        yield f"event {event['id']}, no longer kept"
    else:
        facts = [f"{event['size']} bytes" if event["size"] is not None else "", _version(event), event["id"]]
        yield f"{event['action']} {_clock(event['time'])}  {', '.join(fact for fact in facts if fact)}"
        yield from _seen(event["seen"])
    others = []
    for one in event["services"]:
        if one["runs"]:
            yield from _started(one)
        else:
            others.append(f"  {one['service']}: {one['verdict']}: {_with_clock(one['reason'])}")
    yield from _shortened(others)
    yield from _elsewhere(event["elsewhere"])


def _seen(tellings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for all that a source told alike: with a fast and a durable target MinIO tells everything twice."""
    alike: dict[tuple[str, str], list[str]] = {}
    for one in tellings:
        alike.setdefault((one["source"], one["reason"]), []).append(one["time"])
    for (source, reason), times in alike.items():
        how = f" ({reason})" if reason else ""
        yield f"  seen {_clock(times[0])} by {source}{how}{repeated(len(times))}"


def repeated(count: int) -> str:
    """Return how often something was told, for the end of its line; nothing for once."""
    return "" if count == 1 else ", twice" if count == 2 else f", {count} times"


def _version(event: Mapping[str, Any]) -> str:
    return f"version {event['version']}" if event["version"] else ""


def _started(one: Mapping[str, Any]) -> Iterator[str]:
    remark = f" ({one['reason']})" if one["reason"] else ""
    for run in one["runs"]:
        how = f", sent again for {run['redrive_of']}" if run["redrive_of"] else ""
        how += f", by replay {run['replay']}" if run["replay"] else ""
        yield f"  {one['service']}: {run['state']}, run {run['id']}{how}{remark}"
        for attempt in run["attempts"]:
            yield f"    attempt {attempt['number']}: {_attempt(attempt)}"
        if run["waits"] is not None:
            yield f"    {_still_waits_for(run)}"
        if reason := _own_reason(run):
            yield f"    {reason}"
        yield from (f"    wrote {written}" for written in run["outputs"])
        if run["state"] != "succeeded":
            yield from (f"    | {line}" for line in run["log_tail"])
        if _may_be_sent_again(run):
            yield f"    to send it again: oscar-events deadletters redrive {run['id']}"


def waits_for(waits: Mapping[str, Any]) -> str:
    """Return what a pending run waits for, as people read it."""
    until = waits["until"]
    is_later = until is not None and datetime.fromisoformat(until) > datetime.now(UTC)
    when = f"next try at {_clock(until)}: " if is_later else ""
    return f"{when}{waits['reason']}"


def _still_waits_for(run: Mapping[str, Any]) -> str:
    """Return the same below the run's attempts: why the last one failed has been said there."""
    waits, last = run["waits"], run["attempts"][-1]["reason"] if run["attempts"] else ""
    if last and waits["reason"].endswith(last):
        return waits_for({**waits, "reason": f"after attempt {run['attempts'][-1]['number']}"})
    return waits_for(waits)


def _may_be_sent_again(run: Mapping[str, Any]) -> bool:
    """Whether to say how: not of what fails the same way each time."""
    is_for_good = bool(run["attempts"]) and run["attempts"][-1]["failure"] == FailureClass.PERMANENT
    return run["state"] == "dead" and not run["redriven_as"] and not run["purged_at"] and not is_for_good


def _own_reason(run: Mapping[str, Any]) -> str:
    """Return why the run is where it is, without what its last attempt has said already."""
    last = run["attempts"][-1]["reason"] if run["attempts"] else ""
    reason: str = run["reason"]
    return reason.removeprefix(last).removeprefix("; ") if last else reason


def _attempt(attempt: Mapping[str, Any]) -> str:
    code = "" if attempt["exit_code"] is None else f", exit code {attempt['exit_code']}"
    failure = f", {attempt['failure']}" if attempt["failure"] else ""
    reason = f": {attempt['reason']}" if attempt["reason"] else ""
    return f"{attempt['outcome'] or 'not ended'}{code}{failure}{reason}"


def _services_now(found: Mapping[str, Any]) -> Iterator[str]:
    answers = [
        f"  {one['service']}: {', '.join(filter(None, ('would take it' * one['takes_it'], one['reason'])))}"
        for one in found["services"]
    ]
    if answers:
        yield "\nif it were created now:"
        yield from _shortened(answers)
    yield from _elsewhere(found["elsewhere"])


def _shortened(answers: Sequence[str]) -> Iterator[str]:
    yield from answers[:_SHOWN]
    if len(answers) > _SHOWN:
        yield f"  and {len(answers) - _SHOWN} more; --json has them all"


def _elsewhere(count: int) -> Iterator[str]:
    if count:
        yield f"  {count} {'service has' if count == 1 else 'services have'} no input in this bucket"


def _remarks(found: Mapping[str, Any]) -> Iterator[str]:
    if found["events"] and not found["has_platform"]:
        yield "\nno platform runs on this directory: nothing goes on until `oscar-events up`"
    if found["log"]:
        yield f"\nthe log of events no longer reaches back to {_clock(found['since'])}: {_with_clock(found['log'])}"
    if quarantined := found["quarantined"]:
        many = (
            f"{len(quarantined)} messages in quarantine mention"
            if len(quarantined) > 1
            else ("a message in quarantine mentions")
        )
        yield f"\n{many} this key: oscar-events quarantine show {quarantined[-1]}"
    if unsearched := found["quarantine_unsearched"]:
        yield (
            f"\nthe oldest messages in quarantine, {unsearched}, were not searched for this key: "
            "oscar-events quarantine list --json"
        )
    if found["problem"]:
        yield f"\nthe sources in config.yaml are not looked at: {found['problem']}"


def _with_clock(reason: str) -> str:
    """Return a sentence of the platform's with the times that it tells of as the reader's clock shows them.

    What follows `--from` is to be copied, and names and paths may look like times: neither is touched.
    """
    return _TOLD_TIME.sub(lambda match: _clock(match.group()), reason)


def _clock(iso: str) -> str:
    from oscar_events.cli import output

    return output.moment(iso)
