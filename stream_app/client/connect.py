"""kafka-python's clients, and what their failures mean to the person who called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from kafka.errors import (
    AuthorizationError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
)
from kafka.net.sasl.oauth import AbstractTokenProvider

from stream_app.errors import NO_TOPIC_FIX, Refused, StreamAppError
from stream_app.tokens import TokenProvider

AbstractTokenProvider.register(TokenProvider)
Kafka = str | Mapping[str, Any]  # a bootstrap address, or kafka-python's keyword arguments
CONNECT_WITHIN_MS = 10_000


class Closing:
    """A context manager that closes at its end."""

    def close(self) -> None:
        """Let go of what is open."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def arguments(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments for a client that gives up on an absent broker within ten seconds."""
    given = {"bootstrap_servers": kafka} if isinstance(kafka, str) else dict(kafka)
    return {"bootstrap_timeout_ms": CONNECT_WITHIN_MS, **given}


@contextmanager
def connecting(kafka: Kafka) -> Iterator[None]:
    """Around the making of a client.

    Raises:
        Refused: no broker answers, or it does not let us in.
    """
    try:
        yield
    except (KafkaError, OSError) as error:
        servers = arguments(kafka)["bootstrap_servers"]
        raise Refused(
            f"no Kafka broker answers at {servers if isinstance(servers, str) else ','.join(servers)} "
            f"({type(error).__name__})",
            "Start it (`stream-app services up`), or correct STREAM_APP_KAFKA__… (address, TLS, SASL)",
        ) from error


@contextmanager
def reading(topic: str) -> Iterator[None]:
    """Around each call that reads records of a topic.

    Raises:
        Refused: in place of the client's error: a codec without its library, no rights, a broker that fails.
    """
    try:
        yield
    except (KafkaError, OSError) as error:
        raise unread(topic, error) from error


def unread(topic: str, error: Exception) -> Refused:
    """What to raise when records could not be read."""
    if isinstance(error, UnsupportedCodecError):
        codec = next((name for name in ("gzip", "snappy", "lz4", "zstd") if name in str(error)), "")
        return Refused(
            f"{topic} holds records compressed with {codec or 'a codec'} that kafka-python cannot read here",
            f"pip install 'kafka-python[{codec or 'lz4,snappy,zstd'}]'",
        )
    if isinstance(error, AuthorizationError):
        return Refused(f"the broker does not let us read {topic}", "Grant this principal Read on it")
    return Refused(
        f"{topic} cannot be read now ({type(error).__name__})",
        "Look at the broker's log; `stream-app doctor` asks it again",
    )


def unwritten(topic: str, error: Exception) -> StreamAppError:
    """What to raise when a record could not be written."""
    if isinstance(error, UnknownTopicOrPartitionError) or "metadata" in str(error):
        return Refused(f"there is no topic {topic}", NO_TOPIC_FIX)
    if isinstance(error, AuthorizationError):
        return Refused(f"the broker does not let us write {topic}", "Grant this principal Write on it")
    if isinstance(error, InvalidTimestampError):
        return Refused(
            f"the broker finds a time of {topic} too far ahead", "Set this machine's clock, or the broker's"
        )
    waited = " in time" if isinstance(error, KafkaTimeoutError) else ""
    return StreamAppError(
        f"a record of {topic} was not written{waited} ({type(error).__name__})",
        "Check the broker, then send again under the same event_id: repeats are dropped",
    )
