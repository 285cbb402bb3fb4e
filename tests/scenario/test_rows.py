"""Exported rows are what was seen, served and labelled, each once, however often the export is cut off."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow.dataset  # type: ignore[import-untyped]
import pytest

from stream_app import features as f
from stream_app.cli.export import dataset
from stream_app.cli.export.dataset import DataSet
from stream_app.definition.digest import definition_hashes
from stream_app.errors import Refused, UsageError
from stream_app.labels import Labels
from stream_app.learner.history.rows import Mark, SeenRow, replay_rows
from stream_app.learner.history.upgrade import upgrade_shard
from stream_app.learner.history.verify import drain
from tests.scenario.fake_kafka import Source, Writer
from tests.scenario.fake_outside import FINGERPRINT, World
from tests.scenario.shard_driver import application
from topics.envelope import COMMAND, EVENT, LABEL

EVENTS = 80
WINDOWS = [f.count(window="1m"), f.last("x")]


def grow(world: World, start: int, events: int, prints: Any = FINGERPRINT) -> None:
    """Events with labels four later, but every seventh; one event is refused, one repeated."""
    shard = world.shard(prints)
    assert shard.live is not None
    for n in range(start, start + events):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": float(n % 5)}})
        if n % 20 == 9:
            world.feed(shard, EVENT, {"event_id": f"bad{n}", "features": {"x": [1]}})
            world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": float(n % 5)}})
        if n >= 4 and (n - 4) % 7:
            world.feed(shard, LABEL, {"event_id": f"e{n - 4}", "label": n % 3 == 0})
    shard.live.leave()


def taken(
    world: World, since: Mark | None, stop_after: int | None = None, prints: Any = FINGERPRINT
) -> tuple[list[SeenRow], Mark, int]:
    """The rows of one run, its mark, and how many wait; `stop_after` ends it at so many rows, as Ctrl-C."""
    rows: list[SeenRow] = []
    marks: list[Mark] = []

    def sink(done: list[SeenRow], mark: Mark, last: bool) -> None:
        rows.extend(done)
        done.clear()
        marks.append(mark)
        if stop_after is not None and len(rows) >= stop_after:
            raise KeyboardInterrupt

    waiting = -1
    with suppress(KeyboardInterrupt):
        waiting = replay_rows(world.past(prints), since, sink).waiting
    return rows, marks[-1], waiting


def compared(world: World, rows: list[SeenRow]) -> None:
    """Each row has the prediction as it was committed, and is there once."""
    served = {one["event_id"]: one for one in map(orjson.loads, world.predictions)}
    assert len({row.event_id for row in rows}) == len(rows)
    for row in rows:
        due = served[row.event_id]
        assert (row.prediction, row.offset, row.time_ms) == (due["prediction"], due["offset"], due["time_ms"])
        if row.learned is not None:
            assert (row.learned, row.version) == (due["learned"], due["model"]["version"])
        assert row.row["x"] == float(int(row.event_id[1:]) % 5)
        assert row.row["count_1m"] >= 0


def test_rows_are_what_was_seen_served_and_labelled() -> None:
    """A refused event and a repeat are none; a row without its label waits."""
    world = World(application(features=WINDOWS))
    grow(world, 0, EVENTS)
    rows, mark, waiting = taken(world, None)
    compared(world, rows)
    labelled = {f"e{n}": (n + 4) % 3 == 0 for n in range(EVENTS - 4) if n % 7}
    assert {row.event_id: row.label for row in rows} == labelled
    assert {row.labelled for row in rows} == {"label"}
    assert waiting == EVENTS - len(labelled)
    assert mark.oldest == 0


@pytest.mark.parametrize("cut", [1, 7, 30, 59])
def test_an_export_that_was_cut_off_goes_on_where_it_ended(cut: int) -> None:
    """Nothing is missing and nothing comes twice, also of rows that waited when it ended."""
    world = World(application(features=WINDOWS))
    grow(world, 0, EVENTS)
    whole, _, _ = taken(world, None)
    first, mark, _ = taken(world, None, stop_after=cut)
    second, mark, _ = taken(world, mark)
    assert first + second == whole
    grow(world, EVENTS, 40)
    third, _, _ = taken(world, mark)
    compared(world, whole + third)
    assert whole + third == taken(world, None)[0]


def test_a_row_whose_horizon_passes_is_exported_without_a_label() -> None:
    """Or with the default one, and says so."""
    for labels, due in (
        (Labels(horizon="20ms"), (None, None)),
        (Labels(horizon="20ms", on_timeout="label", default=False), (False, "timeout")),
    ):
        world = World(application(features=WINDOWS, labels=labels))
        grow(world, 0, EVENTS)
        rows, _, _ = taken(world, None)
        compared(world, rows)
        late = {row.event_id: (row.label, row.labelled) for row in rows if row.labelled != "label"}
        assert late["e7"] == late["e14"] == due


def test_events_that_carry_their_label_and_anomalies_are_complete_at_once() -> None:
    """Nothing of them waits."""
    world = World(application(features=WINDOWS))
    shard = world.shard()
    for n in range(20):
        value = {"event_id": f"e{n}", "features": {"x": float(n % 5)}, "label": n % 2 == 0}
        world.feed(shard, EVENT, value)
    rows, _, waiting = taken(world, None)
    compared(world, rows)
    assert [row.label for row in rows] == [n % 2 == 0 for n in range(20)]
    assert waiting == 0


def test_a_forgotten_entity_s_rows_do_not_wait_for_ever() -> None:
    """They are exported without a label, as the shard let them go."""
    world = World(application(features=WINDOWS))
    shard = world.shard()
    for n in range(3):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": float(n % 5)}})
    order: dict[str, Any] = {"command_id": "c", "command": "forget", "actor": "a", "reason": "r", "key": "k"}
    world.feed(shard, COMMAND, order)
    rows, _, waiting = taken(world, None)
    assert ([row.label for row in rows], waiting) == ([None] * 3, 0)


def test_rows_that_waited_before_what_is_retained_come_from_the_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their prediction is known; how much the model had learned is not."""
    world = World(application(features=WINDOWS))
    grow(world, 0, 40)
    _, mark, _ = taken(world, None)
    grow(world, 40, 40)
    kept = mark.position
    monkeypatch.setattr(Source, "earliest", lambda _self: [0, kept, 0])
    rows, _, _ = taken(world, mark)
    compared(world, rows)
    old = [row for row in rows if row.offset < kept]
    assert old
    assert {row.learned for row in old} == {None}


