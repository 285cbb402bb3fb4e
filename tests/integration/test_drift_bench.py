"""`drift bench --from-topic` and `what-if` on a run that is over: what happened, and nothing is changed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from river.datasets import synth

from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.embedded.services import Endpoints
from tests.integration.learners import ENTITIES, Defined, Learners

TURN, END, DELAY = 1_500, 3_000, 20
TOPICS = (
    "events", "labels", "commands", "predictions", "alerts", "models", "stats", "dead-letters", "journal",
)  # fmt: skip


OTHERS = """
from dataclasses import replace
from stream_app import SwapPolicy
from tests.integration.definitions import application
same = application("another-name", "quick-bayes")
logistic = replace(application("another-model", "logistic"), swap=SwapPolicy(policy="never"))
"""


class Benched(msgspec.Struct):
    """A run of one shard whose concept turned over, and what stood in its topics before and after.

    `rows` are the bench's, `others` those of other definitions.
    """

    learners: Learners
    app: Defined
    truth: list[bool]
    rows: list[dict[str, Any]]
    others: list[dict[str, Any]]
    err: str
    before: dict[str, Any]
    after: dict[str, Any]


def world(learners: Learners, app: Defined) -> dict[str, Any]:
    """All that a command could have touched: offsets, members, topics' ends, snapshots."""
    with TopicAdmin({"bootstrap_servers": learners.servers}) as admin:
        group = admin.group(app.name)
        ends = {topic: admin.ends(f"{app.name}.{topic}", app.shards) for topic in TOPICS}
    files = {
        path.relative_to(learners.directory).as_posix(): path.stat().st_mtime_ns
        for path in Path(learners.directory / "snapshots").rglob("*")
    }
    return {"group": group, "ends": ends, "files": files}


