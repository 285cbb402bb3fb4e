"""Where the system runs, read once and told to every client."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from stream_app.errors import UsageError
from stream_app.settings import load_settings

CANARY = "canary-7f3a91-canary"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where neither a file nor a variable of this machine is seen."""
    monkeypatch.chdir(tmp_path)
    for name in ("KAFKA__BOOTSTRAP_SERVERS", "REDIS__URL", "SIGNING__KEYS", "SNAPSHOTS__URL", "CONFIG"):
        monkeypatch.delenv(f"STREAM_APP_{name}", raising=False)


def refused(**overrides: Any) -> str:
    """What `load_settings` says when it refuses."""
    with pytest.raises(UsageError) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_flags_win_over_environment_and_environment_over_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source fills what the stronger ones leave open, also within one section."""
    Path("stream-app.toml").write_text(
        '[kafka]\nbootstrap_servers = "file:1"\nreplication = 3\n[learner]\nbatch_ms = 7'
    )
    assert load_settings().kafka.bootstrap_servers == "file:1"
    monkeypatch.setenv("STREAM_APP_KAFKA__BOOTSTRAP_SERVERS", "environment:1")
    assert load_settings().kafka.bootstrap_servers == "environment:1"
    settings = load_settings(kafka={"bootstrap_servers": "flag:1"})
    assert (settings.kafka.bootstrap_servers, settings.kafka.replication, settings.learner.batch_ms) == (
        "flag:1",
        3,
        7,
    )


def test_a_named_file_is_read_and_a_missing_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STREAM_APP_CONFIG never falls back in silence."""
    file = tmp_path / "elsewhere.toml"
    file.write_text('[snapshots]\nurl = "s3://bucket"')
    monkeypatch.setenv("STREAM_APP_CONFIG", str(file))
    assert load_settings().snapshots.url == "s3://bucket"
    file.unlink()
    assert "there is no file" in refused()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[kafak]\nx = 1", "kafak"),
        ('[kafka]\nbootstrap_server = "a"', "kafka.bootstrap_server"),
        ("x = ?", "line 1"),
    ],
)
def test_a_mistake_in_the_file_is_refused_by_name(text: str, named: str) -> None:
    """An unknown name would otherwise be a setting that silently does nothing."""
    Path("stream-app.toml").write_text(text)
    assert named in refused()


def test_a_misspelt_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both a section and a name in it that do not exist are told."""
    monkeypatch.setenv("STREAM_APP_KAFAK__BOOTSTRAP_SERVERS", "x")
    assert "STREAM_APP_KAFAK__BOOTSTRAP_SERVERS" in refused()
    monkeypatch.delenv("STREAM_APP_KAFAK__BOOTSTRAP_SERVERS")
    monkeypatch.setenv("STREAM_APP_KAFKA__BOOTSTRAP_SERVER", "x")
    assert "kafka.bootstrap_server: no such setting; there are bootstrap_servers" in refused()


SASL = {
    "bootstrap_servers": "a:1, b:2",
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "learner",
    "sasl_password": CANARY,
}


def test_every_kafka_client_takes_the_mapped_settings() -> None:
    """confluent-kafka accepts the configuration; kafka-python knows each name for each of its clients."""
    kafka = load_settings(kafka={**SASL, "client": {"socket.keepalive.enable": True}}).kafka
    config = kafka.confluent()
    confluent_kafka.Producer({**config, "logger": None, "log_level": 0}).close()
    assert config["sasl.password"] == CANARY
    assert config["socket.keepalive.enable"] is True
    arguments = kafka.kafka_python()
    assert arguments["bootstrap_servers"] == ["a:1", "b:2"]
    assert arguments["sasl_plain_password"] == CANARY
    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        assert set(arguments) <= set(client.DEFAULT_CONFIG)


def test_tls_files_reach_every_client(tmp_path: Path) -> None:
    """One certificate authority, certificate and key for both Kafka clients and for Redis."""
    files = {name: tmp_path / name for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")}
    for file in files.values():
        file.touch()
    settings = load_settings(
        kafka={"security_protocol": "SSL", "ssl_key_password": CANARY, **files},
        redis={"url": "rediss://cache:6380/0", "username": "learner", "password": CANARY, **files},
    )
    config, arguments = settings.kafka.confluent(), settings.kafka.kafka_python()
    assert config["security.protocol"] == "ssl"
    assert config["ssl.ca.location"] == arguments["ssl_cafile"] == str(files["ssl_cafile"])
    assert config["ssl.certificate.location"] == arguments["ssl_certfile"] == str(files["ssl_certfile"])
    assert config["ssl.key.location"] == arguments["ssl_keyfile"] == str(files["ssl_keyfile"])
    assert config["ssl.key.password"] == arguments["ssl_password"] == CANARY
    client = redis.Redis.from_url(settings.redis.url.get_secret_value(), **settings.redis.client_kwargs())
    connection = client.connection_pool.make_connection()
    assert isinstance(connection, redis.SSLConnection)
    assert connection.ca_certs == str(files["ssl_cafile"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"kafka": {"security_protocol": "SASL_SSL", "sasl_username": "x"}}, "sasl_mechanism, sasl_password"),
        ({"kafka": {"sasl_username": "x", "sasl_password": "y"}}, "would not be used"),
        ({"kafka": {"min_insync": 2}}, "min_insync is above replication"),
        ({"kafka": {"ssl_cafile": "/nowhere/ca.pem"}}, "kafka.ssl_cafile"),
        ({"redis": {"url": "redis://h", "ssl_cafile": __file__}}, "rediss://"),
        ({"redis": {"url": "redis+sentinel://h:26379/mymaster"}}, "Sentinel and clusters are not supported"),
        ({"signing": {"keys": ["short"]}}, "stream-app keys new"),
        ({"learner": {"session_timeout_ms": 5_999}}, "learner.session_timeout_ms"),
    ],
)
def test_settings_that_would_not_work_are_refused(overrides: dict[str, Any], told: str) -> None:
    """A half-made combination is told at start, with the name that is off."""
    assert told in refused(**overrides)


def test_more_replicas_in_sync_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under such a pair every write would fail: told at start, with both names and no traceback's words."""
    monkeypatch.setenv("STREAM_APP_KAFKA__REPLICATION", "2")
    monkeypatch.setenv("STREAM_APP_KAFKA__MIN_INSYNC", "3")
    with pytest.raises(UsageError, match=r"^settings: kafka: min_insync is above replication") as caught:
        load_settings()
    assert caught.value.exit_code == 2
    assert "STREAM_APP_" in caught.value.remedy
    monkeypatch.setenv("STREAM_APP_KAFKA__MIN_INSYNC", "2")
    assert load_settings().kafka.min_insync == 2


