"""Every halt and every definition that cannot run has a way out, which says what it gives up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest
from river import linear_model, naive_bayes, preprocessing

from stream_app import features as f
from stream_app.application import Application, Labels
from stream_app.definition.digest import definition_hashes
from stream_app.errors import Halted, Refused
from stream_app.flow import learn
from stream_app.learner.batch import journal
from stream_app.learner.history.starts import Wish
from stream_app.learner.history.upgrade import Plan, upgrade_shard
from stream_app.learner.history.verify import drain, verify_shard
from stream_app.learner.shard import Phase, Shard
from stream_app.models.digest import structural_digest
from stream_app.state.shard import ShardState
from tests.scenario.fake_kafka import Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import TOPICS, application
from topics.envelope import COMMAND, EVENT, LABEL
from topics.journal import BatchRecord, EpochRecord

EVENTS = 8
OUTSIDE = {"shift": 0.0, "calls": 0}


class Shifted:
    """A classifier that reads what no fingerprint sees."""

    def __init__(self) -> None:
        self.inner: Any = naive_bayes.GaussianNB()

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        OUTSIDE["calls"] += 1
        return (
            {True: 0.5 + OUTSIDE["shift"], False: 0.5 - OUTSIDE["shift"]} if self.inner.class_counts else {}
        )

    def predict_one(self, x: dict[str, Any]) -> Any:
        return None

    def learn_one(self, x: dict[str, Any], y: Any, w: float = 1.0) -> None:
        OUTSIDE["calls"] += 1
        self.inner.learn_one(x, y)


def shifted(_seed: int) -> Any:
    """As the world outside says."""
    return Shifted()


def logistic(_seed: int) -> Any:
    """Scaled logistic regression."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def bayes(_seed: int) -> Any:
    """Gaussian naive Bayes."""
    return naive_bayes.GaussianNB()


def define(**changes: Any) -> Application:
    """An application whose events leave traces in windows, ids and waiting rows."""
    common = {"champion": logistic, "features": [f.count(window="10m")], "labels": Labels(horizon="1h")}
    return application(**{**common, **changes})


def prints(app: Application) -> dict[str, Any]:
    """Its fingerprint."""
    return {"definition": definition_hashes(app), "topics": dict.fromkeys(TOPICS, "id")}


def lived(app: Application, *saved: int) -> World:
    """Each label comes two events late; snapshots after the events of these numbers."""
    world = World(app)
    shard = world.shard(prints(app))
    for n in range(EVENTS):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n % 5}})
        if n >= 2:
            world.feed(shard, LABEL, {"event_id": f"e{n - 2}", "label": n % 2 == 0})
        if n in saved and shard.live is not None:
            shard.live.leave()
    shard.drop()
    return world


def state_of(shard: Shard) -> ShardState:
    """What a live shard knows."""
    assert shard.live is not None, shard.refusal
    return shard.live.processor.core.state


def refusal(world: World, app: Application) -> Refused:
    """Why a learner does not go on."""
    shard = world.shard(prints(app))
    assert shard.phase is Phase.HALTED
    assert shard.refusal is not None
    return shard.refusal


def never(plan: Plan) -> None:
    """No operator agrees to give anything up."""
    if plan.given_up:
        raise Refused("; ".join(plan.given_up), "")


def steps(
    world: World,
    app: Application,
    writer: Writer | None,
    agree: Callable[[Plan], None],
    wish: Wish,
    found: dict[str, Any] | None = None,
) -> Plan | None:
    """One call of the command; without a writer a dry run."""
    return drain(upgrade_shard(world.past(found or prints(app), app), writer, agree, wish))


def upgrade(world: World, app: Application, **wish: Any) -> Plan:
    """Nothing is written before somebody agreed to what is given up; then the epoch holds it."""
    before = len(world.journal)
    with pytest.raises(Refused):
        steps(world, app, Writer(world), never, Wish(**wish))
    assert len(world.journal) == before
    plan = steps(world, app, Writer(world), lambda _plan: None, Wish(**wish))
    assert plan is not None
    record = journal.read(world.journal[-1], 0)
    assert isinstance(record, EpochRecord)
    assert record.given_up == plan.given_up
    world.app = app
    object.__setattr__(world.deps, "app", app)
    return plan


