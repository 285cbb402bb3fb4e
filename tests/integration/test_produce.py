"""`stream-app produce`: a file's rows as events and labels, and every wrong file told before it does harm."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine

ROWS = "user,x,plan,zip,label,at\n" + "".join(
    f"u{n % 3},{n}.5,{'ab'[n % 2]},0{n},{n % 2},2026-01-01T00:00:0{n}+00:00\n" for n in range(5)
)
T0 = 1_767_225_600_000  # 2026-01-01, epoch ms


@pytest.fixture
def rows(created: CommandLine) -> str:
    """Five rows."""
    return created.file("rows.csv", ROWS)


@pytest.fixture(scope="module")
def shared(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """An application to which nothing is ever sent."""
    app = CommandLine(services, tmp_path_factory.mktemp("produce"))
    assert app("topics", "create", app.target).code == 0
    return app


def read(app: CommandLine, what: str) -> list[dict[str, Any]]:
    """What is in one of the application's topics, by time."""
    return sorted(app("consume", app.target, what, "--json").lines(), key=lambda line: line["timestamp_ms"])


def test_rows_become_events_and_labels(created: CommandLine, rows: str) -> None:
    """Ids are FILE:ROW, events 2 ms apart, a label N late 1 ms before event i+N; one JSON object tells it."""
    arguments = ("--key", "user", "--label", "label", "--label-delay", "2")
    done = created("produce", created.target, rows, *arguments, "--json")
    assert done.code == 0, done.err
    (report,) = done.lines()
    assert set(report) == {"events", "labels", "repeats", "seconds"}
    assert (report["events"], report["labels"], report["repeats"]) == (5, 5, 0)
    events, labels = read(created, "events"), read(created, "labels")
    assert [line["value"]["event_id"] for line in events] == [f"rows.csv:{n}" for n in range(5)]
    assert [line["key"] for line in events] == [f"u{n % 3}" for n in range(5)]
    first = {"x": 0.5, "plan": "a", "zip": "00", "at": "2026-01-01T00:00:00+00:00"}
    assert events[0]["value"]["features"] == first
    start_ms = events[0]["timestamp_ms"]
    assert [line["timestamp_ms"] - start_ms for line in events] == [0, 2, 4, 6, 8]
    assert [line["timestamp_ms"] - start_ms for line in labels] == [3, 5, 7, 9, 11]
    assert [line["value"]["label"] for line in labels] == [0, 1, 0, 1, 0]
    assert [line["value"]["event_id"] for line in labels] == [f"rows.csv:{n}" for n in range(5)]


def test_options_decide_types_times_and_where_the_label_goes(created: CommandLine, rows: str) -> None:
    """`--types`, `--time` and `--inline-label`: as named, and no column is sent twice."""
    arguments = (
        "--key",
        "user",
        "--inline-label",
        "label",
        "--time",
        "at",
        "--types",
        "x=string,zip=number,label=bool",
    )
    assert created("produce", created.target, rows, *arguments).code == 0
    events = read(created, "events")
    assert [line["timestamp_ms"] for line in events] == [T0 + 1_000 * n for n in range(5)]
    assert [line["value"]["label"] for line in events] == [False, True, False, True, False]
    assert events[3]["value"]["features"] == {"x": "3.5", "plan": "b", "zip": 3}
    assert read(created, "labels") == []


def test_a_delay_may_be_a_duration(created: CommandLine, rows: str) -> None:
    """Each label is stamped that much after its event, and none ahead of now."""
    arguments = ("--key", "user", "--label", "label", "--label-delay", "10m")
    assert created("produce", created.target, rows, *arguments).code == 0
    events, labels = read(created, "events"), read(created, "labels")
    behind = [y["timestamp_ms"] - x["timestamp_ms"] for x, y in zip(events, labels, strict=True)]
    assert behind == [600_000] * 5
    assert labels[-1]["timestamp_ms"] <= time.time() * 1000


def test_rate_bounds_the_events_a_second(created: CommandLine, rows: str) -> None:
    """Five events at ten a second take half a second at least."""
    done = created("produce", created.target, rows, "--key", "user", "--rate", "10", "--json")
    assert done.lines()[0]["seconds"] >= 0.5


def test_what_json_cannot_carry_is_left_out(created: CommandLine) -> None:
    """NaN and empty fields: the feature is absent, the row is not."""
    file = created.file("nan.csv", "user,x,y\na,1,1\nb,NaN,2\nc,,3\n")
    assert created("produce", created.target, file, "--key", "user").code == 0
    features = [line["value"]["features"] for line in read(created, "events")]
    assert features == [{"x": 1, "y": 1}, {"y": 2}, {"y": 3}]


