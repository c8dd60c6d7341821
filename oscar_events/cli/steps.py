"""Does something to many things, a step at a time, at a rate: sending again, purging.

In:  ids as they are found, what does a step. Out: what became of each, told and counted.
Not here: finding them and doing it (the platform), which command it is for (deadletters.py, quarantine.py).

Each step is one request and one transaction, so whatever is killed in between leaves each thing either done or as it
was, and the same command goes on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from oscar_events.cli.exit_codes import ExitCode
from oscar_events.errors import ConfigurationError, ConflictError

Answers = list[dict[str, Any]]
Step = Callable[[list[str]], Awaitable[Answers]]

# One request: a few tens of milliseconds for the platform.
_STEP = 100

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Rate = Annotated[
    str | None,
    typer.Option("--rate", metavar="N/s", help="At most so many a second. Default: no limit.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All there are; needed when no other filter is given.")]


def check_choice(one: str | None, filters: Sequence[object], everything: bool, what: str) -> None:
    """Raise ConfigurationError unless either one thing is named, or some are by filters or --all."""
    if one is not None and (everything or any(filters)):
        raise ConfigurationError(f"name either {what} or filters, not both")
    if one is None and not everything and not any(filters):
        raise ConfigurationError(f"nothing is named; name {what}, filters (see --help), or --all")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done to one thing, or to all that are found.

    done: the word for it, like `sent again`. what: the things, like `dead letters`. show: prints those found, for
    --dry-run. per_second: at most so many, None = no limit.
    """

    done: str
    what: str
    as_json: bool
    dry_run: bool
    per_second: int | None
    show: Callable[[AsyncIterator[dict[str, Any]], bool, str], Awaitable[None]]


async def carry_out(wish: Wish, one: str | None, found: AsyncIterator[dict[str, Any]], step: Step) -> None:
    """Do the step to the one thing named, else to all found, and tell what became of each."""
    if wish.dry_run:
        await wish.show(found, wish.as_json, wish.done)
    elif one is not None:
        tell_one(await step([one]), wish.as_json, wish.done)
    else:
        ids = (each["id"] async for each in found)
        await tell(in_steps(ids, step, wish.per_second), wish.as_json, wish.done, wish.what)


async def in_steps(ids: AsyncIterator[str], step: Step, per_second: int | None) -> AsyncIterator[dict[str, Any]]:
    """Yield the answer for each id. per_second: never more than so many within a second."""
    size = _STEP if per_second is None else min(_STEP, per_second)
    waiting: list[str] = []
    async for identity in ids:
        waiting.append(identity)
        if len(waiting) == size:
            for answer in await step(waiting):
                yield answer
            if per_second is not None:
                await asyncio.sleep(size / per_second)
            waiting = []
    if waiting:
        for answer in await step(waiting):
            yield answer


async def tell(answers: AsyncIterator[dict[str, Any]], as_json: bool, done: str, what: str) -> None:
    """Print what became of each as it comes, then a sum; raise typer.Exit if something was refused.

    done: what was done to it, like `sent again`. what: the things, like `dead letters`.
    """
    from oscar_events.cli import output

    counts: Counter[str] = Counter()

    async def counted() -> AsyncIterator[dict[str, Any]]:
        async for answer in answers:
            counts[answer["verdict"]] += 1
            yield answer

    if as_json:
        await output.print_json_array(counted())
    else:
        async for answer in counted():
            _print(_line(answer, done))
        parts = [f"{counts['done']} {done}"]
        parts += [f"{counts['already']} left as they are"] if counts["already"] else []
        parts += [f"{counts['refused']} refused"] if counts["refused"] else []
        _print(f"{what}: {', '.join(parts)}")
    if counts["refused"]:
        raise typer.Exit(ExitCode.FAILED)


def tell_one(answers: Answers, as_json: bool, done: str) -> None:
    """Print what became of one thing. Raises ConflictError if it was refused."""
    (answer,) = answers
    if answer["verdict"] == "refused":
        raise ConflictError(f"{answer['id']}: {answer['reason']}")
    _print(json.dumps(answer, ensure_ascii=False) if as_json else _line(answer, done))


def tell_nothing_done(count: int, done: str) -> None:
    """Print, below what --dry-run found, that it is only found. done: what would be done to it."""
    _print(f"nothing was done; {count} would be {done}")


def _line(answer: dict[str, Any], done: str) -> str:
    happened = {"done": done, "already": "left as it is", "refused": "refused"}[answer["verdict"]]
    reason = f": {answer['reason']}" if answer["reason"] else ""
    run = f", as run {answer['run']}" if answer.get("run") else ""
    return f"{answer['id']} {happened}{reason}{run}"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
