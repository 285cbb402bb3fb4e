"""Variants beside the live shard: the account of what was served, on a world without servers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from river import dummy

from drift.detectors import Detect
from stream_app.application import Application, Blend, Labels, SwapPolicy
from stream_app.errors import Halted
from stream_app.learner.history.variant import Outcome
from stream_app.learner.history.whatif import replay_variants
from tests.bayes import bayes
from tests.scenario.fake_kafka import Source
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application
from topics.envelope import COMMAND, EVENT, LABEL, Record

TURN, END, LATE = 400, 900, 5
COLD = 5  # answers to the first events, before the first label was learned, that got a label later


def definition(**changes: object) -> Application:
    """A model that a turned concept throws off, with little patience."""
    rule = SwapPolicy(min_labels=50, probation=100)
    return application(champion=bayes, swap=rule, **changes)


def rows(turn: int = TURN, end: int = END) -> Iterator[tuple[dict[str, float], bool]]:
    """One number; what was above zero is below it from `turn` on."""
    dice = random.Random(3)
    for n in range(end):
        x = dice.uniform(-1, 1)
        yield {"x": x}, (x > 0) == (n < turn)


@pytest.fixture(scope="module")
def world() -> World:
    """One for all tests that change nothing of it."""
    return lived(definition())


def lived(app: Application, turn: int = TURN, end: int = END) -> World:
    """A shard's past: labels five events late, one in ten missing, a pause, and a snapshot on the way."""
    world = World(app)
    shard = world.quiet()
    assert shard.live is not None
    labels = []
    for n, (x, y) in enumerate(rows(turn, end)):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": x})
        labels.append(y)
        if n >= LATE and n % 10:
            world.feed(shard, LABEL, {"event_id": f"e{n - LATE}", "label": labels[n - LATE]})
        if n in {100, 110}:
            order = {"command_id": f"c{n}", "command": "pause" if n == 100 else "resume"}
            world.feed(shard, COMMAND, {**order, "actor": "a test", "reason": "some labels are lost"})
        if n == end * 2 // 3:
            shard.live.leave()
    shard.drop()
    return world


def played(world: World, **variants: Application) -> list[Outcome]:
    """The live shard and variants beside it."""
    return replay_variants(world.past(), variants)


def test_the_live_row_is_what_was_committed(world: World) -> None:
    """Alarms, swaps and their places are those of the alerts; each served prediction with a label counts."""
    live = played(world)[0]
    swaps = world.alerts("swap")
    assert live.swaps == len(swaps) > 0
    assert live.rollbacks == len(world.alerts("rollback"))
    places = [(int(alert["alert_id"].split("/")[3]), alert["time_ms"]) for alert in swaps]
    assert [(c.offset, c.time_ms) for c in live.changes if c.type == "swap"] == places
    drifts = [alert["evidence"] for alert in world.alerts("drift") if alert["severity"] == "warning"]
    assert live.alarms >= sum(1 + one.get("held_back", 0) for one in drifts) > 0
    assert live.predictions == END
    assert live.scored == sum(1 for n in range(LATE, END) if n % 10) - COLD
    assert 0.5 < live.scores["accuracy"] < live.last["accuracy"]


def test_a_variant_that_changes_nothing_fares_as_the_live_shard(world: World) -> None:
    """Same detectors, same policy: the same account to the bit."""
    live, same = played(world, same=definition())
    assert msgspec.structs.replace(same, variant="live") == live


def test_other_policies_and_detectors_go_their_own_way(world: World) -> None:
    """Never swaps never; immediate swaps at the alarm, so sooner than with evidence."""
    app = definition()
    never, at_once = (replace(app, swap=replace(app.swap, policy=name)) for name in ("never", "immediate"))
    live, static, immediate, other = played(
        world, never=never, immediate=at_once, other=replace(app, drift=(Detect("page_hinkley"),))
    )
    assert (static.hunts, static.swaps, static.changes) == (0, 0, [])
    assert static.alarms > 0
    assert static.scores["accuracy"] < live.scores["accuracy"]
    assert immediate.changes[0].after < live.changes[0].after
    assert other.changes[0].after != live.changes[0].after


def test_where_inputs_are_cut_the_newest_snapshot_is_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account then begins there, with the models as they were and no hunt under way."""
    monkeypatch.setattr(Source, "earliest", lambda _self: [0, 50, 0])
    live, same = played(world, same=definition())
    assert (live.source, same.source) == ("earliest", "earliest")
    assert live.predictions == same.predictions == END - 601
    assert live.scores == same.scores
    monkeypatch.setattr(Source, "earliest", lambda _self: [0, END, 0])
    assert played(world) == []


def test_a_shard_that_never_ran_has_no_outcome() -> None:
    """No journal is no fault here; the command tells that nothing is retained."""
    assert played(World(definition())) == []


def test_the_live_shard_must_still_prove_itself(world: World) -> None:
    """An input that is not what the journal read halts the replay: no row is told."""
    copy = World(world.app)
    copy.journal, copy.inputs = world.journal, [list(records) for records in world.inputs]
    first = copy.inputs[EVENT][0]
    assert first.value is not None
    copy.inputs[EVENT][0] = Record(
        EVENT, first.offset, first.time_ms, first.key, first.value.replace(b"e0", b"f0")
    )
    with pytest.raises(Halted, match="diverged"):
        played(copy)


def test_orders_about_models_are_the_live_run_s_own() -> None:
    """A promotion counts as the live shard's swap and leaves variants alone."""
    world = World(definition(challengers={"rival": bayes}))
    shard = world.shard()
    for n, (x, y) in enumerate(rows()):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": x, "label": y})
        if n == 50:
            order = {"command_id": "c", "command": "promote", "slot": "rival", "actor": "me", "reason": "so"}
            world.feed(shard, COMMAND, order)
            break
    shard.drop()
    live, never = played(world, never=replace(world.app, swap=SwapPolicy(policy="never")))
    assert [(change.type, change.input) for change in live.changes] == [("swap", "commands")]
    assert never.changes == []


def test_a_default_label_counts_where_the_horizon_passed() -> None:
    """A row that expired is scored with the label that it was learned with."""
    labels = Labels(horizon="10s", on_timeout="label", default=False)
    world = World(definition(labels=labels))
    shard = world.shard()
    for n in range(40):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
    shard.drop()
    live = played(world)[0]
    assert live.scored > 0
    assert live.scores["accuracy"] == 1.0


def test_a_blend_beside_a_champion_and_the_other_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fares as it would have alone; from a snapshot too, whose waiting rows the other one served."""
    last = {"last": lambda seed: dummy.NoChangeClassifier()}
    apps = [definition(challengers=last), definition(challengers=last, serve=Blend())]
    worlds = [lived(app, 160, 300) for app in apps]
    (one, other_one), (other, one_other) = (
        played(world, other=app) for world, app in zip(worlds, apps[::-1], strict=True)
    )
    assert other.scores["accuracy"] > one.scores["accuracy"]
    assert (other_one.scores, one_other.scores) == (other.scores, one.scores)
    monkeypatch.setattr(Source, "earliest", lambda _self: [0, 50, 0])
    for world, app in zip(worlds, apps[::-1], strict=True):
        live, beside = played(world, other=app)
        assert 0 < live.scored == beside.scored < one.scored
