"""`stream-app restore` in a process that dies at a named point of it.

    python -m tests.integration.dying_restore POINT NUMBER ARGUMENTS…

POINT is `snapshot` (behind the NUMBERth that is saved), `record` (behind the NUMBERth that is written) or
`epoch` (behind the NUMBERth that is committed). Nothing of this is in the product: the seams are replaced
from outside.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from stream_app.adapters.kafka_copy import TopicCopy
from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.cli.main import main


class Death:
    """Counts calls, and dies at the one that was asked for."""

    def __init__(self, point: str, number: int) -> None:
        self.point, self.left = point, number

    def at(self, point: str) -> bool:
        """Whether it is this call."""
        self.left -= point == self.point
        return point == self.point and self.left == 0


def die() -> None:
    """As kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(death: Death) -> None:
    """Put the points into the seams."""
    save, write, commit = FileSnapshots.save, TopicCopy.write, KafkaWriter.commit

    def saving(self: Any, *arguments: Any) -> int:
        size = save(self, *arguments)
        if death.at("snapshot"):
            die()
        return size

    def writing(self: Any, topic: str, partition: int, records: Iterable[Any]) -> int:
        def counted() -> Iterator[Any]:
            for record in records:
                yield record
                if death.at("record"):
                    self.producer.flush(10)  # those before the next one are with the broker
                    die()

        return write(self, topic, partition, counted())

    def committing(self: Any, *arguments: Any) -> int | None:
        offset = commit(self, *arguments)
        if death.at("epoch"):
            die()
        return offset

    for owner, name, replacement in (
        (FileSnapshots, "save", saving),
        (TopicCopy, "write", writing),
        (KafkaWriter, "commit", committing),
    ):
        setattr(owner, name, replacement)


if __name__ == "__main__":
    arm(Death(sys.argv[1], int(sys.argv[2])))
    sys.argv = ["stream-app", *sys.argv[3:]]
    main()