PRIVATE, OTHER = "1a" * 32, "2b" * 32


def test_signing_keys_come_as_a_list_or_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first signs; both forms of the variable keep the order."""
    keys = [bytes.fromhex(PRIVATE), bytes.fromhex(OTHER)]
    monkeypatch.setenv("STREAM_APP_SIGNING__KEYS", f"{PRIVATE}, {OTHER}")
    monkeypatch.setenv("STREAM_APP_SIGNING__PUBLIC_KEYS", f"ed25519:{PRIVATE},ed25519:{OTHER}")
    assert load_settings().signing.private_bytes() == load_settings().signing.public_bytes() == keys
    monkeypatch.delenv("STREAM_APP_SIGNING__KEYS")
    assert load_settings(signing={"keys": [PRIVATE, OTHER]}).signing.private_bytes() == keys


@pytest.mark.parametrize(
    ("signing", "told"),
    [
        ({"keys": ["a key of sixteen or more characters"]}, "stream-app keys new"),
        ({"keys": [f"ed25519:{PRIVATE}"]}, "is a public one"),
        ({"public_keys": [PRIVATE]}, "stream-app keys public"),
        ({"public_keys": ["ed25519:short"]}, "stream-app keys public"),
    ],
)
def test_the_two_kinds_of_signing_keys_are_not_mistaken_for_each_other(
    signing: dict[str, Any], told: str
) -> None:
    """A public key that signs could be guessed by all, a private one set as public would be shown around."""
    message = refused(signing=signing)
    assert told in message
    assert PRIVATE not in message


def test_no_secret_shows_in_a_repr() -> None:
    """Every secret prints as stars."""
    settings = load_settings(
        kafka={**SASL, "client": {"sasl.oauthbearer.client.secret": CANARY}},
        redis={"url": f"redis://user:{CANARY}@h", "password": CANARY},
        signing={"keys": [PRIVATE]},
    )
    for part in (settings, settings.kafka, settings.redis, settings.signing):
        for secret in (CANARY, PRIVATE):
            assert secret not in repr(part)
            assert secret not in str(part)


@pytest.mark.parametrize(
    "name",
    [
        "KAFKA__REPLICATION",
        "KAFKA__SECURITY_PROTOCOL",
        "KAFKA__CLIENT",
        "KAFKA",
        "SIGNING",
        "REDIS__TIMEOUT_S",
        "NO__X",
    ],
)
def test_no_error_shows_what_was_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret put under a wrong name stays out of messages and of the whole traceback."""
    monkeypatch.setenv(f"STREAM_APP_{name}", CANARY)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert CANARY not in "".join(traceback.format_exception(caught.value))
