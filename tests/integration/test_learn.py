"""`stream-app learn` as a process: how it ends, and when it does not begin."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine, Done
from tests.integration.learners import Learners
from tests.integration.serving import until

WITHIN_S = 120
UNSEEDED = """
from river import forest
from stream_app.application import Application
app = Application(name={name!r}, task="binary", champion=lambda seed: forest.ARFClassifier(n_models=2))
"""


FORMED = """
from datetime import datetime
from river import compose, linear_model
from stream_app.application import Application

def hour(x):
    return {{"hour": datetime.fromisoformat(x["moment"]).hour / 24, "a": x["a"]}}

app = Application(
    name={name!r}, task="binary", types={{"a": "number", "moment": "string"}},
    champion=lambda seed: compose.FuncTransformer(hour) | linear_model.LogisticRegression(),
)
"""


class Learn:
    """Runs `stream-app learn` to its end."""

    def __init__(self, learners: Learners) -> None:
        self.learners = learners

    def __call__(self, target: str, *flags: str) -> Done:
        pipe = subprocess.PIPE
        with self.learners.spawn("stream_app", "learn", target, *flags, stdout=pipe, stderr=pipe) as process:
            out, err = process.communicate(timeout=WITHIN_S)
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def learners(services: Endpoints, stream_app: CommandLine) -> Learners:
    """Applications on the session's servers."""
    return Learners(services, stream_app.directory)


@pytest.fixture
def learn(learners: Learners) -> Learn:
    """The command."""
    return Learn(learners)


def test_an_idle_learner_ends_with_0_and_all_is_committed(learners: Learners, learn: Learn) -> None:
    """Admitted and supervised, as a person starts it: every event predicted, every label learned, 0."""
    app = learners.define({"it": ("bayes", 2)})["it"]
    learners.produce(app, [({"x": n}, n % 2 == 0) for n in range(50)], "rows", "--label", "label")
    done = learn(app.target, "--exit-when-idle", "0.5")
    assert (done.code, done.out) == (0, ""), done.err
    assert len(learners.committed(app, "predictions")) == 50
    shards = learners.call("status", app.target, "--json").lines()
    assert [shard["lag"] for shard in shards] == [0, 0]
    assert sum(shard["learned"] for shard in shards) == 50


def test_a_model_that_cannot_be_replayed_is_refused(created: CommandLine, learn: Learn) -> None:
    """An unseeded forest ends with 3, and the fix is named."""
    file = created.file("unseeded.py", UNSEEDED.format(name=f"{created.name}-u"))
    assert created("topics", "create", f"{file}:app").code == 0
    done = learn(f"{file}:app", "--exit-when-idle", "0.5")
    assert done.code == 3, done.err
    assert "seed" in done.err
    assert "fix: " in done.err


@pytest.mark.soak(only=True)  # three admissions, and one of them twice
def test_a_model_that_needs_values_of_a_form_is_judged_on_the_rows_of_its_topic(
    created: CommandLine, learn: Learn
) -> None:
    """Dates in a string: refused while nothing tells their form, admitted once events do, at each start."""
    file = created.file("formed.py", FORMED.format(name=f"{created.name}-f"))
    target = f"{file}:app"
    assert created("topics", "create", target).code == 0
    refused = learn(target, "--exit-when-idle", "0.3")
    assert refused.code == 3
    assert "sample=[{" in refused.err
    rows = "".join(
        f"u{n % 3},{n},2026-01-{n + 1:02}T{n:02}:30:00+00:00,{str(n % 2 == 0).lower()}\n" for n in range(20)
    )
    csv = created.file("formed.csv", f"user,a,moment,y\n{rows}")
    words = ("--key", "user", "--label", "y", "--types", "moment=string")
    assert created("produce", target, csv, *words).code == 0
    for flags in ((), ("--no-supervise",)):  # the second takes another way to the digest of the sample
        done = learn(target, "--exit-when-idle", "0.3", *flags)
        assert done.code == 0, done.err
    (shard,) = created("status", target, "--json").lines()
    assert (shard["lag"], shard["learned"]) == (0, 20)


def test_missing_topics_are_refused(stream_app: CommandLine, learn: Learn) -> None:
    """A learner creates none: it ends with 3 and names the command that does."""
    done = learn(stream_app.target, "--no-admission", "--exit-when-idle", "0.5")
    assert done.code == 3, done.err
    assert f"{stream_app.name}.events" in done.err
    assert "topics create" in done.err


def test_another_partition_count_is_refused_before_the_group_is_joined(
    created: CommandLine, learn: Learn
) -> None:
    """With more shards than partitions every key would belong elsewhere: 3, the way back named."""
    done = learn(created.define(shards=3), "--no-admission", "--exit-when-idle", "0.5")
    assert done.code == 3, done.err
    assert "has 2 partitions, the definition says 3" in done.err
    assert "Set shards= back" in done.err


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere.py:app", "there is no file"),
        ("nothing", "names no definition"),
        ("no_such.module:app", "not found"),
    ],
)
def test_a_wrong_target_is_a_usage_error(learn: Learn, target: str, why: str) -> None:
    """What names no definition ends with 2 at once."""
    done = learn(target)
    assert (done.code, why in done.err) == (2, True), done.err


