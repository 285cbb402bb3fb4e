"""The demo's judge: committed predictions beside bare River's under the same protocol, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import orjson


class Act(msgspec.Struct):
    """One data set of the demo: `delay` is how many events late its labels come; None: inside the events."""

    name: str
    title: str
    delay: int | None


def reference(act: Act, definition: Any, rows: list[Any]) -> Iterator[tuple[Any, dict[Any, float]]]:
    """Bare River under the same protocol: label i is revealed just before event i + delay.

    Before its first label a model is not asked: (None, {}).
    """
    from stream_app.models.seeds import seed_for

    model = definition.champion(seed_for(definition.seed, "champion", 0))
    for i, (x, y) in enumerate(rows):
        if act.delay is not None and i >= act.delay:
            model.learn_one(*rows[i - act.delay])
        learned = i if act.delay is None else i + 1 - act.delay
        yield (model.predict_one(x), model.predict_proba_one(x)) if learned > 0 else (None, {})
        if act.delay is None:
            model.learn_one(x, y)


def compare(act: Act, definition: Any, rows: list[Any], settings: Any) -> dict[str, Any]:
    """Committed predictions against the reference, bit by bit; a cold one stands for `{}` or `None`."""
    from stream_app.client.consumer import CommittedReader, PredictionConsumer

    kafka = settings.kafka.kafka_python()
    served: dict[str, dict[str, Any]] = {}
    predictions = 0
    consumer = PredictionConsumer(definition.name, kafka, until_end=True)
    for prediction in consumer:
        served[prediction["event_id"]] = prediction
        predictions += 1
    consumer.close()
    identical, right, reference_right = predictions == len(rows), 0, 0
    for i, (answer, probabilities) in enumerate(reference(act, definition, rows)):
        label, ours = rows[i][1], served.get(str(i))
        reference_right += answer == label
        if ours is None:
            identical = False
            continue
        right += ours["prediction"] == label
        cold = answer is None or not probabilities
        texts = {orjson.dumps(name).decode(): p for name, p in probabilities.items()}
        same = ours["prediction"] == answer and ours.get("probabilities") == texts
        identical = identical and (ours["cold"] if cold else same)
    newest: dict[str, Any] = {}
    for record in read_all(CommittedReader(kafka, f"{definition.name}.stats", until_end=True)):
        newest = orjson.loads(record.value)
    dead = sum(1 for _ in read_all(CommittedReader(kafka, f"{definition.name}.dead-letters", until_end=True)))
    journal = read_all(CommittedReader(kafka, f"{definition.name}.journal", until_end=True))
    stamps = [record.timestamp for record in journal]
    seconds = max(0.001, (stamps[-1] - stamps[0]) / 1000)
    return {
        "name": act.name,
        "events": len(rows),
        "predictions": predictions,
        "labels_learned": newest["counts"]["labels_learned"],
        "dead_letters": dead,
        "accuracy": right / len(rows),
        "reference_accuracy": reference_right / len(rows),
        "identical_to_reference": identical,
        "events_per_second": round(len(rows) / seconds),
        "seconds": seconds,
    }


def read_all(reader: Any) -> Iterator[Any]:
    """Every record, and the reader closed after them."""
    try:
        yield from reader
    finally:
        reader.close()
