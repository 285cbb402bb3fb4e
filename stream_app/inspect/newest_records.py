"""kafka-python: the newest records of any topic, as the bridge would see them."""

from __future__ import annotations

from collections.abc import Iterator

from kafka import TopicPartition

from stream_app.bridge_port import Place
from stream_app.client.connect import Kafka, reading
from stream_app.errors import Refused
from stream_app.inspect.tail_reader import TailReader
from topics.envelope import EVENT, Record


def newest_records(kafka: Kafka, topic: str, n: int) -> Iterator[tuple[Record, Place]]:
    """The newest n records of each partition with their places; fewer where offsets hold no record.

    Raises:
        Refused: no broker answers, or there is no such topic.
    """
    with TailReader(kafka, ()) as tail:
        with reading(topic):
            numbers = tail.consumer.partitions_for_topic(topic)
        if not numbers:
            raise Refused(
                f"there is no topic {topic}",
                "Correct its name in inputs=, create it, or let this user describe it",
            )
        places = [TopicPartition(topic, number) for number in sorted(numbers)]
        with reading(topic):
            first, end = tail.consumer.beginning_offsets(places), tail.consumer.end_offsets(places)
        starts = {place: max(first[place], end[place] - n) for place in places if end[place] > first[place]}
        found = tail.read(starts, end) if starts else []
    for one in sorted(found, key=lambda one: (one.partition, one.offset)):
        record = Record(EVENT, one.offset, int(one.timestamp), one.key, one.value, list(one.headers))
        yield record, Place(topic, one.partition, one.offset)
