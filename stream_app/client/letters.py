"""Dead letters as typed records, and the way back to the topic they came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from stream_app.client.connect import Kafka, arguments, connecting, unwritten
from stream_app.client.consumer import CommittedReader
from stream_app.client.producer import TUNING

OURS = "__stream_app."  # every header of ours begins so
ERRORS = f"{OURS}errors."
RETRY = f"{OURS}retry"  # how often the record was sent again
RETRY_OF = f"{OURS}retry-of"  # the letter that was sent again
INPUTS = ("events", "labels", "commands")


class DeadLetter(msgspec.Struct):
    """One refused record: where the letter stands, why, where the record stood, and the record itself."""

    partition: int
    offset: int
    time_ms: int
    reason: str
    message: str
    stage: str
    source_topic: str
    source_partition: int
    source_offset: int
    retries: int
    retry_of: str | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    @property
    def place(self) -> str:
        """The letter's name on the command line."""
        return f"{self.partition}:{self.offset}"

    @property
    def settled(self) -> bool:
        """The champion raised while it learned: the event is answered and its label counts as come.

        A retry is dropped as a duplicate, or answered a second time once the id is forgotten.
        """
        return self.stage == "learn"


def dead_letters(app: str, kafka: Kafka) -> Iterator[DeadLetter]:
    """All dead letters that are there now, by partition and age."""
    with CommittedReader(kafka, f"{app}.dead-letters", until_end=True) as reader:
        for record in reader:
            yield letter_of(record)


def letter_of(record: Any) -> DeadLetter:
    """A record of the dead-letters topic; a header that is missing leaves its field empty, or −1."""
    told = {
        name: (value or b"").decode(errors="replace")
        for name, value in record.headers
        if name.startswith(OURS)
    }
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        time_ms=record.timestamp,
        reason=told.get(f"{ERRORS}reason", ""),
        message=told.get(f"{ERRORS}message", ""),
        stage=told.get(f"{ERRORS}stage", ""),
        source_topic=told.get(f"{ERRORS}topic", ""),
        source_partition=number(told.get(f"{ERRORS}partition"), -1),
        source_offset=number(told.get(f"{ERRORS}offset"), -1),
        retries=number(told.get(RETRY), 0),
        retry_of=told.get(RETRY_OF),
        key=record.key,
        value=record.value,
        headers=[(name, value) for name, value in record.headers if not name.startswith(OURS)],
    )


def number(text: str | None, default: int) -> int:
    """A header's number; whoever wrote the record may have put anything into it."""
    return int(text) if text and text.isascii() and text.isdigit() else default


class Returns:
    """Sends dead letters back to their topics, each marked with the number of its retries."""

    def __init__(self, app: str, kafka: Kafka) -> None:
        self.topics = {f"{app}.{name}" for name in INPUTS}
        self.failed: list[tuple[str, Exception]] = []
        with connecting(kafka):
            self.producer = KafkaProducer(**{**arguments(kafka), **TUNING})

    def send(self, letter: DeadLetter) -> bool:
        """Send one back as it was, stamped now; False if its source is no input topic of the application.

        A keyed record is placed by its key anew, so that one from a wrong partition finds the right one.
        """
        if letter.source_topic not in self.topics:
            return False
        by_hand = letter.key is None or letter.source_topic.endswith(".commands")
        marks = {RETRY: str(letter.retries + 1), RETRY_OF: letter.place}
        headers = [*letter.headers, *((name, text.encode()) for name, text in marks.items())]
        try:
            future = self.producer.send(
                letter.source_topic,
                letter.value,
                letter.key,
                headers=headers,
                partition=letter.source_partition if by_hand else None,
            )
        except KafkaError as error:
            raise unwritten(letter.source_topic, error) from error
        future.add_errback(lambda error: self.failed.append((letter.source_topic, error)))
        return True

    def close(self) -> None:
        """Wait until all is written.

        Raises:
            Refused, StreamAppError: a record was not.
        """
        try:
            self.producer.flush()
        except KafkaError as error:
            self.failed.append(("the inputs", error))
        self.producer.close()
        for topic, cause in self.failed[:1]:
            raise unwritten(topic, cause) from cause