def test_a_halt_is_an_alert_and_stands_in_status_until_the_shard_goes_on(
    learners: Learners, learn: Learn
) -> None:
    """A learner that may not go on ends with 3, and the topics alone tell why; once mended, no more."""
    app = learners.define({"it": ("bayes", 1)})["it"]
    flags = ("--no-admission", "--no-supervise", "--exit-when-idle", "0.3")
    learners.produce(app, [({"x": n}, n % 2 == 0) for n in range(20)], "rows", "--label", "label")
    assert learn(app.target, *flags).code == 0
    file = Path(app.target.removesuffix(":app0"))
    definition = file.read_text()
    file.write_text(definition.replace("'bayes'", "'logistic'"))
    refused = learn(app.target, *flags)
    assert (refused.code, "stream-app upgrade" in refused.err) == (3, True)
    (alert,) = learners.committed(app, "alerts")
    assert (alert["type"], alert["severity"]) == ("shard-halted", "critical")
    assert "recorded with something else" in alert["evidence"]["reason"]
    (shard,) = learners.call("status", app.target, "--json").lines()
    assert shard["halted"] == alert["evidence"]["reason"]
    assert "halted:" in learners.call("status", app.target).out
    file.write_text(definition)
    assert learn(app.target, *flags).code == 0
    (shard,) = learners.call("status", app.target, "--json").lines()
    assert shard["halted"] is None


QUICK = ("--no-admission", "--exit-when-idle", "0.3")


def test_two_learners_with_one_instance_id_end_the_older_one_with_its_remedy(learners: Learners) -> None:
    """Under its supervisor: 3, one sentence, no stack and no other life; the younger one goes on."""
    app = learners.define({"it": ("bayes", 1)})["it"]
    command = ("learn", app.target, "--no-admission", "--instance-id", "a")
    with learners.spawn("stream_app", *command, stderr=subprocess.PIPE) as older:
        try:
            until(lambda: learners.committed(app, "stats"), "the older one is live")
            # It stays until the older one has noticed: gone before that, it would leave the place to it.
            with learners.spawn("stream_app", *command, stderr=subprocess.DEVNULL) as younger:
                try:
                    _, err = older.communicate(timeout=WITHIN_S)
                    younger.terminate()
                    younger.wait(WITHIN_S)
                finally:
                    younger.kill()
        finally:
            older.kill()
    assert older.returncode == 3, err.decode()
    assert younger.returncode == 0
    last = err.decode().splitlines()[-1]
    assert last == (
        "error: another learner runs with --instance-id a; fix: Give each learner an --instance-id of its own"
    )
    assert b"Traceback" not in err
    assert b"restarting" not in err


def test_a_metrics_port_that_is_taken_is_refused_with_its_remedy(learners: Learners, learn: Learn) -> None:
    """Under its supervisor: 3, one sentence, no other life."""
    app = learners.define({"it": ("bayes", 1)})["it"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        learners.call.environment["STREAM_APP_LEARNER__METRICS_PORT"] = str(port)
        done = learn(app.target, *QUICK)
    assert done.code == 3, done.err
    assert f"127.0.0.1:{port} cannot be bound for metrics" in done.err
    assert "fix: Set STREAM_APP_LEARNER__METRICS_PORT" in done.err
    assert "Traceback" not in done.err
    assert "restarting" not in done.err


def test_a_place_where_snapshots_cannot_be_written_is_refused_at_the_start(
    learners: Learners, learn: Learn
) -> None:
    """Below a file nothing can be made: 3 before the first event is learned. A restart would go on."""
    app = learners.define({"it": ("bayes", 1)})["it"]
    learners.produce(app, [({"x": 1}, True)], "row", "--label", "label")
    file = learners.directory / "a-file"
    file.write_text("")
    learners.call.environment["STREAM_APP_SNAPSHOTS__URL"] = str(file / "snapshots")
    done = learn(app.target, *QUICK)
    assert (done.code, learners.committed(app, "predictions")) == (3, []), done.err
    assert "snapshots cannot be written to" in done.err
    assert "fix: Set STREAM_APP_SNAPSHOTS__URL" in done.err
    again = ("learn", app.target, *QUICK, "--life", "2")
    # Its stdin stays open, as a supervisor's pipe does.
    with learners.spawn("stream_app", *again, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as restarted:
        assert restarted.wait(WITHIN_S) == 0
    assert len(learners.committed(app, "predictions")) == 1
    assert [alert["type"] for alert in learners.committed(app, "alerts")] == ["snapshot-failed"]


@pytest.mark.soak(
    only=True
)  # until the client gives the topic up; tests/scenario/test_inspection.py has the rest
def test_a_topic_that_is_deleted_while_a_learner_runs_halts_it(learners: Learners) -> None:
    """The sentence is an alert and the learner's last line, and `status` says it too."""
    app = learners.define({"it": ("bayes", 1)})["it"]
    learners.produce(app, [({"x": 1}, True)], "row", "--label", "label")
    command = ("learn", app.target, "--no-admission")
    with learners.spawn("stream_app", *command, stderr=subprocess.PIPE) as learner:
        try:
            until(lambda: learners.committed(app, "predictions"), "it is live")
            admin = KafkaAdminClient(bootstrap_servers=learners.servers)
            admin.delete_topics([f"{app.name}.labels"])
            admin.close()
            _, err = learner.communicate(timeout=WITHIN_S)
        finally:
            learner.kill()
    assert learner.returncode == 3, err.decode()[-3_000:]
    sentence = f"topic {app.name}.labels was deleted while the learner ran"
    assert err.decode().splitlines()[-1].startswith(f"error: {sentence}; fix: Stop every learner")
    alerts = [alert for alert in learners.committed(app, "alerts") if alert["type"] == "shard-halted"]
    assert [alert["evidence"]["reason"] for alert in alerts] == [sentence]
    status = learners.call("status", app.target)
    assert status.code == 3
    assert (
        "though its application has a journal; fix: Stop every learner and find out who deleted it"
        in status.err
    )