def goes_on(world: World, app: Application) -> Shard:
    """A learner takes what is next, answers no event twice, and its epoch replays equal."""
    shard = world.shard(prints(app))
    state = state_of(shard)
    assert {f"e{n}" for n in range(EVENTS - 2, EVENTS)} <= set(state.pending.items)
    learned = state.counters.labels_learned
    n = len(world.inputs[EVENT])
    world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": 1}})
    world.feed(shard, EVENT, {"event_id": f"e{EVENTS - 1}", "features": {"x": (EVENTS - 1) % 5}})
    world.feed(shard, LABEL, {"event_id": f"e{EVENTS - 1}", "label": True})
    assert shard.live is not None
    assert state.counters.duplicate_events == 1
    assert state.counters.labels_learned == learned + 1
    told = [orjson.loads(value)["event_id"] for value in world.predictions]
    assert len(told) == len(set(told)) == n + 1
    found = verify_shard(world.past(prints(app), app))
    assert [one.why for one in found] == [""] * len(found)
    return shard


def test_a_divergence_is_accepted_by_its_seq_and_the_replay_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the newest snapshot; another seq is refused, and so is one where nothing diverges."""
    app = define(champion=shifted)
    world = lived(app, 3)
    assert world.shard(prints(app)).phase is Phase.LIVE
    monkeypatch.setitem(OUTSIDE, "shift", 0.25)
    found = refusal(world, app)
    assert isinstance(found, Halted)
    seq = int(found.message.split("seq ")[1].split(":")[0])
    assert f"--accept-divergence {seq}" in found.remedy
    with pytest.raises(Refused, match=f"diverges at seq {seq}, not at {seq + 1}"):
        steps(world, app, None, never, Wish(seq + 1))
    plan = upgrade(world, app, accept_divergence=seq)
    assert plan.changed == [f"divergence at seq {seq}"]
    assert "the proof of batches" in plan.given_up[0]
    state = state_of(goes_on(world, app))
    assert state.champion.learned == EVENTS - 2 + 1
    again = steps(world, app, Writer(world), never, Wish(1))
    assert again is not None
    assert again.changed == []


def test_batches_after_the_snapshot_are_replayed_under_the_new_definition() -> None:
    """An unchanged champion knows as much as the one that ran; the old definition need not run again."""
    app, changed = define(challengers={"bayes": shifted}), define(challengers={"bayes": bayes})
    world = lived(app, 3)
    live = state_of(world.shard(prints(app)))
    plan = upgrade(world, changed)
    assert plan.carried[0] == "champion"
    assert plan.fresh[0] == "bayes"
    assert plan.given_up[0].startswith("the proof of batches 7 to 14")
    state = state_of(world.shard(prints(changed)))
    assert structural_digest(state.champion.model) == structural_digest(live.champion.model)
    assert structural_digest(state.entities) == structural_digest(live.entities)
    assert set(state.pending.items) == set(live.pending.items)
    assert state.slots[1].learned > 0
    assert state.slots[1].version not in {slot.version for slot in live.slots}
    goes_on(world, changed)


@pytest.mark.parametrize("restart", [("champion",), ("all",)])
def test_a_restarted_slot_is_not_called_and_the_rest_is_recomputed(restart: tuple[str, ...]) -> None:
    """Waiting rows, ids and windows are those of the run; the slot knows nothing of before."""
    app = define(champion=shifted)
    world = lived(app, 3)
    live = state_of(world.shard(prints(app)))
    calls = OUTSIDE["calls"]
    plan = upgrade(world, app, restart=restart)
    sampled = len(live.sample_rows)
    assert OUTSIDE["calls"] - calls <= sampled, "only the fresh model is asked, for its snapshot"
    assert "what champion has learned" in plan.given_up
    shard = world.shard(prints(app))
    state = state_of(shard)
    assert state.champion.learned == 0
    assert structural_digest(state.entities) == structural_digest(live.entities)
    assert set(state.pending.items) == set(live.pending.items)
    assert state.champion.version > live.champion.version
    goes_on(world, app)
    receipts = [orjson.loads(send.value or b"") for send in world.written if send.topic == "models"]
    assert "upgrade: restarted by an operator" in {one.get("why") for one in receipts}


def test_from_the_log_models_learn_again_what_it_retains() -> None:
    """Without any snapshot: all of it, here, so the champion is the one that an uninterrupted run has."""
    app = define()
    world = lived(app)
    live = state_of(world.shard(prints(app)))
    changed = define(challengers={"bayes": bayes})
    plan = upgrade(world, changed, from_log=True)
    assert "start from the log" in plan.changed
    state = state_of(world.shard(prints(changed)))
    assert structural_digest(state.champion.model) == structural_digest(live.champion.model)
    assert [slot.learned for slot in state.slots] == [EVENTS - 2, EVENTS - 2]
    assert not {slot.version for slot in state.slots} & {slot.version for slot in live.slots}
    goes_on(world, changed)


@pytest.mark.parametrize("cut", ["inputs", "journal", "a damaged record", "the first record", "a gap"])
def test_from_the_log_begins_behind_what_is_lost(cut: str) -> None:
    """The learner halts or has no start; the upgrade names the batches that are lost."""
    app = define()
    world = lived(app)
    if cut == "inputs":
        world.low = [0, 3, 1]
    elif cut == "journal":
        del world.journal[:5]
    elif cut in ("a damaged record", "the first record"):
        world.journal[4 if cut == "a damaged record" else 0] = b"{"
    else:
        del world.journal[4]
    assert isinstance(refusal(world, app), Halted)
    plan = upgrade(world, app, from_log=True)
    lost = [what for what in plan.given_up if what.startswith(("what batches", "all that came before"))]
    assert len(lost) == (0 if cut == "the first record" else 1), lost
    assert state_of(world.shard(prints(app))).champion.learned > 0
    goes_on(world, app)


def test_inputs_that_were_cut_behind_a_snapshot_are_given_up_by_an_upgrade() -> None:
    """The snapshot stays the start; the batches that cannot be replayed are named."""
    app = define()
    world = lived(app, 2)
    world.low = [0, 5, 3]
    assert isinstance(refusal(world, app), Halted)
    plan = upgrade(world, app)
    assert plan.carried[0] == "champion"
    assert any("inputs or the journal are cut" in what for what in plan.given_up)
    goes_on(world, app)


def test_events_that_were_deleted_unread_are_skipped_by_an_upgrade() -> None:
    """Their number is named; nothing else is lost."""
    app = define()
    world = lived(app, EVENTS - 1)
    for n in range(3):
        world.record(EVENT, world.clock.now_ms(), {"event_id": f"lost{n}", "features": {"x": n}})
    world.low = [0, EVENTS + 2, 0]
    plan = upgrade(world, app)
    assert plan.given_up == [f"events {EVENTS} to {EVENTS + 1}: they were deleted unread"]
    state = state_of(world.shard(prints(app)))
    assert state.champion.learned == EVENTS - 2
    assert world.committed[EVENT] == EVENTS + 2


def test_lost_snapshots_of_a_later_epoch_are_no_dead_end() -> None:
    """The batches of both epochs are replayed from the older snapshot."""
    app, changed = define(), define(challengers={"bayes": bayes})
    world = lived(app, EVENTS - 2)
    upgrade(world, changed)
    shard = world.shard(prints(changed))
    n = len(world.inputs[EVENT])
    world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": 1}})
    shard.drop()
    del world.snapshots[0]
    assert "snapshots of epoch 1 are missing" in refusal(world, changed).message
    plan = upgrade(world, changed)
    assert plan.epoch == 2
    assert f"e{n}" in state_of(world.shard(prints(changed))).pending.items
    goes_on(world, changed)


def test_a_snapshot_that_cannot_be_loaded_gives_way_to_an_older_one() -> None:
    """As in a recovery; without an older one the way from the log is named."""
    app, changed = define(), define(challengers={"bayes": bayes})
    world = lived(app, 3, EVENTS - 1)
    header, payload = world.snapshots[0]
    world.snapshots[0] = (header, payload[: len(payload) // 2])
    plan = upgrade(world, changed)
    assert plan.carried[0] == "champion"
    assert any("the proof of batches" in what for what in plan.given_up)
    goes_on(world, changed)
    alone = lived(app, 3)
    alone.snapshots = [(head, data[:9]) for head, data in alone.snapshots]
    with pytest.raises(Refused, match="cannot be read") as caught:
        steps(alone, changed, None, never, Wish())
    assert "--from-log" in caught.value.remedy


def test_inputs_that_were_created_again_are_not_entered_at_old_offsets() -> None:
    """Whatever way out is asked for."""
    app = define()
    world = lived(app, 3)
    other = {**prints(app), "topics": dict.fromkeys(TOPICS, "another id")}
    for wish in (Wish(), Wish(from_log=True), Wish(restart=("all",)), Wish(3)):
        with pytest.raises(Halted, match="deleted and created again"):
            steps(world, app, Writer(world), never, wish, other)


def test_models_of_the_replayed_batches_have_receipts_and_versions_of_their_own() -> None:
    """What serves since an order that is replayed, and what is new beside models of the journal."""
    app = define(challengers={"bayes": bayes})
    changed = define(challengers={"bayes": bayes, "new": shifted})
    world = lived(app, EVENTS - 2)
    shard = world.shard(prints(app))
    order = {"command_id": "c", "command": "promote", "slot": "bayes", "actor": "ann", "reason": "better"}
    world.feed(shard, COMMAND, order)
    assert state_of(shard).serving == "bayes"
    shard.drop()
    newest = journal.read(world.journal[-1], 0)
    told = [{"model": "champion-9", "version": 9, "status": "candidate"}]
    world.journal[-1] = journal.encode(msgspec.structs.replace(newest, decisions=told))
    upgrade(world, changed)
    world.written.clear()
    shard = goes_on(world, changed)
    assert state_of(shard).serving == "bayes"
    receipts = [orjson.loads(send.value or b"") for send in world.written if send.topic == "models"]
    told_of = {one["slot"]: (one["version"], one["status"], one["why"]) for one in receipts}
    assert told_of["bayes"] == (2, "serving", "upgrade: it came of the replayed batches")
    assert told_of["new"][0] > 9


def test_a_replay_follows_an_epoch_that_skipped_events() -> None:
    """As an upgrade leaves one where the journal had lost batches: the inputs go on where its batches do."""
    app = define()
    world = lived(app, EVENTS - 2)
    shard = world.shard(prints(app))
    world.feed(shard, EVENT, {"event_id": "lost", "features": {"x": 1}})
    shard.drop()
    world.journal.pop()
    plan = upgrade(world, app)
    assert "predictions beyond the journal" in plan.changed
    shard = world.shard(prints(app))
    world.feed(shard, EVENT, {"event_id": "kept", "features": {"x": 1}})
    shard.drop()
    del world.snapshots[0]
    upgrade(world, app)
    state = state_of(world.shard(prints(app)))
    assert "kept" in state.pending.items
    assert "lost" not in state.pending.items


def test_a_batch_whose_inputs_are_others_is_left_out() -> None:
    """A record fewer than the journal read, within what is retained; the loss is named and agreed to."""
    app = define()
    world = lived(app)
    newest = journal.read(world.journal[6], 0)
    assert isinstance(newest, BatchRecord)
    inputs = {name: (start, end, 7) for name, (start, end, _) in newest.inputs.items()}
    world.journal[6] = journal.encode(msgspec.structs.replace(newest, inputs=inputs))
    assert "the journal read 7" in refusal(world, app).message
    plan = upgrade(world, app, from_log=True)
    assert any(what.startswith(f"what batch {newest.seq} brought") for what in plan.given_up)
    goes_on(world, app)


def test_a_damaged_newest_record_leaves_no_start() -> None:
    """It alone says where the journal ends: a backup or another name."""
    app = define()
    world = lived(app, 3)
    world.journal[-1] = b"{"
    with pytest.raises(Halted, match="cannot say where it ends"):
        steps(world, app, Writer(world), never, Wish(from_log=True))


def test_what_cannot_be_saved_or_replayed_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the slot's restart as the way out, which works."""
    app, changed = define(challengers={"bayes": shifted}), define(challengers={"bayes": shifted}, ttl="1d")
    world = lived(app, 3)
    before = len(world.journal)

    def breaks(*_: Any) -> None:
        raise RuntimeError("it breaks the machine")

    def agree(_plan: Plan) -> None:
        """Whatever is given up."""

    world.store_error = RuntimeError("a set of 3025 members")
    with pytest.raises(Refused, match="cannot be saved") as caught:
        steps(world, changed, Writer(world), agree, Wish())
    assert "--restart SLOT" in caught.value.remedy
    world.store_error = None
    if learn.__file__.endswith(".py"):  # a compiled module's functions cannot be replaced
        monkeypatch.setattr(learn, "count", breaks)
        with pytest.raises(Refused, match="batch 8 cannot be replayed") as caught:
            steps(world, changed, Writer(world), agree, Wish())
        assert "--restart SLOT" in caught.value.remedy
        monkeypatch.undo()
    assert len(world.journal) == before
    upgrade(world, changed, restart=("bayes",))
    goes_on(world, changed)
