"""How the platform's own log looks.

In:  a stream and a level. Out: structlog set up; modules take their logger from `logger(__name__)`.
Not here: the output of users' scripts (the supervisor keeps that), what is worth a line.

A library's line that comes again and again is written at first and then seldom, with a count (seldom.py).

Events are short fixed phrases, data goes into fields, so that a log can be searched and counted.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog

from oscar_events.seldom import Seldom, without_numbers

# aiokafka's, of a broker that has just started and is asked again; joining a group is our own concern, and told.
_COORDINATOR = "Group Coordinator Request failed: %s"
# What it warns of whenever somebody joins or leaves: that is how groups work.
_OF_ANY_GROUP = {
    "Marking the coordinator dead (node %s)for group %s.",
    "Heartbeat failed for group %s because it is rebalancing",
}


def configure(stream: TextIO = sys.stderr, level: str = "INFO") -> None:
    """Write lines for people when the stream is a terminal, JSON otherwise. level: a name of the logging module."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if stream.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    described: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    _take_over_libraries(stream, described, renderer)
    structlog.configure(
        processors=[*described, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )


def _take_over_libraries(
    stream: TextIO, described: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> None:
    """Have what libraries warn of (the Kafka client does, of every reconnection) look like our own lines, and few."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(_OfLibraries())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*described, _name_module],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


class _OfLibraries(logging.Filter):
    """Leaves out what a library says again and again, and has no library's line be more than a warning of a broker.

    Whether an outage is an error is ours to tell: the client says so of each try.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == "aiokafka":
            if record.msg == _COORDINATOR and all(getattr(one, "retriable", False) for one in record.args or ()):
                return False
            if record.msg in _OF_ANY_GROUP:
                return False
            if record.levelno > logging.WARNING and record.exc_info is None:
                record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        error = repr(record.exc_info[1]) if record.exc_info else ""
        # With arguments the template says what it is; without, the first line: asyncio adds objects and their places.
        said = str(record.msg).partition("\n")[0]
        left_out = self._seldom.due(without_numbers(f"{record.name} {said} {error}"))
        vars(record)["left_out"] = left_out
        return left_out is not None


def _name_module(wrapped: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    record = event.get("_record")
    if record is None:
        return event
    left_out = getattr(record, "left_out", 0)
    return {**event, "module": record.name, **({"left_out": left_out} if left_out else {})}


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(module=name))