@pytest.fixture(scope="module")
def benched(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Benched:
    """Sine becomes its opposite in the middle; labels come 20 events late."""
    learners = Learners(services, tmp_path_factory.mktemp("bench"))
    app = learners.define({"sine": ("quick-bayes", 1)})["sine"]
    rows = [
        ({f"x{name}": float(value) for name, value in x.items()}, bool(y))
        for function in (0, 1)
        for x, y in synth.Sine(classification_function=function, seed=7 + function).take(TURN)
    ]
    learners.produce(app, rows, "sine", "--label", "label", "--label-delay", str(DELAY))
    learners.learn([app])
    before = world(learners, app)
    process = learners.spawn(
        "stream_app",
        "drift",
        "bench",
        app.target,
        "--from-topic",
        "--detector",
        "eddm",
        "--json",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err.decode()[-3_000:]
    told = [orjson.loads(line) for line in out.splitlines()]
    others = what_if(learners, app, "--json", *(part for one in named(learners) for part in one))
    return Benched(
        learners,
        app,
        [y for _, y in rows],
        told,
        [orjson.loads(line) for line in others.splitlines()],
        err.decode(),
        before,
        world(learners, app),
    )


def named(learners: Learners) -> list[tuple[str, str]]:
    """The other definitions, as options."""
    file = learners.directory / "others.py"
    file.write_text(OTHERS)
    return [("--definition", f"{file}:{name}") for name in ("same", "logistic")]


def what_if(learners: Learners, app: Defined, *options: str) -> bytes:
    """What the command prints."""
    command = ("what-if", app.target, *options)
    process = learners.spawn("stream_app", *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return learners.finish(process)


def test_nothing_is_changed(benched: Benched) -> None:
    """Committed offsets, the group, every topic's end and the snapshots are what they were."""
    assert benched.before["group"].members == 0
    assert benched.before["group"].positions
    assert benched.before["ends"]["predictions"] != [0]
    assert benched.before["files"]
    assert benched.after == benched.before


def test_the_live_row_is_what_really_happened(benched: Benched) -> None:
    """Accuracy is that of the committed predictions, alarms and swaps are those of the committed alerts."""
    live = benched.rows[0]
    assert (live["variant"], live["source"]) == ("live", "earliest")
    predictions = benched.learners.committed(benched.app, "predictions")
    right = [
        made["prediction"] == benched.truth[int(made["event_id"].rsplit(":", 1)[1])]
        for made in predictions
        if not made["cold"]
    ]
    assert live["predictions"] == END == len(predictions)
    assert live["scored"] == len(right)
    assert live["scores"]["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-12)
    newest = right[len(right) - len(right) // 4 :]
    assert live["last"]["accuracy"] == pytest.approx(sum(newest) / len(newest), abs=1e-12)
    alerts = benched.learners.committed(benched.app, "alerts")
    changes = [alert for alert in alerts if alert["type"] in {"swap", "rollback"}]
    assert [(c["type"], c["offset"], c["time_ms"], c["version"]) for c in live["changes"]] == [
        (alert["type"], int(alert["alert_id"].split("/")[3]), alert["time_ms"], alert["evidence"]["version"])
        for alert in changes
    ]
    assert live["swaps"] > 0
    told = [
        alert["evidence"] for alert in alerts if alert["type"] == "drift" and alert["severity"] == "warning"
    ]
    assert live["alarms"] >= sum(1 + one.get("held_back", 0) for one in told) > 0


def test_variants_stand_beside_it(benched: Benched) -> None:
    """To never swap would have cost accuracy after the turn; each row tells what it gains over the live."""
    by = {row["variant"]: row for row in benched.rows}
    others = [f"{policy} eddm" for policy in ("evidence", "immediate", "never", "blend")]
    assert list(by) == ["live", "immediate", "never", "blend", *others]
    assert by["blend"]["swaps"] == 0
    assert by["never"]["changes"] == by["never eddm"]["changes"] == []
    assert by["never"]["last"]["accuracy"] < by["live"]["last"]["accuracy"] - 0.1
    for row in benched.rows:
        gained = row["scores"]["accuracy"] - by["live"]["scores"]["accuracy"]
        assert row["gained"] == {"accuracy": pytest.approx(gained)}
        # A fresh model that takes over at once has nothing to say to its first event.
        assert 0 <= by["live"]["scored"] - row["scored"] <= row["swaps"]
    first = {name: min(after_turn(by[name])) for name in ("live", "immediate")}
    assert first["immediate"] < first["live"]


def test_another_definition_stands_beside_it(benched: Benched) -> None:
    """The same one under another name fares as the live shard; another model goes its own way."""
    live, same, logistic = benched.others
    assert {**live, "gained": same["gained"]} == {**benched.rows[0], **beyond(live), "gained": same["gained"]}
    differ = {name for name in live if live[name] != same[name]}
    assert differ == {"variant", "begins"}
    assert (live["begins"], same["begins"]) == ("as it was served", "from the beginning")
    assert (logistic["predictions"], logistic["swaps"], logistic["changes"]) == (END, 0, [])
    assert logistic["compared"] == logistic["scored"] == live["scored"]
    gained = logistic["scores"]["accuracy"] - live["scores"]["accuracy"]
    assert logistic["gained"] == {"accuracy": pytest.approx(gained)}
    assert logistic["gained"]["accuracy"] != 0


def beyond(row: dict[str, Any]) -> dict[str, Any]:
    """What a row of `what-if` has beyond one of the bench."""
    return {
        name: row[name]
        for name in ("begins", "skipped", "skipped_by", "dead_letters", "compared", "gained_last")
    }


def test_an_entity_is_left_out(benched: Benched) -> None:
    """Without another definition it is the same one that did not see the entity's events and labels."""
    excluded = ("--exclude-key", "e3", "--exclude-key", "nobody")
    done = benched.learners.pinned("what-if", benched.app.target, *excluded, "--shard", "0")
    text = done.stdout
    assert "--exclude-key nobody leaves out nothing" in done.stderr
    assert "--exclude-key e3 leaves" not in done.stderr
    events = END // ENTITIES
    assert f"{END - events:,} predictions" in text
    assert f"{2 * events:,} records excluded" in text
    assert "live: swap v1 → v" in text


def after_turn(row: dict[str, Any]) -> list[int]:
    """After how many predictions a variant changed its model, once the concept had turned over."""
    return [change["after"] for change in row["changes"] if change["after"] >= TURN]


def test_a_person_reads_a_table(benched: Benched) -> None:
    """Without --json: a line for each variant, and when each had swapped."""
    command = ("drift", "bench", benched.app.target, "--from-topic", "--policy", "never", "--shard", "0")
    process = benched.learners.spawn("stream_app", *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text = benched.learners.finish(process).decode()
    assert "live" in text
    assert "never" in text
    assert "live: swap v1 → v" in text


def test_an_application_that_never_ran_has_nothing_to_replay(benched: Benched) -> None:
    """That is a wrong call: exit 2, and the fix is named."""
    app = benched.learners.define({"new": ("bayes", 1)})["new"]
    process = benched.learners.spawn(
        "stream_app",
        "drift",
        "bench",
        app.target,
        "--from-topic",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, b"")
    assert b"nothing of " in err
    assert b"Run a learner first" in err


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("--from-topic",), "Give its MODULE:APP"),
        (("--detector", "foo"), "Choose one of adwin"),
        (("x:app",), "Add --from-topic"),
        (("--policy", "never"), "Add --from-topic"),
        (("x:app", "--from-topic", "--policy", "often"), "Choose from evidence, immediate, never"),
    ],
)
def test_a_wrong_call_names_its_fix(benched: Benched, arguments: tuple[str, ...], fix: str) -> None:
    """Exit 2 before anything is asked of a server."""
    done = benched.learners.call("drift", "bench", *arguments)
    assert done.code == 2
    assert fix in done.err
