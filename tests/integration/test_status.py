"""`stream-app status`: each shard's condition before, while and after a learner runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from stream_app.client import EventProducer
from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine
from tests.integration.learners import Defined, Learners

ROWS: Any = [({"x": n / 100, "z": n % 7}, n % 3 == 0) for n in range(200)]
WITHIN_S = 60.0
FIELDS = {
    *("shard", "owner", "last_owner", "epoch", "seq", "lag", "lag_s", "inputs", "pending", "champion"),
    *("learned", "paused", "dead_letters", "snapshot_seq", "snapshot_age_s", "view_stamp", "view_caught_up"),
    *("stats_age_s", "stats_fresh", "halted", "failing", "waits", "idle", "definition", "bridge"),
    "definition_differs",
}
Shards = list[dict[str, Any]]


class Seen:
    """One application: its shards before a learner, beside a live one, and after that has ended."""

    def __init__(self, learners: Learners, app: Defined) -> None:
        self.learners, self.app = learners, app
        learners.produce(app, ROWS, "rows", "--label", "label", "--label-delay", "10")
        with EventProducer(app.name, learners.servers) as producer:  # which would refuse it itself
            bad = b'{"event_id":"bad","features":{"x":[1]},"label":true}'
            producer.producer.send(f"{app.name}.events", bad, b"e0")
        self.before = self.status()
        with learners.spawn(
            "stream_app", "learn", app.target, "--no-admission", "--no-supervise", stderr=subprocess.DEVNULL
        ) as learner:
            try:
                self.beside = until(self.status, self.settled)
                self.table = learners.call("status", app.target).out
                self.idle = until(self.status, lambda shards: all(shard["idle"] for shard in shards))
                changed = Path(app.target.rpartition(":")[0]).with_name("changed.py")
                changed.write_text(
                    Path(app.target.rpartition(":")[0]).read_text().replace("bayes", "logistic")
                )
                self.changed = [learners.call(name, f"{changed}:app0") for name in ("status", "doctor")]
                self.unchanged = [learners.call(name, app.target) for name in ("status", "doctor")]
                self.pid = learner.pid
            finally:
                learner.terminate()
        self.ended = learner.returncode
        self.after = until(self.status, lambda shards: shards[0]["owner"] is None)

    def status(self) -> Shards:
        """What `status --json` prints."""
        done = self.learners.call("status", self.app.target, "--json")
        assert done.code == 0, done.err
        return done.lines()

    def settled(self, shards: Shards) -> bool:
        """All is read, told and shown."""
        counted = sum(shard["learned"] or 0 for shard in shards) == len(ROWS)
        return counted and all(shard["view_caught_up"] and not shard["lag"] for shard in shards)


def until(status: Callable[[], Shards], holds: Callable[[Shards], bool]) -> Shards:
    """The first status that fits, or the last one seen."""
    deadline_s = time.monotonic() + WITHIN_S
    while not holds(found := status()) and time.monotonic() < deadline_s:
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def seen(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """An application of two shards, through its life."""
    learners = Learners(services, tmp_path_factory.mktemp("status"))
    return Seen(learners, learners.define({"it": ("bayes", 2)})["it"])


def test_without_any_learner_all_is_lag(seen: Seen) -> None:
    """Lag counts every record, its seconds the age of the oldest; nobody owns a shard, nothing is made up."""
    assert [set(shard) for shard in seen.before] == [FIELDS, FIELDS]
    assert [shard["shard"] for shard in seen.before] == [0, 1]
    assert sum(shard["lag"] for shard in seen.before) == 2 * len(ROWS) + 1
    for shard in seen.before:
        assert 0 < shard["lag_s"] < 60
        assert shard["lag_s"] == max(found["lag_s"] for found in shard["inputs"].values())
        assert shard["inputs"]["commands"] == {
            "position": 0,
            "end": 0,
            "lag": 0,
            "lag_s": 0.0,
            "lost": 0,
        }
        false = {"stats_fresh", "view_caught_up", "idle", "definition_differs"}
        unknown = FIELDS - {"shard", "lag", "lag_s", "inputs", *false}
        assert all(shard[name] is None for name in unknown)
        assert not any(shard[name] for name in false)


def test_a_live_learner_is_told_with_what_it_has_learned(seen: Seen) -> None:
    """Owner, champion, labels learned, dead letters by reason, an empty lag and a view that caught up."""
    assert sum(shard["learned"] for shard in seen.beside) == len(ROWS)
    letters = [shard["dead_letters"] for shard in seen.beside]
    assert sum(found.get("bad-feature", 0) for found in letters) == 1
    for shard in seen.beside:
        assert shard["owner"].endswith(f":{seen.pid}")
        assert (shard["lag"], shard["lag_s"], shard["pending"]) == (0, 0.0, 0)
        assert shard["champion"] == {"name": "champion", "version": 1}
        assert shard["paused"] is False
        assert shard["stats_fresh"] is True
        assert shard["view_caught_up"] is True
        assert shard["view_stamp"] == f"{shard['epoch']}:{shard['seq']}"
        assert shard["halted"] is None


def test_a_learner_without_events_is_idle(seen: Seen) -> None:
    """Ten seconds after its last batch, by the statistics that it goes on to send; one that ended is not."""
    assert not any(shard["idle"] for shard in seen.before)
    assert all(shard["idle"] for shard in seen.idle)
    assert not any(shard["idle"] for shard in seen.after)


def test_a_definition_on_disk_that_is_not_what_runs_is_named(seen: Seen) -> None:
    """By `status` and by `doctor`, with what to do; the same definition is not."""
    status, doctor = seen.changed
    assert "on disk differs from what the learner runs; fix: Go back to what it was" in status.err
    assert "the file on disk differs from what the newest statistics are of" in doctor.out
    status, doctor = seen.unchanged
    assert "differs" not in status.err + doctor.out
    assert "the definition on disk is the one that ran last" in doctor.out


def test_people_see_the_same_as_a_table(seen: Seen) -> None:
    """One line per shard with its owner."""
    lines = [line for line in seen.table.splitlines() if f":{seen.pid}" in line]
    assert len(lines) == 2
    assert all("champion v1" in line and "nothing" in line for line in lines)


def test_a_shard_without_a_live_owner_is_shown_as_such(seen: Seen) -> None:
    """After the learner's end nobody owns it; who did last, and what was learned, is still told."""
    assert seen.ended == 0
    for shard in seen.after:
        assert shard["owner"] is None
        assert shard["last_owner"].endswith(f":{seen.pid}")
        assert shard["lag"] == 0
    assert sum(shard["learned"] for shard in seen.after) == len(ROWS)


