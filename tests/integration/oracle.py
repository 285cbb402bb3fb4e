"""The independent judge: what a shard should have committed, by another client and bare River alone.

    python -m tests.integration.oracle rule|journal BOOTSTRAP_SERVERS APP…

Reads the inputs of each application with kafka-python, puts each shard's records in order, by the order rule
or as the shard's journal tells, and prints the predictions that follow from it: a JSON array per line,
[app, shard, [prediction…]]. Imports nothing of the system that it judges.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from river import linear_model, optim, preprocessing

INPUTS = ("commands", "events", "labels")  # a tie of time goes to the first of these
LETTERS = {name[0]: name for name in INPUTS}

Source = dict[str, list[Any]]  # input → its records in order of offset


def read(consumer: KafkaConsumer, topic: str, shard: int) -> list[Any]:
    """All committed records of one partition."""
    place = TopicPartition(topic, shard)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    end, found = consumer.end_offsets([place])[place], []
    while consumer.position(place) < end:
        for records in consumer.poll(timeout_ms=200).values():
            found += records
    return found


def by_rule(source: Source) -> Iterator[tuple[str, Any]]:
    """A plain sort: (time, never earlier than the input's own past; commands, events, labels; offset)."""
    keyed = [
        (time_ms, INPUTS.index(name), record.offset, record)
        for name, records in source.items()
        for time_ms, record in zip(accumulate((r.timestamp for r in records), max), records, strict=True)
    ]
    for _, rank, _, record in sorted(keyed, key=lambda entry: entry[:3]):
        yield INPUTS[rank], record


def by_journal(source: Source, journal: list[Any]) -> Iterator[tuple[str, Any]]:
    """As the journal's batches say; a record that they pass over or name twice is an error."""
    at = dict.fromkeys(INPUTS, 0)
    for entry in (json.loads(record.value) for record in journal):
        if entry["type"] != "batch":
            continue
        for letter, count in re.findall(r"([cel])(\d*)", entry["order"]):
            name = LETTERS[letter]
            start, to, _ = entry["inputs"][name]
            for _ in range(int(count or 1)):
                record = source[name][at[name]]
                if not start <= record.offset < to:
                    raise SystemExit(f"{name}@{record.offset} is not in {start}…{to} of seq {entry['seq']}")
                at[name] += 1
                yield name, record
    left = {name: len(source[name]) - n for name, n in at.items()}
    if any(left.values()):
        raise SystemExit(f"the journal does not name all records: {left} are left")


class Reference:
    """Bare River: predicts at an event; learns that row once both, event and label, are there."""

    def __init__(self) -> None:
        self.model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005))
        self.rows: dict[str, dict[str, Any]] = {}
        self.early: dict[str, dict[str, Any]] = {}
        self.predictions: list[dict[str, Any]] = []
        self.learned, self.time_ms, self.paused = 0, 0, False

    def apply(self, name: str, record: Any) -> None:
        """One record of an input."""
        value = json.loads(record.value)
        self.time_ms = max(self.time_ms, record.timestamp)
        if name == "commands":
            self.paused = value["command"] == "pause"
        elif name == "events":
            self.event(record, value)
        elif value["event_id"] in self.rows:
            self.learn(self.rows.pop(value["event_id"]), value)
        else:
            self.early[value["event_id"]] = value

    def event(self, record: Any, value: dict[str, Any]) -> None:
        """Predict; learn at once what the event brings along, or what came before it."""
        row, event_id = value["features"], value["event_id"]
        asked = self.learned > 0  # a model without a lesson is cold, and is not asked
        by_class = self.model.predict_proba_one(row) if asked else {}
        self.predictions.append(
            {
                "event_id": event_id,
                "key": record.key.decode(),
                "offset": record.offset,
                "time_ms": self.time_ms,
                "learned": self.learned,
                "prediction": self.model.predict_one(row) if asked else None,
                "probabilities": {json.dumps(name): by_class[name] for name in by_class} or None,
            }
        )
        if "label" in value:
            self.learn(row, value)
        elif event_id in self.early:
            self.learn(row, self.early.pop(event_id))
        else:
            self.rows[event_id] = row

    def learn(self, row: dict[str, Any], label: dict[str, Any]) -> None:
        """A pause loses the label for good."""
        if not self.paused:
            self.model.learn_one(row, label["label"], w=label.get("weight", 1.0))
            self.learned += 1


def judge(consumer: KafkaConsumer, order: str, app: str) -> None:
    """Print what each shard of an application should have committed."""
    for shard in sorted(consumer.partitions_for_topic(f"{app}.events")):
        source = {name: read(consumer, f"{app}.{name}", shard) for name in INPUTS}
        journal = read(consumer, f"{app}.journal", shard) if order == "journal" else []
        reference = Reference()
        for name, record in by_journal(source, journal) if order == "journal" else by_rule(source):
            reference.apply(name, record)
        print(json.dumps([app, shard, reference.predictions]))  # noqa: T201  its output


def main(order: str, servers: str, *apps: str) -> None:
    """One consumer for all applications."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
    )
    try:
        for app in apps:
            judge(consumer, order, app)
    finally:
        consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
