"""The interpreter of outputs: decided values become records to write, blobs for the view, and the digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
import orjson

from stream_app.flow.core import Core
from stream_app.flow.outputs import (
    AlertRaised,
    CommandDone,
    DeadLettered,
    EntityDropped,
    Output,
    ReceiptWritten,
)
from stream_app.flow.served import FeaturesChanged, PredictionMade
from stream_app.ports import Send
from topics.alerts import runbook
from topics.codec import JSON_OPTIONS
from topics.envelope import RANK_NAMES
from topics.fitting import dead_letter, encode_within
from topics.records import Alert, CommandOutcome, ModelReceipt, value_of
from topics.sizes import LARGEST_OUTPUT_BYTES

# Sentences for people. They quote what models raised, which may hold an address, a path or a size, and they
# may be reworded, so no digest covers them; the numbers and names beside them are covered.
SENTENCES: Final = frozenset(("message", "why", "runbook"))
WITH_NUMPY: Final = orjson.OPT_SERIALIZE_NUMPY
dumps: Final = orjson.dumps


class Emitter:
    """Collects what one batch writes; `close` chains the digest and hands everything over.

    The digest covers predictions, alerts, models, dead letters, entity blobs and counters; no wall clock, no
    sentence: of an exception its type alone.
    """

    def __init__(self, core: Core, input_topics: tuple[str, ...], digest: str) -> None:
        self.core = core
        self.shard = core.state.shard
        # Each binary prediction is written into these: to make new ones took as long as to encode them.
        self.model_named: dict[str, Any] = {"name": "", "version": 0}
        self.probabilities = {"false": 0.0, "true": 0.0}
        self.binary: dict[str, Any] = {
            "cold": False,
            "event_id": "",
            "key": "",
            "learned": 0,
            "model": self.model_named,
            "offset": 0,
            "prediction": False,
            "probabilities": self.probabilities,
            "shard": self.shard,
            "time_ms": 0,
            "v": 1,
        }
        self.input_topics = input_topics
        self.digest = digest
        self.batch = (0, 0)  # epoch and seq of the batch that is being collected
        self.cases: dict[type, Callable[[Any], None]] = {
            PredictionMade: self.prediction,
            EntityDropped: self.entity_dropped,
            DeadLettered: self.dead_letter,
            AlertRaised: self.alert,
            CommandDone: self.command,
            ReceiptWritten: self.model,
        }
        self.begin()

    def begin(self) -> None:
        self.predictions: list[tuple[bytes, str, int]] = []
        self.others: list[Send] = []
        self.hashed: list[bytes] = []
        self.dirty: dict[str, bool] = {}
        self.decisions: list[dict[str, Any]] = []

    def encode_all(self, outputs: list[Output]) -> None:
        """Encode the outputs of one stride, up to 64 records, in order."""
        cases, dirty = self.cases, self.dirty
        for output in outputs:
            if isinstance(output, FeaturesChanged):
                dirty[output.key] = True
            else:
                cases[type(output)](output)

    def prediction(self, made: PredictionMade) -> None:
        """The served prediction, written and hashed."""
        probabilities = made.probabilities
        if made.prediction is not None and probabilities is not None and is_binary(probabilities):
            encoded = self.encode_binary(made, probabilities)
        else:
            encoded = self.encode(made)
            if len(encoded) > LARGEST_OUTPUT_BYTES:
                encoded = self.encode(made, whole=False)
        self.hashed.append(encoded)
        # Stamp 0 would mean "now" to the client.
        self.predictions.append((encoded, made.key, made.time_ms or 1))

    def encode_binary(self, made: PredictionMade, probabilities: dict[Any, float]) -> bytes:
        """Encode as `encode` would, into dictionaries that are there. River's sigmoid answers 0 and 1 as
        integers; they are written as the doubles that they are.
        """
        value, model, named = self.binary, self.model_named, self.probabilities
        value["event_id"] = made.event_id
        value["key"] = made.key
        value["learned"] = made.learned
        model["name"] = made.model
        model["version"] = made.version
        value["offset"] = made.offset
        value["prediction"] = made.prediction
        named["false"] = float(probabilities[False])
        named["true"] = float(probabilities[True])
        value["time_ms"] = made.time_ms
        if made.weights is not None:
            value["weights"] = made.weights
        if made.explanation is None:
            return dumps(value, option=WITH_NUMPY)
        return dumps({**value, "explanation": made.explanation}, option=JSON_OPTIONS)

    def encode(self, made: PredictionMade, *, whole: bool = True) -> bytes:
        """Any prediction as it is written, names sorted; not `whole`: without what grows with the classes.

        Raises:
            ValueError: it is too large even so: the model answered with a class that no label named.
        """
        value: dict[str, Any] = {
            "cold": made.prediction is None,
            "event_id": made.event_id,
            "key": made.key,
            "learned": made.learned,
            "model": {"name": made.model, "version": made.version},
            "offset": made.offset,
            "prediction": made.prediction,
            "shard": self.shard,
            "time_ms": made.time_ms,
            "v": 1,
        }
        options: int | None = WITH_NUMPY
        if made.prediction is None:
            value["prior"], options = made.prior if whole else None, JSON_OPTIONS
        if made.probabilities is not None and whole:
            value["probabilities"] = {label: float(p) for label, p in made.probabilities.items()}
            options = JSON_OPTIONS  # sorting takes as long as the rest
        if made.weights is not None:
            value["weights"] = made.weights
        if made.explanation is not None and whole:
            value["explanation"], options = made.explanation, JSON_OPTIONS
        encoded = dumps(value, option=options)
        if len(encoded) > LARGEST_OUTPUT_BYTES and not whole:
            raise ValueError(f"a prediction of {len(encoded)} bytes, {LARGEST_OUTPUT_BYTES} are allowed")
        return encoded

    def entity_dropped(self, dropped: EntityDropped) -> None:
        self.dirty[dropped.key] = False

    def dead_letter(self, letter: DeadLettered) -> None:
        record = letter.record
        refusal = {
            "reason": letter.reason,
            "message": letter.message,
            "stage": letter.stage,
            "topic": self.input_topics[record.rank],
            "partition": str(self.shard),
            "offset": str(record.offset),
        }
        self.hashed.append(f"{RANK_NAMES[record.rank]}@{record.offset}:{letter.reason}".encode())
        self.others.append(Send("dead_letters", *dead_letter(record, refusal)))

    def alert(self, raised: AlertRaised) -> None:
        known = msgspec.structs.asdict(raised)
        self.write("alerts", raised.alert_id, Alert(shard=self.shard, runbook=runbook(raised.type), **known))

    def command(self, done: CommandDone) -> None:
        self.write(
            "models",
            f"{self.shard}/command/{done.command_id}",
            CommandOutcome(done.outcome, done.why),
        )
        self.decisions.append({"command": done.command_id, "outcome": done.outcome})

    def model(self, written: ReceiptWritten) -> None:
        receipt = ModelReceipt(
            self.shard,
            written.slot,
            written.version,
            written.parent,
            written.why,
            written.trained_through,
            written.scores,
            written.kind,
            written.status,
            written.time_ms,
            written.evidence,
            {"epoch": self.batch[0], "seq": self.batch[1]},
        )
        self.write("models", f"{self.shard}/{written.version}", receipt)
        if written.serving:
            self.write("models", f"{self.shard}/champion", receipt)
        self.decisions.append({"model": written.slot, "version": written.version, "status": written.status})

    def write(self, topic: str, key: str, record: msgspec.Struct) -> None:
        value = value_of(record)
        self.hashed.append(dumps(repeatable(value), option=JSON_OPTIONS))
        self.others.append(Send(topic, key.encode(), encode_within(value)))

    def close(self) -> dict[str, bytes | None]:
        """Chain the digest over the batch and give the view's blobs (None: the entity is dropped)."""
        blobs: dict[str, bytes | None] = {}
        entities = self.core.state.entities
        for key, lives in self.dirty.items():
            entity = entities.peek(key) if lives else None
            blobs[key] = dumps(entity) if entity else None
        chain = blake2b(bytes.fromhex(self.digest), digest_size=16)
        chain.update(b"\n".join(self.hashed))
        for key, blob in blobs.items():
            chain.update(key.encode())
            chain.update(blob or b"-")
        chain.update(dumps(self.core.state.counters.as_dict()))
        self.digest = chain.hexdigest()
        return blobs


def repeatable(value: Mapping[str, Any]) -> dict[str, Any]:
    """What every replay must write alike: a record without its sentences, in its evidence too."""
    kept = {name: part for name, part in value.items() if name not in SENTENCES}
    evidence = kept.get("evidence")
    if evidence:
        kept["evidence"] = {name: part for name, part in evidence.items() if name not in SENTENCES}
    return kept


def is_binary(probabilities: dict[Any, float]) -> bool:
    """Whether the classes are True and False; 1 equals True, and has another text."""
    for label in probabilities:
        if type(label) is not bool:
            return False
    return len(probabilities) == 2


FIRST_DIGEST = blake2b(b"stream_app", digest_size=16).hexdigest()
