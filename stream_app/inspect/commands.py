"""What shards answered to a command: `<app>.models` under `<shard>/command/<command_id>`."""

from __future__ import annotations

import time

import msgspec

from stream_app.client.connect import Closing, Kafka
from stream_app.client.consumer import CommittedReader
from stream_app.client.producer import SentCommand
from topics.records import CommandOutcome

TURN_S = 0.2


class Outcomes(Closing):
    """Committed outcomes from now on, so it is opened before the command is sent; a context manager.

    Raises:
        Refused: no broker answers, or there is no models topic.
    """

    def __init__(self, app: str, kafka: Kafka) -> None:
        self.reader = CommittedReader(kafka, f"{app}.models", timeout_s=TURN_S, from_beginning=False)

    def of(self, sent: SentCommand, timeout_s: float) -> dict[int, CommandOutcome]:
        """By shard; a shard that did not answer in time is not in it."""
        awaited = {f"{shard}/command/{sent.command_id}".encode(): shard for shard in sent.shards}
        found: dict[int, CommandOutcome] = {}
        deadline_s = time.monotonic() + timeout_s
        while awaited and time.monotonic() < deadline_s:
            for record in self.reader:
                shard = awaited.pop(record.key, None)
                if shard is not None:
                    found[shard] = msgspec.json.decode(record.value, type=CommandOutcome)
                if not awaited or time.monotonic() >= deadline_s:
                    break
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self.reader.close()
