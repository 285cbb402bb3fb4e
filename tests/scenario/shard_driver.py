"""One shard without servers: records go through the machine as the loop would send them, one batch each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson
from river import linear_model, preprocessing

from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.flow.outputs import Output
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.models.digest import structural_digest
from stream_app.ports import Send
from stream_app.state.shard import Counters, ShardState
from stream_app.state.slot import Slot
from topics.envelope import COMMAND, EVENT, LABEL, Headers, Record
from topics.fitting import HEADER

START_MS = 1_700_000_000_000
TOPICS = ("a.commands", "a.events", "a.labels")
ABSENT = object()
COUNTED = ("contradicted", "counters", "dead_by_reason")  # what a refused record may move


def logistic(seed: int) -> Any:
    """Scaled logistic regression."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def application(**definition: Any) -> Application:
    """A binary logistic application, changed by keyword."""
    return Application(**{"name": "a", "task": "binary", "champion": logistic, **definition})


class Letter(msgspec.Struct):
    """A dead letter, its headers read."""

    reason: str
    message: str
    stage: str
    topic: str
    offset: int
    sent: Send


class ShardDriver:
    """Applies records one by one; `time_ms` stamps the next record and advances by 1 ms."""

    def __init__(self, app: Application | None = None, shard: int = 0) -> None:
        self.app = app or application()
        core = Core(self.app, ShardState(self.app, shard))
        core.out.pending_receipts()  # once, with the first batch: what a test reads is its own
        self.born: list[Output] = list(core.out.outputs)
        core.out.outputs.clear()
        self.processor = BatchProcessor(
            core, TOPICS, epoch=0, seq=0, digest=FIRST_DIGEST, positions=[0, 0, 0]
        )
        self.time_ms = START_MS
        self.closed: list[SealedBatch] = []

    @property
    def state(self) -> ShardState:
        return self.processor.core.state

    @property
    def counters(self) -> Counters:
        return self.state.counters

    @property
    def champion(self) -> Slot:
        return self.state.champion

    def raw(
        self,
        rank: int,
        value: bytes | None,
        key: bytes | None = b"k",
        headers: Headers | None = None,
        time_ms: int | None = None,
    ) -> Letter | None:
        """Apply one record and give the dead letter that it became, or None."""
        stamp = self.time_ms if time_ms is None else time_ms
        self.time_ms += 1
        record = Record(rank, self.processor.positions[rank], stamp, key, value, headers)
        self.processor.apply([(rank, [record])])
        self.closed.append(self.processor.seal())
        letters = self.letters()
        return letters[0] if letters else None

    def event(
        self,
        event_id: str,
        features: Any = None,
        *,
        key: str = "k",
        label: Any = ABSENT,
        time_ms: int | None = None,
    ) -> Letter | None:
        value: dict[str, Any] = {
            "v": 1,
            "event_id": event_id,
            "features": {"x": 1.0, "y": 2} if features is None else features,
        }
        if label is not ABSENT:
            value["label"] = label
        return self.raw(EVENT, orjson.dumps(value), key.encode(), time_ms=time_ms)

    def label(
        self, event_id: str, label: Any, *, key: str = "k", time_ms: int | None = None, weight: float = 1.0
    ) -> Letter | None:
        value = {"v": 1, "event_id": event_id, "label": label, "weight": weight}
        return self.raw(LABEL, orjson.dumps(value), key.encode(), time_ms=time_ms)

    def command(self, command: str, command_id: str = "c1", **fields: Any) -> Letter | None:
        value = {
            "v": 1,
            "command_id": command_id,
            "command": command,
            "actor": "me",
            "reason": "test",
            **fields,
        }
        return self.raw(COMMAND, orjson.dumps(value), None)

    def letters(self) -> list[Letter]:
        """The dead letters of the newest record."""
        return [read_letter(send) for send in self.closed[-1].commit.others if send.topic == "dead_letters"]

    def written(self, topic: str) -> list[dict[str, Any]]:
        """Every value written so far to one of the other topics."""
        sends = [send for closed in self.closed for send in closed.commit.others if send.topic == topic]
        return [orjson.loads(send.value or b"") for send in sends]

    def predictions(self) -> list[dict[str, Any]]:
        """Every prediction so far."""
        return [orjson.loads(value) for closed in self.closed for value, _, _ in closed.commit.predictions]

    def memory(self) -> str:
        """Digest of all that a bad record must not move: models, detectors, pending, windows, dedupe, log
        time.
        """
        held: Any = self.state.__getstate__()
        return structural_digest({name: part for name, part in held.items() if name not in COUNTED})

    def warm(self, rows: int = 6) -> None:
        """Some learned events, so that a digest has something to lose."""
        for i in range(rows):
            assert self.event(f"warm{i}", {"x": float(i), "y": i % 3}, label=self.warm_label(i)) is None

    def warm_label(self, i: int) -> Any:
        return {"binary": bool(i % 2), "multiclass": "ab"[i % 2], "regression": i / 2, "anomaly": ABSENT}[
            self.app.task
        ]

    def still_works(self) -> None:
        """A good event is predicted and learned as if nothing had been."""
        before = self.counters.as_dict()
        assert self.event(f"after{self.time_ms}", label=self.warm_label(1)) is None
        assert self.counters.predictions == before["predictions"] + 1
        assert self.counters.labels_learned == before["labels_learned"] + (self.app.task != "anomaly")


def read_letter(send: Send) -> Letter:
    """A written dead letter, read as its consumer would."""
    told = {
        name.removeprefix(HEADER): (value or b"").decode()
        for name, value in send.headers or []
        if name.startswith(HEADER)
    }
    return Letter(told["reason"], told["message"], told["stage"], told["topic"], int(told["offset"]), send)


def refused(shard: ShardDriver, reason: str, send: Callable[[ShardDriver], Letter | None]) -> Letter:
    """Assert that what `send` sends is refused for `reason`, leaves no trace but counts, and stops nobody."""
    before, positions = shard.memory(), sum(shard.processor.positions)
    letter = send(shard)
    assert letter is not None
    assert letter.reason == reason, letter
    assert len(shard.letters()) == 1
    assert shard.memory() == before
    assert sum(shard.processor.positions) == positions + 1
    assert shard.state.dead_by_reason[reason] == 1
    counters = shard.counters
    assert counters.events == counters.predictions + counters.dead_events + counters.duplicate_events
    shard.still_works()
    return letter
