"""`stream-app doctor` and `topics`: each fault found on real servers, with its fix."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from redis import Redis

from stream_app.cli import doctor
from stream_app.definition.load import load
from stream_app.settings import load_settings
from stream_app.wiring.learner import inspector
from tests.integration.command_line import CommandLine
from tests.integration.serving import until

WEEK_MS = 7 * 86_400_000
KEYS = {
    "STREAM_APP_SNAPSHOTS__URL": "snapshots",
    "STREAM_APP_SIGNING__KEYS": "5a" * 32,
}


@pytest.fixture
def whole(created: CommandLine) -> CommandLine:
    """An application that lacks nothing."""
    created.environment |= KEYS
    return created


@pytest.fixture
def admin(created: CommandLine) -> Iterator[KafkaAdminClient]:
    """Somebody else with an admin client."""
    client = KafkaAdminClient(bootstrap_servers=created.services.bootstrap_servers)
    yield client
    client.close()


def checks(app: CommandLine, *target: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the worst line of each check."""
    done = app("doctor", *target, "--json")
    found: dict[str, dict[str, Any]] = {}
    for line in done.lines():
        assert set(line) == {"check", "state", "detail", "fix"}
        if line["check"] not in found or line["state"] != "ok":
            found[line["check"]] = line
    return done.code, found


def test_a_sound_installation_passes(whole: CommandLine) -> None:
    """Versions, crc32c, broker, topics, lag, Redis, eviction policy and clock are all looked at; exit 0."""
    code, found = checks(whole, whole.target)
    named = {
        "python",
        "river",
        "confluent-kafka",
        "kafka-python",
        "crc32c",
        "definition",
        "signing",
        "snapshots",
    }
    named |= {"kafka", "transactions", "topics", "lag", "redis", "eviction", "clock"}
    assert named <= set(found)
    assert {line["state"] for line in found.values()} == {"ok"}, found
    assert found["transactions"]["detail"].startswith("transaction.version 2;")
    assert code == 0


def test_brokers_that_cannot_refuse_late_records_are_a_warning() -> None:
    """Those before Kafka 4.0, and those that still work as such, have no level of `transaction.version`."""
    check = doctor.transactions(0)
    assert (check.state, "Kafka 4.0" in check.fix) == ("warn", True)


def test_without_a_definition_the_servers_are_checked_alone(whole: CommandLine) -> None:
    """Topics and lag are an application's."""
    code, found = checks(whole)
    assert (code, "kafka" in found, "topics" in found) == (0, True, False)


def test_records_that_nobody_reads_are_told(whole: CommandLine) -> None:
    """A lag without a learner is a warning that names the command."""
    file = whole.file("rows.csv", "user,x\na,1\nb,2\n")
    assert whole("produce", whole.target, file, "--key", "user").code == 0
    code, found = checks(whole, whole.target)
    assert (code, found["lag"]["state"]) == (0, "warn")
    assert found["lag"]["detail"] == "2 records behind, 0 learners"
    assert "stream-app learn" in found["lag"]["fix"]


def test_missing_topics_fail_with_the_command_that_creates_them(stream_app: CommandLine) -> None:
    """Exit 1; `topics check` says the same of each."""
    stream_app.environment |= KEYS
    code, found = checks(stream_app, stream_app.target)
    assert (code, found["topics"]["state"]) == (1, "fail")
    assert "topics create" in found["topics"]["fix"]
    done = stream_app("topics", "check", stream_app.target, "--json")
    assert done.code == 1
    assert len(done.lines()) == 9
    assert all(line["mismatches"][0]["grave"] for line in done.lines())


def test_another_partition_count_fails_everywhere(whole: CommandLine) -> None:
    """The report goes on to its end and exits 1, `topics check` 1, `topics create` 3; none repairs it."""
    target = whole.define(shards=3)
    code, found = checks(whole, target)
    assert (code, found["topics"]["state"], found["redis"]["state"]) == (1, "fail", "ok")
    assert "Set shards= back" in found["topics"]["fix"]
    assert whole("topics", "check", target).code == 1
    assert whole("topics", "create", target).code == 3
    assert whole("topics", "check", whole.target).code == 0


def test_a_changed_topic_is_reported_with_its_remedy(whole: CommandLine, admin: KafkaAdminClient) -> None:
    """A configuration that keeps less than is promised: a warning, with the command that restores it."""
    events = f"{whole.name}.events"
    admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, events, configs={"retention.ms": str(WEEK_MS)})]
    )
    code, found = checks(whole, whole.target)
    assert (code, found["topics"]["state"]) == (0, "warn")
    assert found["topics"]["detail"] == f"{events}: retention.ms is {WEEK_MS}, declared is -1"
    assert "stream-app topics configure" in found["topics"]["fix"]


