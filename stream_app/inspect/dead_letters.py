"""Dead letters as typed records, and the way back to the topic they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import msgspec
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from stream_app.client.connect import Kafka, arguments, connecting, unwritten
from stream_app.client.consumer import POLL_MS, CommittedReader
from stream_app.client.producer import TUNING
from stream_app.inspect.tail_reader import Patience

OURS = "__stream_app."  # every header of ours begins so
ERRORS = f"{OURS}errors."
RETRY = f"{OURS}retry"  # how often the record was sent again
RETRY_OF = f"{OURS}retry-of"  # the letter that was sent again
SOURCE = f"{OURS}source"  # where the bridge's record stood, as `stream_app.bridge` reads it
INPUTS = ("events", "labels", "commands")
LARGEST_ORIGINAL_BYTES = 1 << 30  # the broker judges what it is compressed to


class DeadLetter(msgspec.Struct):
    """One refused record: where the letter stands, why, where the record stood, and the record itself.

    `origin` is the place in the user's topic of a record that the bridge copied, empty for others. `cut`
    names what of it does not fit a letter and was cut (value, key, headers), empty where all is there;
    `size` in bytes and `sha256` are then the whole value's.
    """

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
    cut: str = ""
    size: int = -1
    sha256: str = ""
    origin: str = ""

    @property
    def place(self) -> str:
        """The letter's name on the command line."""
        return f"{self.partition}:{self.offset}"

    @property
    def was_answered(self) -> bool:
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
    ours = [(name, value) for name, value in record.headers if name.startswith(OURS)]
    texts = {name: (value or b"").decode(errors="replace") for name, value in ours}
    # Ours begin with the newest reason; a producer may have sent headers of the same names before them.
    reasons = [place for place, (name, _) in enumerate(ours) if name == f"{ERRORS}reason"]
    newest = {name: texts[name] for name, _ in ours[reasons[-1] :]} if reasons else {}
    origin = texts.get(SOURCE, "")
    at = "/".join(texts.get(f"{ERRORS}{part}", "") for part in ("topic", "partition", "offset"))
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        time_ms=record.timestamp,
        reason=texts.get(f"{ERRORS}reason", ""),
        message=texts.get(f"{ERRORS}message", ""),
        stage=texts.get(f"{ERRORS}stage", ""),
        source_topic=texts.get(f"{ERRORS}topic", ""),
        source_partition=number(texts.get(f"{ERRORS}partition"), -1),
        source_offset=number(texts.get(f"{ERRORS}offset"), -1),
        retries=number(texts.get(RETRY), 0),
        retry_of=texts.get(RETRY_OF),
        key=record.key,
        value=record.value,
        headers=[(name, value) for name, value in record.headers if not name.startswith(OURS)],
        cut=newest.get(f"{ERRORS}cut", ""),
        size=number(newest.get(f"{ERRORS}size"), -1),
        sha256=newest.get(f"{ERRORS}sha256", ""),
        origin="" if origin == at else origin,
    )


def number(text: str | None, default: int) -> int:
    """A header's number; whoever wrote the record may have put anything into it."""
    return int(text) if text and text.isascii() and text.isdigit() else default


class Originals:
    """Reads the records that cut letters stand for, where the inputs still hold them."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.readers: dict[str, CommittedReader] = {}

    def find(self, letter: DeadLetter) -> DeadLetter | None:
        """The letter with its record whole; None if that is deleted, or is not the one that was refused.

        Raises:
            Refused: the broker stopped answering.
        """
        record = self.read(letter.source_topic, letter.source_partition, letter.source_offset)
        if record is None or sha256(record.value or b"").hexdigest() != letter.sha256:
            return None
        headers = [(name, value) for name, value in record.headers if not name.startswith(OURS)]
        return msgspec.structs.replace(letter, key=record.key, value=record.value, headers=headers, cut="")

    def read(self, topic: str, partition: int, offset: int) -> Any:
        """The committed record at an offset, None if there is none."""
        if topic not in self.readers:
            self.readers[topic] = CommittedReader(self.kafka, topic)
        consumer, here = self.readers[topic].consumer, TopicPartition(topic, partition)
        if here not in self.readers[topic].partitions:
            return None
        first, end = consumer.beginning_offsets([here])[here], consumer.end_offsets([here])[here]
        if not first <= offset < end:
            return None
        consumer.assign([here])
        consumer.seek(here, offset)
        patience = Patience()
        while consumer.position(here) <= offset:
            found = consumer.poll(timeout_ms=POLL_MS, max_records=1).get(here)
            if found:
                return found[0] if found[0].offset == offset else None
            patience.saw(False)
        return None

    def close(self) -> None:
        """Let go of the connections."""
        for reader in self.readers.values():
            reader.close()


class DeadLetterRetry:
    """Sends dead letters back to their topics, each marked with the number of its retries.

    Those of `bridged` topics, which belong to others, go to the bridge alone, by a topic of its own.
    """

    def __init__(self, app: str, kafka: Kafka, bridged: Iterable[str] = ()) -> None:
        self.topics = {f"{app}.{name}" for name in INPUTS}
        self.bridged, self.retries = frozenset(bridged), f"{app}.retries"
        self.originals = Originals(kafka)
        self.failed: list[tuple[str, Exception]] = []
        with connecting(kafka):
            self.producer = KafkaProducer(
                **{**arguments(kafka), **TUNING, "max_request_size": LARGEST_ORIGINAL_BYTES}
            )

    def send(self, letter: DeadLetter) -> str:
        """Send one back as it was, stamped now: "sent", or why not.

        "foreign": its source is no input topic of the application. "lost": it was cut, and its original is no
        longer in the input. A keyed record is placed by its key again, so that one from a wrong partition
        finds the right one.
        """
        if letter.source_topic not in self.topics | self.bridged:
            return "foreign"
        if letter.cut:
            whole = self.originals.find(letter)
            if whole is None:
                return "lost"
            letter = whole
        topic, partition = letter.source_topic, None
        marks = {RETRY: str(letter.retries + 1), RETRY_OF: letter.place}
        if topic in self.bridged:
            marks[SOURCE] = f"{topic}/{letter.source_partition}/{letter.source_offset}"
            topic, partition = self.retries, 0
        elif letter.key is None or topic.endswith(".commands"):
            partition = letter.source_partition
        headers = [*letter.headers, *((name, text.encode()) for name, text in marks.items())]
        try:
            future = self.producer.send(topic, letter.value, letter.key, headers=headers, partition=partition)
        except KafkaError as error:
            raise unwritten(topic, error) from error
        future.add_errback(lambda error: self.failed.append((topic, error)))
        return "sent"

    def close(self) -> None:
        """Wait until all is written.

        Raises:
            Refused, StreamAppError: a record was not.
        """
        self.originals.close()
        try:
            self.producer.flush()
        except KafkaError as error:
            self.failed.append(("the inputs", error))
        self.producer.close()
        for topic, cause in self.failed[:1]:
            raise unwritten(topic, cause) from cause
