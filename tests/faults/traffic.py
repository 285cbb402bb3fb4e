"""A seeded stream: events, labels 50 events late, and now and then a record odd as the contract names it."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

log = logging.getLogger(__name__)
STEP_MS = 2
DELAY = 50
SEND_ATTEMPTS = 3
ENTITIES = 60
ABORT_EVERY = 1_500  # records; then some are written in a transaction that is aborted
ODD = (
    "repeated", "reused", "damaged", "not-a-number", "unlabelled", "late", "early", "repeated-label",
    "contradictory", "orphan", "other-key",
)  # fmt: skip
ODD_SHARE = 0.08


class Sent(msgspec.Struct):
    """One record to write: `topic` is its short name."""

    time_ms: int
    topic: str
    key: bytes
    value: bytes


def number_row(dice: random.Random) -> tuple[dict[str, Any], Any]:
    """Four numbers and a noisy linear rule."""
    row = {f"x{i}": dice.gauss(0, 1) for i in range(4)}
    return row, row["x0"] - 2 * row["x1"] + 0.5 * row["x2"] + dice.gauss(0, 0.3) > 0


def string_row(dice: random.Random) -> tuple[dict[str, Any], Any]:
    """Two strings, a number, and a class of three that follows from them with noise."""
    colour, shape = dice.choice(("red", "green", "blue")), dice.choice(("round", "square"))
    size = dice.random()
    label = "large" if size > 0.6 else f"{colour}-ish" if shape == "round" else "other"
    return {"colour": colour, "shape": shape, "size": size}, label if dice.random() > 0.05 else "other"


ROWS = {"numeric": number_row, "strings": string_row}


def stream(kind: str, n: int, seed: int, start_ms: int, odd_share: float = ODD_SHARE) -> list[Sent]:
    """Build n events and what belongs to them, in the order of their stamps."""
    dice = random.Random(seed)
    sent: list[Sent] = []

    def put(time_ms: int, topic: str, entity: str, value: Any) -> None:
        body = value if isinstance(value, bytes) else json.dumps({"v": 1, **value}).encode()
        sent.append(Sent(time_ms, topic, entity.encode(), body))

    for i in range(n):
        row, label = ROWS[kind](dice)
        entity, event_id, at = f"entity-{dice.randrange(ENTITIES)}", f"{kind}:{i}", start_ms + STEP_MS * i
        labelled = at + STEP_MS * DELAY - 1
        event, truth = {"event_id": event_id, "features": row}, {"event_id": event_id, "label": label}
        odd = dice.choice(ODD) if dice.random() < odd_share else ""
        put(at, "events", entity, event)
        if odd == "repeated":
            put(at + 7, "events", entity, event)
        elif odd == "reused":
            put(at + 7, "events", entity, {"event_id": event_id, "features": dict(reversed(row.items()))})
        elif odd == "damaged":
            put(at, "events", entity, b'{"event_id": "' + event_id.encode())
        elif odd == "not-a-number":
            put(at, "events", entity, {"event_id": f"{event_id}!", "features": {**row, "x9": [9]}})
        if odd == "unlabelled":
            continue
        moved_ms = {"late": 6_000, "early": -STEP_MS * DELAY - 3}.get(odd, 0)
        put(labelled + moved_ms, "labels", entity, truth)
        if odd == "repeated-label":
            put(labelled + 9, "labels", entity, truth)
        elif odd == "contradictory":
            other = (not label) if isinstance(label, bool) else f"not {label}"
            put(labelled + 9, "labels", entity, {**truth, "label": other})
        elif odd == "orphan":
            put(labelled, "labels", entity, {**truth, "event_id": f"{event_id}?"})
        elif odd == "other-key":
            put(labelled - 2, "labels", f"{entity}x", truth)
    return sorted(sent, key=lambda record: record.time_ms)


class Traffic:
    """Writes records of one application in order, `rate` a second until `hurry` is set, in a thread."""

    def __init__(self, servers: str, name: str, sent: list[Sent], rate: float | None = None) -> None:
        self.servers, self.name, self.sent, self.rate = servers, name, sent, rate
        self.hurry = threading.Event()
        self.written = 0
        self.counts = Counter(record.topic for record in sent)
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.fault: BaseException | None = None

    def write(self) -> None:
        """Everything, and now and then an aborted transaction that nobody may ever count."""
        try:
            self.write_all()
        except BaseException as fault:  # noqa: BLE001  told to the test by `join`
            self.fault = fault

    def write_all(self) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self.servers, acks="all", enable_idempotence=True, linger_ms=5
        )
        started_s = time.monotonic()
        for i, record in enumerate(self.sent):
            topic = f"{self.name}.{record.topic}"
            self.send(producer, topic, record).add_errback(self.note)
            self.written = i + 1
            if i % ABORT_EVERY == ABORT_EVERY // 2:
                self.abort(topic, record)
            if self.rate and not self.hurry.is_set():
                self.hurry.wait(max(0.0, started_s + i / self.rate - time.monotonic()))
        producer.flush()
        producer.close()

    def send(self, producer: KafkaProducer, topic: str, record: Sent) -> Any:
        """Queue one record; a broker that has just started may not say yet who leads its topic."""
        for left in range(SEND_ATTEMPTS - 1, -1, -1):
            try:
                return producer.send(topic, record.value, record.key, timestamp_ms=record.time_ms)
            except KafkaTimeoutError as error:
                if not left:
                    raise
                log.warning("not sent yet: %s", error)
        raise AssertionError("unreachable")

    def note(self, fault: BaseException) -> None:
        """A record was not written: then no count is right. Runs in the thread of the client."""
        self.fault = fault

    def abort(self, topic: str, record: Sent) -> None:
        """Write some records in a transaction that is aborted, unless the broker is away just now."""
        aborting: KafkaProducer | None = None
        try:
            aborting = KafkaProducer(
                bootstrap_servers=self.servers,
                acks="all",
                transactional_id=f"{self.name}-aborts",
                transaction_timeout_ms=5_000,
            )
            aborting.init_transactions()
            aborting.begin_transaction()
            for _ in range(3):
                aborting.send(
                    topic, record.value.replace(b":", b";"), record.key, timestamp_ms=record.time_ms
                )
            aborting.flush()
            aborting.abort_transaction()
        except Exception as error:  # noqa: BLE001  # of any kind while a broker starts; it is aborted later
            log.warning("no aborted transaction this time: %r", error)
        finally:
            if aborting is not None:
                with suppress(Exception):
                    aborting.close(1.0)

    def start(self) -> Traffic:
        self.thread.start()
        return self

    def join(self) -> None:
        """Wait until everything is written."""
        self.hurry.set()
        self.thread.join(120)
        assert not self.thread.is_alive(), "the producer hangs"
        if self.fault is not None:
            raise self.fault

    @property
    def outstanding(self) -> int:
        """Records not yet written."""
        return len(self.sent) - self.written


def write_now(servers: str, name: str, sent: list[Sent]) -> None:
    """All of it, at once."""
    Traffic(servers, name, sent).start().join()
