"""Which compression codecs the Kafka clients of this environment read: three of them read the same topics."""

from __future__ import annotations

from collections.abc import Iterator

CODECS = ("gzip", "snappy", "lz4", "zstd")
LEARNER, TOOLS, OPS = "confluent-kafka", "kafka-python", "aiokafka"
INSTALL = {
    LEARNER: "pip install --force-reinstall confluent-kafka",
    TOOLS: "pip install 'kafka-python[{codec}]'",
    OPS: "pip install cramjam",
}


def unread(codec: str) -> Iterator[tuple[str, str]]:
    """Each client that cannot read a codec, and the command that helps."""
    readers = {LEARNER: librdkafka_reads, TOOLS: kafka_python_reads, OPS: aiokafka_reads}
    for client, reads in readers.items():
        if not reads(codec):
            yield client, INSTALL[client].format(codec=codec)


def librdkafka_reads(codec: str) -> bool:
    """Whether the learner's client was built with the codec."""
    from confluent_kafka import KafkaException, Producer  # noqa: PLC0415  few commands need any of these

    try:
        Producer({"builtin.features": codec, "log_level": 0})
    except KafkaException:
        return False
    return True


def kafka_python_reads(codec: str) -> bool:
    """Whether the client of tools and users finds the codec's library."""
    from kafka import codec as kafka_codec  # noqa: PLC0415

    return bool(getattr(kafka_codec, f"has_{codec}")())


def aiokafka_reads(codec: str) -> bool:
    """Whether the client of ops finds the codec's library."""
    from aiokafka import codec as aiokafka_codec  # noqa: PLC0415

    return bool(getattr(aiokafka_codec, f"has_{codec}")())
