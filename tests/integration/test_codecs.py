"""Topics in every compression that Kafka knows: read, or refused in a sentence that names the library."""

from __future__ import annotations

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from stream_app.adapters.codecs import CODECS
from stream_app.client import PredictionConsumer
from stream_app.errors import Refused
from tests.integration.command_line import CommandLine

MISSING = "kafka.codec.snappy"  # the library, as kafka-python holds it; None where it is not installed


def compress(app: CommandLine, topic: str, codec: str) -> None:
    """Let the broker keep a topic in a codec, whatever producers use, and write a record to it."""
    name, servers = f"{app.name}.{topic}", app.services.bootstrap_servers
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"compression.type": codec})])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=servers, compression_type=codec)  # the change may come late
    producer.send(name, b'{"n":1}', b"k", partition=0).get(10)
    producer.close()


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read(codec: str, created: CommandLine) -> None:
    """What the lock file installs reads each of them; `topics check` has nothing to say."""
    compress(created, "predictions", codec)
    done = created("consume", created.target, "predictions", "--json")
    assert (done.code, [line["value"] for line in done.lines()]) == (0, [{"n": 1}]), done.err
    assert created("topics", "check", created.target).code == 0
    states = {line["check"]: line["state"] for line in created("doctor", "--json").lines()}
    assert {name: states[name] for name in CODECS} == dict.fromkeys(CODECS, "ok")


def test_a_missing_library_is_named_wherever_its_topic_is_read(
    created: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands and the SDK end with one sentence and its remedy; two checks say so beforehand."""
    for topic in ("predictions", "models", "stats"):
        compress(created, topic, "snappy")
    monkeypatch.setattr(MISSING, None)
    remedy = "pip install 'kafka-python[snappy]'"
    for call in (("consume", created.target, "predictions"), ("status", created.target)):
        done = created(*call)
        assert done.code == 3, done
        assert "compressed with snappy" in done.err
        assert remedy in done.err
        assert "Traceback" not in done.err
    consumer = PredictionConsumer(created.name, created.services.bootstrap_servers, timeout_s=15)
    with consumer, pytest.raises(Refused, match="predictions holds records compressed with snappy"):
        list(consumer)
    checked = created("topics", "check", created.target, "--json")
    told = {line["topic"]: line["mismatches"] for line in checked.lines() if line["mismatches"]}
    assert told.keys() == {f"{created.name}.{topic}" for topic in ("predictions", "models", "stats")}
    assert all("kafka-python cannot read" in found[0]["what"] for found in told.values())
    assert all(found[0]["fix"] == remedy for found in told.values())
    (line,) = [line for line in created("doctor", "--json").lines() if line["check"] == "snappy"]
    assert (line["state"], line["fix"]) == ("warn", remedy)
