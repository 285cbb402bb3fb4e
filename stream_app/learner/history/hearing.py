"""Outputs of a machine that a replay wants to see as well, before they are performed as ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_app.flow.outputs import DeadLettered
from stream_app.learner.batch.processor import BatchProcessor


def hear(processor: BatchProcessor, kind: type, listen: Callable[[Any], object]) -> None:
    """Give each output of a kind to `listen` too."""
    cases = processor.emitter.cases
    perform = cases[kind]

    def both(output: Any) -> None:
        listen(output)
        perform(output)

    cases[kind] = both


class FirstRefused(dict[str, str]):
    """Why the first record of each reason became a dead letter, by reason."""

    def __init__(self, processor: BatchProcessor) -> None:
        super().__init__()
        hear(processor, DeadLettered, lambda letter: self.setdefault(letter.reason, letter.message))


def refusals(n_by_reason: dict[str, int], first: dict[str, str]) -> list[str]:
    """How many records were refused, and why the first of each kind was, a sentence per reason."""
    return [
        f"refused as {reason}: {n:,}; the first: {first.get(reason, '')}"
        for reason, n in sorted(n_by_reason.items())
    ]
