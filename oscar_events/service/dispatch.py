"""Our block of the service document: how runs are dispatched.

In:  `dispatch:`, which OSCAR does not know. Out: its settings, every default with its reason.
Not here: carrying them out (matching/, ledger/, the dispatcher).

Unknown keys are errors here: the block is ours, and a misspelt limit must not go unseen.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, model_validator

from oscar_events.mistakes import Remove, Write, wrong
from oscar_events.service.amounts import Bytes, Count, Duration, PositiveDuration
from oscar_events.service.block import Block, Text, Texts, choice

# `process` is what there is here; the others are kept, for files that are shared with a cluster.
BACKENDS = ("process", "kubernetes", "workers", "knative")
# What may happen to an object (the actions of event.py that speak of one).
EVENT_TYPES = ("created", "removed", "updated", "restored")

# As long as the longest key there is: a longer pattern meets nothing.
_LONGEST_GLOB = 1024


def _in_order(wanted: tuple[str, ...]) -> tuple[str, ...]:
    if not wanted:
        raise wrong("no event type", f"one or more of {', '.join(EVENT_TYPES)}", Remove())
    return tuple(kind for kind in EVENT_TYPES if kind in wanted)


def _pattern(value: str) -> str:
    if not 0 < len(value) <= _LONGEST_GLOB:
        raise wrong(f"a pattern of {len(value)} characters", f"1 to {_LONGEST_GLOB} characters, like **/*.png")
    return value


EventType = Annotated[str, BeforeValidator(choice(*EVENT_TYPES))]
EventTypes = Annotated[
    tuple[EventType, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    AfterValidator(_in_order),
]
Glob = Annotated[Text, AfterValidator(_pattern)]
Globs = Annotated[tuple[Glob, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _Strict(Block):
    model_config = ConfigDict(extra="forbid")


class RetrySettings(_Strict):
    """How a service wants its failures treated.

    max_attempts: tries in total for the user's own failures, 1 = never again (OSCAR's behaviour): a script that said
        no says no again. Failures of the infrastructure are nobody's fault and are tried until max_age.
    backoff: wait before the second try: long enough for a restarted pod or store to be back, short enough to watch.
    max_age: counted from the first submit, so that a full queue never expires what did not run; a day outlasts a
        night without an operator.
    """

    max_attempts: Count = 1
    backoff: Duration = timedelta(seconds=10)
    max_age: PositiveDuration = timedelta(hours=24)


class SizeRange(_Strict):
    """Sizes of objects, in bytes, both ends included; None = no bound. Written as bytes or like 10Mi."""

    min: Bytes | None = None
    max: Bytes | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> SizeRange:
        if self.min is not None and self.max is not None and self.min > self.max:
            swapped = Write({"min": self.max, "max": self.min})
            raise wrong(f"min {self.min} above max {self.max}", "a min that is not above the max", swapped)
        return self


class Filters(_Strict):
    """Which objects below an input's folder start a run, on top of the input's own prefix and suffix.

    All that are set must hold. prefix, suffix, glob: one of each list must meet the key relative to the folder.
    glob: segment by segment by the rules of fnmatch (`*`, `?`, `[seq]`, `[!seq]`), none of which crosses a `/`; a
        segment `**` is any number of segments, also none. `*.png` is in the folder itself, `**/*.png` at any depth.
    size: an event that does not tell the size (a removal) does not meet it.
    """

    prefix: Texts = ()
    suffix: Texts = ()
    glob: Globs = ()
    size: SizeRange = SizeRange()


class Dispatch(_Strict):
    """How runs are dispatched.

    timeout: for the script alone. OSCAR has none; here a script that hangs must not hold its slot for ever, and a day
        is so long that few services need to set it.
    concurrency: runs of this service at a time; None = no limit of its own, only the platform's.
    event_types: what must have happened to an object; OSCAR knows only `created`.
    reconcile: whether listings look for objects that no notification told of; false where a bucket is too large to be
        listed every few minutes.
    expire: a run that nobody began within this time of its claim is given up as `expired`; None = it waits for ever.
    """

    backend: Annotated[str, BeforeValidator(choice(*BACKENDS))] = "process"
    timeout: PositiveDuration = timedelta(hours=24)
    retry: RetrySettings = RetrySettings()
    concurrency: Count | None = None
    event_types: EventTypes = ("created",)
    filters: Filters = Filters()
    reconcile: bool = True
    expire: PositiveDuration | None = None
