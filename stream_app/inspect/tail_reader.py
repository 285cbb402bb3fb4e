"""kafka-python: single records out of long partitions, found from their end or at an offset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from stream_app.client.connect import Closing, Kafka, arguments, connecting, reading
from stream_app.errors import Refused

POLL_MS = 100
FIRST_LOOK_BACK = 64  # offsets before the end; every second one is a transaction's marker
PATIENCE_S = 10.0

Place = tuple[str, int]  # topic and partition


class TailReader(Closing):
    """Reads committed records of some topics here and there, without a group; a context manager.

    Raises:
        Refused: no broker answers, or it stops answering.
    """

    def __init__(self, kafka: Kafka, topics: Iterable[str]) -> None:
        with connecting(kafka):
            self.consumer = KafkaConsumer(
                **arguments(kafka),
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_poll_records=5_000,
            )
        # The client waits for 100 ms when it first hears of a topic; so it hears of all at once.
        self.consumer.beginning_offsets([TopicPartition(topic, 0) for topic in topics])

    def newest(self, topic: str, partitions: int) -> dict[int, ConsumerRecord]:
        """By partition: its newest committed record, where it holds one."""
        places = [TopicPartition(topic, number) for number in range(partitions)]
        with reading(topic):
            first, end = self.consumer.beginning_offsets(places), self.consumer.end_offsets(places)
        found: dict[int, ConsumerRecord] = {}
        back = FIRST_LOOK_BACK
        searched = {place for place in places if end[place] > first[place]}
        while searched:
            starts = {place: max(first[place], end[place] - back) for place in searched}
            for record in self.read(starts, end):
                found[record.partition] = record
            searched = {
                place for place in searched if place.partition not in found and starts[place] > first[place]
            }
            back *= 16
        return found

    def oldest(self, topic: str, partitions: int, offsets: int) -> list[ConsumerRecord]:
        """What the first so many offsets of each partition hold."""
        places = [TopicPartition(topic, number) for number in range(partitions)]
        with reading(topic):
            first, end = self.consumer.beginning_offsets(places), self.consumer.end_offsets(places)
        until = {place: min(end[place], first[place] + offsets) for place in places}
        starts = {place: first[place] for place in places if until[place] > first[place]}
        return self.read(starts, until) if starts else []

    def read(
        self, starts: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
    ) -> list[ConsumerRecord]:
        """All records between two offsets of each partition."""
        self.seek(starts)
        records: list[ConsumerRecord] = []
        patience = Patience()
        while any(self.consumer.position(place) < end[place] for place in starts):
            with reading(named(place.topic for place in starts)):
                polled = self.consumer.poll(timeout_ms=POLL_MS)
            for batch in polled.values():
                records += batch
            patience.saw(bool(polled))
        return records

    def stamps_ms(self, spans: Mapping[Place, tuple[int, int]]) -> dict[Place, int]:
        """By partition: the time of the first committed record between two offsets, where there is one."""
        starts = {TopicPartition(*place): first for place, (first, _) in spans.items()}
        self.seek(starts)
        found: dict[Place, int] = {}
        patience = Patience()
        while any(
            place not in found and self.consumer.position(TopicPartition(*place)) < end
            for place, (_, end) in spans.items()
        ):
            with reading(named(topic for topic, _ in spans)):
                polled = self.consumer.poll(timeout_ms=POLL_MS)
            for place, batch in polled.items():
                found.setdefault((place.topic, place.partition), int(batch[0].timestamp))
                self.consumer.pause(place)
            patience.saw(bool(polled))
        return found

    def first_offsets(self, places: list[Place]) -> dict[Place, int]:
        """By partition: the oldest offset that is still there."""
        found = self.consumer.beginning_offsets([TopicPartition(*place) for place in places])
        return {(place.topic, place.partition): int(offset) for place, offset in found.items()}

    def seek(self, starts: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, from these offsets, whatever was paused before."""
        self.consumer.assign(list(starts))
        self.consumer.resume(*starts)  # the client keeps a pause from one assignment to the next
        for place, offset in starts.items():
            self.consumer.seek(place, offset)

    def close(self) -> None:
        """Let go of the connection."""
        self.consumer.close()


def named(topics: Iterable[str]) -> str:
    """Each topic once."""
    return ", ".join(sorted(set(topics)))


class Patience:
    """Ends a wait that brings nothing: kafka-python polls a dead broker for ever."""

    def __init__(self) -> None:
        self.last_s = time.monotonic()

    def saw(self, something: bool) -> None:
        """Note one turn.

        Raises:
            Refused: nothing came for ten seconds.
        """
        now_s = time.monotonic()
        if something:
            self.last_s = now_s
        elif now_s - self.last_s > PATIENCE_S:
            raise Refused(
                "the broker stopped answering", "Look at its log; `stream-app doctor` asks it again"
            )
