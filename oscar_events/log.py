"""How the platform's own log looks.

In:  a stream and a level. Out: structlog set up; modules take their logger from `logger(__name__)`.
Not here: the output of users' scripts (the supervisor keeps that), what is worth a line.

Events are short fixed phrases, data goes into fields, so that a log can be searched and counted.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog


def configure(stream: TextIO = sys.stderr, level: str = "INFO") -> None:
    """Write lines for people when the stream is a terminal, JSON otherwise. level: a name of the logging module."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if stream.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(module=name))
