"""A definition in your tests: events, labels and time in one process, without servers, as it runs live.

driver = Driver(app)
made = driver.send("card-7", {"amount": 12.5})
driver.advance("2h")
driver.label("card-7", made["event_id"], True)
driver.kill()  # what came since the last snapshot is replayed, and must come out the same
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import UNSET

from stream_app.adapters.pickled import dump, refill_sets
from stream_app.adapters.snapshot_store import round_trip
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application
from stream_app.client.checks import encoded, encoded_key, event_value, label_value
from stream_app.durations import parse_duration
from stream_app.flow.core import Core
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.state.shard import ShardState
from topics.catalog import catalog
from topics.envelope import COMMAND, EVENT, LABEL, Record
from topics.fitting import HEADER
from topics.placement import partition_for

START_MS = 1_767_225_600_000  # 2026-01-01, so that a test is the same on any day

__all__ = ["Driver"]


class Driver:
    """Takes records one by one, each a batch of its own; `now_ms` is the time that stamps them (epoch ms).

    `predictions`, `alerts`, `receipts` and `dead_letters` hold what was written, oldest first, as consumers
    of the topics see it.

    Raises, at its start and at a `snapshot`: what pickling a model raises; such a model is not admitted.
    """

    def __init__(self, app: Application, start_ms: int = START_MS) -> None:
        self.app, self.now_ms = app, start_ms
        self.predictions: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.receipts: list[dict[str, Any]] = []
        self.dead_letters: list[dict[str, Any]] = []
        self.events = self.commands = 0
        self.shards = [Shard(app, number) for number in range(app.shards)]

    def send(
        self,
        key: str,
        features: Mapping[str, Any],
        event_id: str | None = None,
        label: Any = UNSET,
        time_ms: int | None = None,
    ) -> dict[str, Any]:
        """Give the prediction of an event; where it is refused, the dead letter, which has a `reason`; of a
        repeat nothing is written, which gives {}.
        """
        self.events += 1
        event_id = f"event-{self.events}" if event_id is None else event_id
        made, refused = len(self.predictions), len(self.dead_letters)
        self.step(EVENT, key, event_value(event_id, features, label), time_ms)
        written = [*self.predictions[made:], *self.dead_letters[refused:]]
        return written[0] if written else {}

    def label(
        self, key: str, event_id: str, label: Any, weight: float | None = None, time_ms: int | None = None
    ) -> None:
        """Reveal what is true of an event; it is sent under the event's key."""
        self.step(LABEL, key, label_value(event_id, label, weight), time_ms)

    def command(self, command: str, **fields: Any) -> list[dict[str, Any]]:
        """Give an order as an operator does (pause, resume, forget, promote, rollback, drop), to all shards;
        each shard's outcome.
        """
        self.commands += 1
        name = f"command-{self.commands}"
        value = {"v": 1, "command_id": name, "command": command, "actor": "test", "reason": "test", **fields}
        found = []
        for shard in self.shards:
            written = self.written(shard.step(COMMAND, name.encode(), encoded(value), self.now_ms))
            found += [one for key, one in written if key.endswith(f"/command/{name}")]
        self.now_ms += 1
        return found

    def advance(self, duration: str) -> None:
        """Let time pass, such as "90s" or "2h". What it brings about comes with the next record, as it does
        live.
        """
        self.now_ms += parse_duration(duration)

    def snapshot(self) -> None:
        """Keep the state, so that a `kill` replays from here."""
        for shard in self.shards:
            shard.snapshot()

    def kill(self) -> None:
        """Lose what is in memory, load the newest snapshot, and replay what came since.

        Raises:
            AssertionError: it comes out otherwise, so a live learner would halt after a crash.
        """
        for shard in self.shards:
            shard.replay()

    def model(self, slot: str = "champion", shard: int = 0) -> Any:
        """A copy of a slot's model."""
        found = {one.name: one.model for one in self.shards[shard].state.slots}
        return round_trip(found[slot], self.app.modules)

    def scores(self, shard: int = 0) -> dict[str, dict[str, float]]:
        """The scores of what was served, {"cumulative": …, "rolling": …}, as statistics have them."""
        return self.shards[shard].processor.core.served.scores.report()

    def serving(self, shard: int = 0) -> str:
        """The slot that serves, or `blend`."""
        return self.shards[shard].processor.core.served.name

    def step(self, rank: int, key: str, value: Mapping[str, Any], time_ms: int | None) -> None:
        """Send one record to the shard of its key."""
        named = encoded_key(key)
        shard = self.shards[partition_for(named, len(self.shards))]
        stamp = self.now_ms if time_ms is None else time_ms
        self.written(shard.step(rank, named, encoded(dict(value)), stamp))
        self.now_ms += 1

    def written(self, sealed: SealedBatch) -> list[tuple[str, dict[str, Any]]]:
        """Take in what a batch wrote; gives what it wrote about models, by key."""
        self.predictions += [orjson.loads(value) for value, _, _ in sealed.commit.predictions]
        models = []
        for send in sealed.commit.others:
            if send.topic == "dead_letters":
                texts = {
                    name.removeprefix(HEADER): (text or b"").decode() for name, text in send.headers or ()
                }
                self.dead_letters.append({**texts, "value": send.value})
            elif send.value is not None:
                found = orjson.loads(send.value)
                if send.topic == "alerts":
                    self.alerts.append(found)
                elif send.topic == "models":
                    models.append(((send.key or b"").decode(), found))
        self.receipts += [one for key, one in models if key.rpartition("/")[2].isdecimal()]
        return models


class Shard:
    """One shard's machine, its newest snapshot, and the records since."""

    def __init__(self, app: Application, number: int) -> None:
        self.app, self.inputs = app, catalog(app.name, app.shards).inputs
        self.processor = self.machine(
            ShardState(app, number), seq=0, digest=FIRST_DIGEST, positions=[0, 0, 0]
        )
        self.snapshot()

    @property
    def state(self) -> ShardState:
        return self.processor.core.state

    def machine(self, state: ShardState, *, seq: int, digest: str, positions: list[int]) -> BatchProcessor:
        """A machine over a state."""
        core = Core(self.app, state, lambda model: round_trip(model, self.app.modules), refill_sets)
        return BatchProcessor(core, self.inputs, epoch=0, seq=seq, digest=digest, positions=positions)

    def step(self, rank: int, key: bytes, value: bytes, time_ms: int) -> SealedBatch:
        """Apply one record, as a batch."""
        record = Record(rank, self.processor.positions[rank], time_ms, key, value, None)
        self.records.append(record)
        return self.apply(record)

    def apply(self, record: Record) -> SealedBatch:
        """Apply a record as a batch, without taking note of it."""
        self.processor.apply([(record.rank, [record])])
        return self.processor.seal()

    def snapshot(self) -> None:
        """Keep the state."""
        machine = self.processor
        self.payload = dump(machine.core.state)
        self.at = (machine.seq, machine.digest, list(machine.positions))
        self.records: list[Record] = []

    def replay(self) -> None:
        """Begin again at the snapshot, and compare."""
        due = (self.processor.digest, state_digest(self.state))
        seq, digest, positions = self.at
        state = unpickle(self.payload, self.app.modules)
        self.processor = self.machine(state, seq=seq, digest=digest, positions=positions)
        for record in self.records:
            self.apply(record)
        if (self.processor.digest, state_digest(self.state)) != due:
            raise AssertionError(
                f"shard {self.state.shard}: {len(self.records)} records since the snapshot came out "
                "otherwise; a model, feature or detector depends on more than its records: a clock, the "
                "order of a set, randomness without the seed that it is given"
            )
