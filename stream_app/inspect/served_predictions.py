"""kafka-python: the committed prediction of one event, found in its topic."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import orjson
from kafka import TopicPartition

from stream_app.client.connect import Kafka, reading
from stream_app.inspect.tail_reader import POLL_MS, Patience, TailReader
from topics.records import Prediction


def find_prediction(
    kafka: Kafka,
    topic: str,
    partitions: list[int],
    event_id: str,
    progress: Callable[[int], None] = lambda _read: None,
) -> Prediction | None:
    """Read some partitions and give the event's newest prediction; None without one.

    An id may come again once it is forgotten (`dedupe`).

    Raises:
        Refused: no broker answers, or it stops answering.
    """
    places = [TopicPartition(topic, number) for number in partitions]
    quoted, read = orjson.dumps(event_id), 0
    newest: Prediction | None = None
    with TailReader(kafka, (topic,)) as tail:
        with reading(topic):
            first, end = tail.consumer.beginning_offsets(places), tail.consumer.end_offsets(places)
        tail.seek({place: first[place] for place in places})
        patience = Patience()
        while any(tail.consumer.position(place) < end[place] for place in places):
            with reading(topic):
                polled = tail.consumer.poll(timeout_ms=POLL_MS)
            for records in polled.values():
                read += len(records)
                for record in records:
                    if record.value is not None and quoted in record.value:  # decoding each takes long
                        found = msgspec.json.decode(record.value, type=Prediction)
                        if found.event_id == event_id and (newest is None or found.time_ms >= newest.time_ms):
                            newest = found
            patience.saw(bool(polled))
            progress(read)
    return newest