def test_no_rows_are_told_and_no_error(created: CommandLine) -> None:
    """A quiet day's export has a first line only."""
    done = created(
        "produce", created.target, created.file("quiet.csv", "user,x\n"), "--key", "user", "--json"
    )
    assert (done.code, done.lines()[0]["events"]) == (0, 0)
    assert "holds no rows" in done.err


@pytest.mark.parametrize(
    ("name", "text", "arguments", "why"),
    [
        ("absent.csv", None, [], "there is no file"),
        ("empty.csv", "", [], "empty.csv is empty"),
        ("rows.txt", ROWS, [], "neither .csv nor .jsonl"),
        ("rows.csv", ROWS, ["--label", "truth"], "has no column truth; fix: It has user, x"),
        ("rows.csv", ROWS, ["--time", "when"], "has no column when"),
        ("rows.csv", ROWS, ["--types", "age=number"], "has no column age"),
        ("rows.csv", ROWS, ["--types", "x=float"], "Types are number, string and bool"),
        ("rows.csv", ROWS, ["--types", "x"], "is not COL=TYPE"),
        ("rows.csv", ROWS, ["--types", "plan=number"], "column plan has values that are not of type number"),
        ("rows.csv", ROWS, ["--time", "plan"], "in column plan is not a time"),
        ("rows.csv", ROWS, ["--label", "label", "--inline-label", "label"], "exclude each other"),
        ("rows.csv", ROWS, ["--label", "label", "--label-delay", "soon"], "is not a duration"),
        ("rows.csv", ROWS, ["--label-delay", "5"], "which labels are late; fix: Name their column"),
        ("rows.csv", ROWS, ["--rate", "0"], "--rate"),
        ("rows.csv", "user,x\na,1\n,2\n", [], "row 1 has nothing in its key column"),
        ("rows.csv", "user,x\na,1,2\n", [], "line 2 has more fields than the first line"),
        ("rows.csv", "user,t,x\na,4000000000000,1\n", ["--time", "t"], "must hold times of the past"),
        ("rows.csv", "user,t,x\na,99999999999999,1\n", ["--time", "t"], "lies after 2100"),
        ("rows.csv", "user,t,x\na,1795920616,1\n", ["--time", "t"], "--time-in says otherwise: s"),
        ("rows.csv", ROWS, ["--time", "plan", "--time-in", "day"], "--time-in 'day'"),
        ("rows.jsonl", '{"user":"a"}\n{"user":', [], "line 2 is not JSON"),
        ("rows.jsonl", '{"user":"a","x":1}\n', ["--types", "x=string"], "and Parquet carry their types"),
        ("rows.jsonl", '{"user":"a"}\n{"who":"b"}\n', [], "row 1 has nothing in its key column"),
    ],
)  # fmt: skip
def test_a_wrong_file_or_call_is_told_and_nothing_is_sent(
    shared: CommandLine, name: str, text: str | None, arguments: list[str], why: str
) -> None:
    """Exit 2 with what is wrong and its fix, before the first record."""
    file = shared.file(name, text) if text is not None else str(shared.directory / name)
    done = shared("produce", shared.target, file, "--key", "user", *arguments)
    assert done.code == 2
    assert why in done.err
    assert read(shared, "events") == []


BAD_ROWS = {
    "a list": ('{"user":"a","tags":["x"]}', [], "feature 'tags' is list"),
    "an id of twenty digits": ('{"user":"a","id":100000000000000000}', [], "beyond ±1e+15"),
    "a reserved name": ('{"user":"a","__op":"c","x":1}', [], "starts with two underscores"),
    "no features": ('{"user":"a"}', [], "the event has no features"),
    "a type that changes": (
        '{"user":"a","x":1}\n{"user":"a","x":"1"}',
        [],
        "is a string, it was a number before",
    ),
    "a label that is an object": ('{"user":"a","x":1,"y":[1]}', ["--label", "y"], "not list"),
    "a label that is null": ('{"user":"a","x":1,"y":1.5}', ["--label", "y"], "a class is a boolean"),
    "an id twice": (
        '{"user":"a","x":1,"id":7}\n{"user":"a","x":2,"id":7}',
        ["--event-id", "id"],
        "has the id '7'",
    ),
}


