"""`stream-app consume`: one line for each committed record, and an end that is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from tests.integration.command_line import CommandLine


@pytest.fixture
def plain(created: CommandLine) -> Iterator[KafkaProducer]:
    """Any producer at all."""
    producer = KafkaProducer(bootstrap_servers=created.services.bootstrap_servers)
    yield producer
    producer.close()


@pytest.fixture
def filled(created: CommandLine, plain: KafkaProducer) -> CommandLine:
    """Five alerts in two partitions."""
    for number in range(5):
        value = b'{"n":%d}' % number
        plain.send(
            f"{created.name}.alerts", value, b"k", [("h", b"1")], number % 2, timestamp_ms=1_000 + number
        )
    plain.flush()
    return created


def test_a_record_is_one_json_line(filled: CommandLine) -> None:
    """Key, partition, offset, event time, value and headers, from the beginning to today's end."""
    done = filled("consume", filled.target, "alerts", "--json")
    assert (done.code, done.err) == (0, "")
    lines = sorted(done.lines(), key=lambda line: line["timestamp_ms"])
    assert lines[3] == {
        "key": "k",
        "partition": 1,
        "offset": 1,
        "timestamp_ms": 1_003,
        "value": {"n": 3},
        "headers": {"h": "1"},
    }
    assert [line["value"]["n"] for line in lines] == list(range(5))


def test_max_and_timeout_end_it(filled: CommandLine) -> None:
    """After N records though more are there; after S seconds of silence though more might come."""
    assert len(filled("consume", filled.target, "alerts", "--json", "--max", "2").lines()) == 2
    started_s = time.monotonic()
    assert len(filled("consume", filled.target, "alerts", "--json", "--timeout", "0.5").lines()) == 5
    assert time.monotonic() - started_s >= 0.5


def test_a_timeout_waits_for_what_is_still_to_come(filled: CommandLine, plain: KafkaProducer) -> None:
    """With `--timeout` today's end is not the end: a record written later is shown."""
    command = [sys.executable, "-m", "stream_app", "consume", filled.target, "alerts", "--json"]
    environment = {**os.environ, **filled.environment}
    with subprocess.Popen(
        [*command, "--timeout", "60", "--max", "6"], env=environment, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        for _ in range(5):
            reader.stdout.readline()
        plain.send(f"{filled.name}.alerts", b'"late"', partition=0)
        plain.flush()
        assert b'"value":"late"' in reader.stdout.readline()
    assert reader.returncode == 0


def test_what_is_no_text_is_shown_and_harmless(created: CommandLine, plain: KafkaProducer) -> None:
    """Broken bytes as base64 in JSON; a terminal is not steered by a key."""
    topic = f"{created.name}.events"
    plain.send(topic, b"\xff\x00", b"\xfe", partition=0)
    plain.send(topic, None, b"\x1b[31mred", partition=0)
    plain.flush()
    first, second = created("consume", created.target, "events", "--json").lines()
    assert (first["key"], first["value"]) == ({"base64": "/g=="}, {"base64": "/wA="})
    assert second["value"] is None
    assert "\x1b" not in created("consume", created.target, "events").out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nothing"], "unknown topic 'nothing'"),
        (["alerts", "--max", "0"], "--max"),
        (["alerts", "--timeout", "-1"], "--timeout"),
    ],
)
def test_a_wrong_call_is_a_usage_error(created: CommandLine, arguments: list[str], why: str) -> None:
    """Exit 2, and it says which word."""
    done = created("consume", created.target, *arguments)
    assert (done.code, why in done.err) == (2, True)


def test_missing_topics_are_refused(stream_app: CommandLine) -> None:
    """With the command that creates them."""
    done = stream_app("consume", stream_app.target, "predictions", "--json")
    assert (done.code, done.out) == (3, "")
    assert "topics create" in done.err