def learned(app: CommandLine) -> subprocess.CompletedProcess[str]:
    """A learner in a process of its own, until it has nothing to do."""
    words = ("learn", app.target, "--no-admission", "--no-supervise", "--exit-when-idle", "0.1")
    return subprocess.run(
        [sys.executable, "-m", "stream_app", *words],
        env={**os.environ, **app.environment},
        cwd=app.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "value", "restored"),
    [
        ("retention.ms", "1000", "-1"),
        ("cleanup.policy", "compact", "delete"),
        ("message.timestamp.after.max.ms", "9223372036854775807", "600000"),
    ],
)
def test_a_setting_that_endangers_the_promise_fails(
    whole: CommandLine, admin: KafkaAdminClient, name: str, value: str, restored: str
) -> None:
    """Not only a warning; the command that it names sets it as declared."""
    events = f"{whole.name}.events"
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, events, configs={name: value})])
    code, found = checks(whole, whole.target)
    assert (code, found["topics"]["state"]) == (1, "fail")
    assert "stream-app topics configure" in found["topics"]["fix"]
    done = whole("topics", "configure", whole.target)
    assert f"set     {events} {name}={restored}\n" in done.out
    until(lambda: whole("topics", "check", whole.target).code == 0, "it is as declared")


def test_a_learner_does_not_start_on_such_a_topic_until_its_setting_is_restored(
    whole: CommandLine, admin: KafkaAdminClient
) -> None:
    """The same sentence; what its command sets lets the learner start."""
    events, setting = f"{whole.name}.events", {"cleanup.policy": "compact"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, events, configs=setting)])
    done = learned(whole)
    assert done.returncode == 3, done.stderr
    error = f"error: topic {events}: cleanup.policy is compact, declared is delete; fix: Run `stream-app"
    assert error in done.stderr
    whole("topics", "configure", whole.target)
    until(lambda: learned(whole).returncode == 0, "it starts")


def test_a_running_learner_sees_that_a_setting_was_changed(
    whole: CommandLine, admin: KafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it asks the broker now and then names the topic, the setting and the command."""
    for name, value in whole.environment.items():
        monkeypatch.setenv(name, value)
    inspect = inspector(load(whole.target), load_settings())
    assert inspect() == (None, ())
    events, setting = f"{whole.name}.events", {"cleanup.policy": "compact"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, events, configs=setting)])
    (found,) = until(lambda: inspect().unsafe, "it is seen")
    assert found.startswith(f"topic {events}: cleanup.policy is compact, declared is delete; fix: Run `str")


def test_creating_topics_again_changes_nothing(created: CommandLine) -> None:
    """The first call creates nine, the second finds them; one object per topic."""
    lines = created("topics", "create", created.target, "--json").lines()
    assert [set(line) for line in lines] == [{"topic", "state", "mismatches"}] * 9
    assert {line["state"] for line in lines} == {"ok"}


def test_a_redis_that_evicts_fails(whole: CommandLine, own_valkey: str) -> None:
    """An evicted stamp or model would be served as if it had never been."""
    whole.environment["STREAM_APP_REDIS__URL"] = own_valkey
    with Redis.from_url(own_valkey) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
    code, found = checks(whole)
    assert (code, found["eviction"]["state"]) == (1, "fail")
    assert "noeviction" in found["eviction"]["fix"]


def test_no_signing_key_and_no_place_for_snapshots_fail(created: CommandLine) -> None:
    """Named servers bring neither."""
    code, found = checks(created)
    assert (code, found["signing"]["state"], found["snapshots"]["state"]) == (1, "fail", "fail")
    assert "stream-app keys new" in found["signing"]["fix"]


def test_a_predictor_that_holds_a_private_key_is_named(whole: CommandLine) -> None:
    """Where settings of `serve` stand beside a key that signs; the public key alone is well, and enough."""
    whole.environment["STREAM_APP_SERVE__PORT"] = "8001"
    code, found = checks(whole)
    assert (code, found["signing"]["state"]) == (0, "warn")
    public = whole("keys", "public").out.strip()
    assert "STREAM_APP_SIGNING__PUBLIC_KEYS" in found["signing"]["fix"]
    del whole.environment["STREAM_APP_SIGNING__KEYS"]
    whole.environment["STREAM_APP_SIGNING__PUBLIC_KEYS"] = public
    assert checks(whole)[1]["signing"]["state"] == "ok"


def test_a_wrong_definition_does_not_end_the_report(whole: CommandLine) -> None:
    """It is one failed check among the others."""
    code, found = checks(whole, "nowhere.py:app")
    assert (code, found["definition"]["state"], found["redis"]["state"]) == (1, "fail", "ok")


def test_absent_servers_are_two_failures_with_their_fixes(whole: CommandLine) -> None:
    """Each is told with the address setting to correct, and no credential is shown."""
    # In a process of its own, since kafka-python leaves sockets open when it cannot connect.
    absent = {
        "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STREAM_APP_KAFKA__CONNECT_TIMEOUT_S": "0.5",
        "STREAM_APP_REDIS__URL": "redis://me:hush@127.0.0.1:1/0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "stream_app", "doctor"],
        env={**os.environ, **whole.environment, **absent},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "fail  kafka: no Kafka broker answers at 127.0.0.1:1" in done.stdout
    assert "fail  redis: Redis does not answer" in done.stdout
    assert "STREAM_APP_KAFKA__" in done.stdout
    assert "STREAM_APP_REDIS__" in done.stdout
    assert "hush" not in done.stdout + done.stderr