def test_a_gap_behind_the_mark_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest snapshot is of later than the mark."""
    world = World(application(features=WINDOWS))
    grow(world, 0, 40)
    _, mark, _ = taken(world, None, stop_after=5)
    position = len(world.inputs[EVENT])
    monkeypatch.setattr(Source, "earliest", lambda _self: [0, position, 0])
    with pytest.raises(Refused, match="where the export ends, are gone"):
        taken(world, mark)


def test_a_snapshot_between_the_mark_and_the_next_event_is_no_start() -> None:
    """Labels alone came in between; an earlier snapshot is."""
    world = World(application(features=WINDOWS))
    grow(world, 0, 20)
    whole, mark, _ = taken(world, None)
    shard = world.shard()
    assert shard.live is not None
    world.feed(shard, LABEL, {"event_id": "e19", "label": True})
    shard.live.leave()
    shard.drop()
    more, _, _ = taken(world, mark)
    assert [row.event_id for row in more] == ["e19"]
    assert whole + more == taken(world, None)[0]


def test_a_mark_of_an_earlier_life_is_refused() -> None:
    """Batches of the topics as they are now would be taken for exported."""
    world = World(application(features=WINDOWS))
    grow(world, 0, 20)
    _, mark, _ = taken(world, None)
    mark.life = "another"
    with pytest.raises(Refused, match="created again"):
        taken(world, mark)


def test_after_an_upgrade_the_export_goes_on_and_names_what_it_leaves_out() -> None:
    """Batches between the mark and the new epoch are of the earlier definition."""
    world = World(application(features=WINDOWS))
    prints = {**FINGERPRINT, "definition": definition_hashes(world.app)}
    grow(world, 0, 20, prints)
    _, mark, _ = taken(world, None, prints=prints)
    grow(world, 20, 10, prints)
    changed = {**prints, "python": "another"}
    drain(upgrade_shard(world.past(changed), Writer(world), lambda _plan: None))
    rows: list[SeenRow] = []
    ended = replay_rows(world.past(changed), mark, lambda done, _mark, _last: rows.extend(done))
    assert ended.left_out[0] == mark.seq + 1
    assert len(ended.left_out) > 10


def seen(n: int, **parts: Any) -> SeenRow:
    """A row of the nth day of 1970."""
    row = SeenRow(f"e{n}", "k", 86_400_000 * n, 0, n, None, None, "m", 1, 0, None, {"x": 1.0})
    for name, value in parts.items():
        setattr(row, name, value)
    return row


def test_files_of_an_export_have_the_same_columns_whatever_comes_later(tmp_path: Path) -> None:
    """Cold predictions and missing labels first, then labels, then a new feature; read as one table."""
    folder = tmp_path / "rows"
    for place, row in enumerate(
        (
            seen(1),
            seen(2, prediction=True, label=False, labelled="label"),
            seen(3, row={"x": 2.0, "city": "PT"}),
        )
    ):
        DataSet(folder, "a", "binary").add(0, [row], Mark(0, place, place, place, "life"))
    found = pyarrow.dataset.dataset(folder, partitioning="hive").to_table().sort_by("offset").to_pylist()
    assert [row["row.city"] for row in found] == [None, None, "PT"]
    assert [row["prediction"] for row in found] == [None, True, None]
    assert [row["label"] for row in found] == [None, False, None]
    with pytest.raises(UsageError, match=r"row\.x held number values so far and now holds bool values"):
        DataSet(folder, "a", "binary").add(0, [seen(4, row={"x": True})], Mark(0, 3, 3, 3, "life"))


def test_an_export_that_was_cut_off_in_its_first_part_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is known as an export before the first file is there."""
    folder = tmp_path / "rows"

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(dataset, "write", cut)
        DataSet(folder, "a", "binary").add(0, [seen(1)], Mark(0, 1, 1, 1, "life"))
    again = DataSet(folder, "a", "binary")
    assert again.mark(0) is None
    again.add(0, [seen(1)], Mark(0, 1, 1, 1, "life"))
    assert pyarrow.dataset.dataset(folder, partitioning="hive").count_rows() == 1