def test_records_deleted_before_they_were_read_are_told(seen: Seen) -> None:
    """They are no lag any more, but nothing must hide them."""
    partition = TopicPartition(f"{seen.app.name}.events", 0)
    seen.learners.produce(seen.app, ROWS, "more")
    written = seen.status()[0]["inputs"]["events"]["lag"]
    admin = KafkaAdminClient(bootstrap_servers=seen.learners.servers)
    admin.delete_records({partition: -1})
    admin.close()
    (events, other) = (shard["inputs"]["events"] for shard in seen.status())
    assert written > 0
    assert (events["lag"], events["lost"]) == (0, written)
    assert (other["lag"] > 0, other["lost"]) == (True, 0)
    assert f"{written} events were deleted" in seen.learners.call("status", seen.app.target).out


def test_missing_topics_are_refused_with_their_remedy(stream_app: CommandLine) -> None:
    """There is nothing to tell of an application without topics."""
    done = stream_app("status", stream_app.target)
    assert done.code == 3
    assert f"there is no topic {stream_app.name}.events" in done.err
    assert "topics create" in done.err


def test_another_partition_count_is_refused(created: CommandLine) -> None:
    """Shards that do not exist have no condition."""
    done = created("status", created.define(shards=3))
    assert done.code == 3
    assert "has 2 partitions, the definition says 3" in done.err


def test_an_unknown_definition_is_a_usage_error(stream_app: CommandLine) -> None:
    """A file that is not there, and an attribute that is none."""
    assert stream_app("status", "nowhere.py:app").code == 2
    done = stream_app("status", stream_app.target.replace(":app", ":nothing"))
    assert (done.code, "has no 'nothing'" in done.err) == (2, True)


def test_an_unreachable_broker_is_refused_with_its_remedy(
    services: Endpoints, stream_app: CommandLine
) -> None:
    """Within the time that the settings grant."""
    # In a process of its own, since kafka-python leaves sockets open when it cannot connect.
    learners = Learners(services, stream_app.directory)
    learners.call.environment |= {
        "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STREAM_APP_KAFKA__CONNECT_TIMEOUT_S": "0.5",
    }
    with learners.spawn("stream_app", "status", stream_app.target, stderr=subprocess.PIPE) as status:
        _, err = status.communicate(timeout=60)
    assert status.returncode == 3
    assert b"no Kafka broker answers at 127.0.0.1:1" in err