@pytest.mark.parametrize(("text", "arguments", "why"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_what_a_learner_would_refuse_is_refused_before_the_first_record(
    shared: CommandLine, text: str, arguments: list[str], why: str
) -> None:
    """By the learner's own rules, with its row and what to write."""
    file = shared.file("bad.jsonl", f"{text}\n")
    done = shared("produce", shared.target, file, "--key", "user", *arguments)
    assert done.code == 2, done.err
    assert why in done.err
    assert read(shared, "events") == []


def test_columns_are_chosen_dropped_and_named(created: CommandLine) -> None:
    """Ids of the file's own, labels at their own time; and each column is shown as it was taken."""
    text = "user,order,x,card,at,y,known\n" + "".join(
        f"u{n},o{n},{n}.5,4000{n},2026-01-01T00:00:0{n}Z,{n % 2}.0,2026-01-02T00:00:0{n}Z\n" for n in range(3)
    )
    file = created.file("orders.csv", text)
    how = ("--key", "user", "--event-id", "order", "--time", "at", "--label", "y", "--label-time", "known")
    done = created("produce", created.target, file, *how, "--drop", "card")
    assert done.code == 0, done.err
    assert [line.split(maxsplit=1) for line in done.err.splitlines()[:7]] == [
        ["user", "key"],
        ["order", "event id"],
        ["x", "number"],
        ["card", "not sent"],
        ["at", "time"],
        ["y", "label, number, whole numbers as classes"],
        ["known", "label's time"],
    ]
    events, labels = read(created, "events"), read(created, "labels")
    assert [(line["value"]["event_id"], line["value"]["features"]) for line in events] == [
        (f"o{n}", {"x": n + 0.5}) for n in range(3)
    ]
    assert [line["timestamp_ms"] for line in labels] == [T0 + 86_400_000 + 1_000 * n for n in range(3)]
    assert [line["value"]["label"] for line in labels] == [0, 1, 0]
    chosen = created("produce", created.target, file, *how[:2], "--features", "x")
    assert chosen.code == 0, chosen.err
    assert read(created, "events")[-1]["value"]["features"] == {"x": 2.5}


def test_a_second_call_says_what_it_repeats(created: CommandLine, rows: str) -> None:
    """The same file with the same options: all events are repeats, and their ids are the same."""
    call = ("produce", created.target, rows, "--key", "user", "--json")
    assert created(*call).lines()[0]["repeats"] == 0
    again = created(*call)
    assert again.lines()[0]["repeats"] == 5
    assert "all 5 records of this file were sent before" in again.err
    assert len({line["value"]["event_id"] for line in read(created, "events")}) == 5


def heed_ctrl_c() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_after_ctrl_c_the_same_call_sends_the_rest(created: CommandLine) -> None:
    """Every event once, in order, with the stamps that one call would have given."""
    file = created.file("many.csv", "user,x\n" + "".join(f"u{n % 7},{n}\n" for n in range(5_000)))
    command = [sys.executable, "-m", "stream_app", "produce", created.target, file, "--key", "user"]
    environment = {**os.environ, **created.environment}
    with subprocess.Popen(
        [*command, "--rate", "50"],
        env=environment,
        stderr=subprocess.PIPE,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509  one call between fork and exec
    ) as first:
        deadline_s = time.monotonic() + 60
        while not read(created, "events"):
            assert time.monotonic() < deadline_s
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=30)
    assert b"interrupted: sent" in said
    done = created(*command[3:])
    assert done.code == 0, done.err
    assert "going on after" in done.err
    events = read(created, "events")
    assert [line["value"]["event_id"] for line in events] == [f"many.csv:{n}" for n in range(5_000)]
    start_ms = events[0]["timestamp_ms"]
    assert [line["timestamp_ms"] - start_ms for line in events] == [2 * n for n in range(5_000)]


def test_missing_topics_are_refused(stream_app: CommandLine) -> None:
    """With the command that creates them."""
    done = stream_app("produce", stream_app.target, stream_app.file("rows.csv", ROWS), "--key", "user")
    assert (done.code, "topics create" in done.err) == (3, True)


def test_another_partition_count_is_refused(created: CommandLine, rows: str) -> None:
    """Its keys would lie where this definition's shards do not look."""
    done = created("produce", created.define(shards=3), rows, "--key", "user")
    assert (done.code, "has 2 partitions, the definition says 3" in done.err) == (3, True)


def test_a_person_sees_a_progress_bar(created: CommandLine, rows: str) -> None:
    """On a terminal, on stderr; stdout stays the report's."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "stream_app", "produce", created.target, rows, "--key", "user"]
    environment = {**os.environ, **created.environment, "TERM": "xterm"}
    done = subprocess.run(
        [*command, "--rate", "10", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert "produce rows.csv" in shown
    assert "%" in shown
    assert done.stdout.startswith(b'{"events":5,')
