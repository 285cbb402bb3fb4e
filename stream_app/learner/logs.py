"""Where log lines go, and what a line of a shard's turn says of its place: shard, epoch, seq, model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TextIO, TypeVar, cast

import structlog


class Placed(Protocol):
    """A shard that can name itself in log lines."""

    def where(self) -> dict[str, Any]:
        """Give the fields of a log line; asked only when one is written, so a turn without one is free."""


P = ParamSpec("P")
T = TypeVar("T")
Self = TypeVar("Self", bound=Placed)
STDERR = 2
AT: ContextVar[Placed | None] = ContextVar("at", default=None)


def placed(method: Callable[Concatenate[Self, P], T]) -> Callable[Concatenate[Self, P], T]:
    """Wrap a method so that its log lines name this shard."""

    @wraps(method)
    def turn(self: Self, /, *arguments: P.args, **named: P.kwargs) -> T:
        token = AT.set(self)
        try:
            return method(self, *arguments, **named)
        finally:
            AT.reset(token)

    return turn


def place(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the place of a line, as a structlog processor."""
    at = AT.get()
    return line if at is None else {**at.where(), **line}


class LogStream:
    """Standard error for log lines: one that cannot be written (disk full, reader gone) is lost.

    Without a buffer, so that a line that was lost does not fail again when the process ends.
    """

    def write(self, text: str) -> None:
        with suppress(OSError):
            os.write(STDERR, text.encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Do nothing: lines are written at once."""


def configure_logs() -> None:
    """Logs go to stderr, so that `--json` owns stdout: JSON when no person looks, colours otherwise."""
    renderer = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            place,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, LogStream())),
        cache_logger_on_first_use=True,
    )
