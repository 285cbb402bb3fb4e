"""Models that hold sets: live, restored and replayed shards stay alike wherever something was kept."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from river import base, linear_model, preprocessing

from stream_app.application import Application, Snapshots
from stream_app.definition.digest import definition_hashes
from stream_app.learner.active_shard import ActiveShard
from stream_app.learner.batch import journal
from stream_app.learner.history.upgrade import upgrade_shard
from stream_app.learner.history.verify import drain, verify_shard
from stream_app.learner.recovery.snapshots import restore, state_digest
from stream_app.learner.shard import Shard
from stream_app.models.calls import bind
from tests.scenario.fake_kafka import Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import TOPICS, application
from topics.envelope import COMMAND, EVENT
from topics.journal import AttemptRecord, BatchRecord

SEEN = 64  # newest values that the model below sums over; filled again, nine sets of ten get another order


class Newest(base.Transformer):
    """A transformer that sums over a set from which old values go: the order decides the last bits."""

    def __init__(self) -> None:
        self.seen: set[Any] = set()
        self.order: list[Any] = []

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Take in each value; the oldest ones leave."""
        for value in x.values():
            if value not in self.seen:
                self.seen.add(value)
                self.order.append(value)
        while len(self.order) > SEEN:
            self.seen.discard(self.order.pop(0))

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """One number that is a sum in the set's order."""
        total = 0.0
        for place, value in enumerate(self.seen):
            total += (hash(value) % 7 - 3) / (3.7 + place)
        return {"sum": total, "mine": sum(value in self.seen for value in x.values())}


def newest(_seed: int) -> Any:
    """The odd model."""
    return Newest() | linear_model.LogisticRegression()


def one_hot(_seed: int) -> Any:
    """One column for each string and each number."""
    return preprocessing.OneHotEncoder() | linear_model.LogisticRegression()


def definition(**changes: Any) -> Application:
    """Champion and challenger hold sets; snapshots are dear, so that a test says when one is due."""
    return application(
        **{
            "champion": newest,
            "challengers": {"encoder": one_hot},
            "snapshot": Snapshots(max_cost=1.0, max_recovery="1ms"),
            **changes,
        }
    )


def feed(world: World, shard: Shard, dice: random.Random, n: int) -> None:
    """So many labelled events in batches as the dice cut them; they say when something is due, too."""
    live = shard.live
    assert live is not None
    live.snapshotter.policy.max_recovery_s = 1e9
    for _ in range(n):
        features = {"city": f"{dice.randrange(1 << 30):x}", "n": dice.randrange(1 << 20), "x": dice.random()}
        number = len(world.inputs[EVENT])
        event = {"event_id": f"e{number}", "features": features, "label": dice.random() < 0.5}
        world.offer(live, EVENT, event)
        if dice.random() < 0.2:
            world.clock.now_s += dice.choice([0.1, 1.5])
        if dice.random() < 0.05:
            live.snapshotter.policy.max_recovery_s = 0.0
            live.snapshotter.worked(1.0, 1)
        if dice.random() < 0.5:
            assert shard.turn() is not None
            live.snapshotter.policy.max_recovery_s = 1e9
    for _ in range(3):
        shard.turn()


def layout(live: ActiveShard) -> list[list[str]]:
    """How every set of every model iterates."""
    found: list[list[str]] = []
    for slot in live.processor.core.state.slots:
        for step in slot.model.steps.values():
            sets = [step.seen] if isinstance(step, Newest) else list(getattr(step, "values", {}).values())
            found += [list(map(repr, one)) for one in sets]
    return found


def settled(world: World) -> list[Any]:
    """What the batches of the journal say of sets, where they do."""
    records = [journal.read(value, 0) for value in world.journal]
    said = [record.settled for record in records if isinstance(record, BatchRecord)]
    return [which for which in said if which]


def recovered(world: World) -> Shard:
    """Another learner's shard over the same world, after a kill."""
    shard = world.shard()
    assert shard.live is not None
    return shard


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_killed_when_the_sets_come_back(seed: int) -> None:
    """Random batches, snapshots, publications and kills: each recovery has the state and the orders of the
    one that was killed, from its snapshot and from the journal's beginning, and goes on alike.
    """
    dice, world = random.Random(seed), World(definition())
    shard = recovered(world)
    for _ in range(4):
        feed(world, shard, dice, 60)
        assert shard.live is not None
        before, orders = state_digest(shard.live.processor.core.state), layout(shard.live)
        shard.drop()
        kept = list(world.snapshots)
        world.snapshots.clear()
        slow = recovered(world)
        assert slow.live is not None
        assert (state_digest(slow.live.processor.core.state), layout(slow.live)) == (before, orders)
        slow.drop()
        world.snapshots[:] = kept
        shard = recovered(world)
        assert shard.live is not None
        since = kept[0][0]["seq"] if kept else 0
        assert shard.live.replayed == shard.live.processor.seq - since, "the newest snapshot was passed over"
        assert (state_digest(shard.live.processor.core.state), layout(shard.live)) == (before, orders)
    assert {"champion", "models"} == set(settled(world))
    assert verified(world) == [True, True]


def verified(world: World) -> list[bool]:
    """What `verify` says of both replays."""
    return [one.equal for one in verify_shard(world.past())]


def test_a_replay_that_lays_out_no_sets_leaves_its_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests show hangs on the note in the journal: without it the digests part."""
    world = World(definition())
    shard = recovered(world)
    feed(world, shard, random.Random(1), 150)
    shard.drop()
    world.snapshots.clear()
    monkeypatch.setattr("stream_app.learner.batch.processor.BatchProcessor.refill_sets", lambda *_: None)
    assert verified(world) == [False]


def test_a_publication_answers_as_the_live_champion_does() -> None:
    """To the bit, of a set that has seen insertions and deletions: after its batch, and before any other."""
    world, dice = World(definition()), random.Random(2)
    shard = recovered(world)
    for _ in range(8):
        feed(world, shard, dice, 30)
        world.clock.now_s += 2.0
        for _ in range(3):
            shard.turn()
        assert shard.live is not None
        processor = shard.live.processor
        assert world.shown[-1][0] == processor.stamp
        from tests.scenario.test_champion_publisher import taken

        found = taken(world)
        for _ in range(5):
            row = {"city": f"{dice.randrange(99):x}", "n": dice.randrange(99)}
            assert repr(found.predict(row)) == repr(processor.core.calls[0][1].predict(row))


def test_a_model_whose_set_has_a_history_passes_the_gate() -> None:
    """An operator lets it serve: its stored copy answers alike, since the live sets are laid out as its own;
    and the replay does the same.
    """
    world = World(definition(champion=one_hot, challengers={"odd": newest}))
    shard = recovered(world)
    for turn in range(6):
        feed(world, shard, random.Random(turn), 60)
        assert shard.live is not None
        serving = shard.live.processor.core.state.serving
        order = {"command_id": f"c{turn}", "command": "promote", "actor": "a", "reason": "r", "shard": 0}
        slot = "odd" if serving == "champion" else "champion"
        world.feed(shard, COMMAND, {**order, "slot": slot})
        assert shard.live.processor.core.state.serving == slot
    shard.drop()
    world.snapshots.clear()
    assert verified(world) == [True]


def test_a_shard_at_rest_notes_it_in_a_batch_without_records() -> None:
    """A publication that becomes due while nothing comes; it is not repeated, and a replay passes it."""
    world = World(definition())
    shard = recovered(world)
    feed(world, shard, random.Random(3), 20)
    world.clock.now_s += 2.0
    batches = len(world.journal)
    for _ in range(4):
        shard.turn()
        world.clock.now_s += 0.1
    assert len(world.journal) == batches + 1
    assert orjson.loads(world.journal[-1])["settled"] == "champion"
    assert [n for *_, n in orjson.loads(world.journal[-1])["inputs"].values()] == [0, 0, 0]
    for _ in range(20):
        shard.turn()
        world.clock.now_s += 1.0
    assert len(world.journal) == batches + 1
    shard.drop()
    assert verified(world)[0]


def test_models_without_sets_leave_no_note() -> None:
    """Their journal is what it was, and a shard at rest writes nothing."""
    world = World(application(snapshot=Snapshots(max_cost=1.0, max_recovery="1ms")))
    shard = recovered(world)
    feed(world, shard, random.Random(4), 60)
    batches = len(world.journal)
    for _ in range(6):
        shard.turn()
        world.clock.now_s += 2.0
    assert len(world.journal) == batches
    assert len(world.snapshots) > 1
    assert len(world.shown) > 1
    assert all(b"settled" not in record for record in world.journal)


def test_a_stop_leaves_a_snapshot_of_the_journal_s_end() -> None:
    """With the publication in the same batch: an upgrade needs that no batch follows its snapshot."""
    world = World(definition())
    shard = recovered(world)
    feed(world, shard, random.Random(5), 40)
    live = shard.live
    assert live is not None
    live.snapshotter.worked(1.0, 1)
    for last_words in (False, True):
        while not live.finish(last_words=last_words):
            pass
        live.leave()
    newest_record = orjson.loads(world.journal[-1])
    assert newest_record["settled"] == "models"
    assert world.snapshots[0][0]["seq"] == newest_record["seq"] == live.processor.seq
    assert world.shown[-1][0] == live.processor.stamp
    assert live.view_writer.stored == live.processor.view_stamp
    state = restore(world.app, *next(iter(world.deps.open_store(0).load())))
    answers = bind(state.champion.model, world.app.question).predict({"city": "a", "n": 1})
    assert repr(answers) == repr(live.processor.core.calls[0][1].predict({"city": "a", "n": 1}))


def test_a_stop_after_a_rest_leaves_a_snapshot_of_the_journal_s_end() -> None:
    """A batch without records that came after the newest snapshot, for a publication, is one to save, too."""
    world = World(definition())
    shard = recovered(world)
    feed(world, shard, random.Random(7), 20)
    live = shard.live
    assert live is not None
    live.snapshotter.worked(1.0, 1)
    live.snapshotter.policy.max_recovery_s = 0.0
    for _ in range(8):
        shard.turn()
        world.clock.now_s += 1.0
    live.leave()
    shard.turn()
    assert world.snapshots[0][0]["seq"] == orjson.loads(world.journal[-1])["seq"]


def test_a_batch_without_records_at_the_birth_of_a_shard_is_replayed() -> None:
    """The receipts of its models come with the first record, live and in a replay."""
    world = World(application(champion=lambda _: Born() | linear_model.LogisticRegression()))
    shard = recovered(world)
    for _ in range(3):
        shard.turn()
    assert settled(world) == ["champion"]
    feed(world, shard, random.Random(6), 5)
    shard.drop()
    assert verified(world) == [True]


def test_nothing_is_kept_between_an_announcement_and_its_records() -> None:
    """A publication that is due waits: a batch in between would part the records from their attempt."""
    world = World(definition())
    shard = world.shard(proven=False)
    feed(world, shard, random.Random(8), 30)
    kinds = [type(journal.read(value, 0)) for value in world.journal]
    counts = [
        sum(n for *_, n in orjson.loads(value)["inputs"].values()) if kind is BatchRecord else 0
        for kind, value in zip(kinds, world.journal, strict=True)
    ]
    followed = [counts[place + 1] for place, kind in enumerate(kinds) if kind is AttemptRecord]
    assert len(followed) > 1
    assert all(followed)
    assert settled(world)


def test_an_upgrade_lays_out_sets_where_its_journal_says_so() -> None:
    """Batches behind the snapshot are applied to its models as they were live; then all of it is stored."""
    app = definition()
    prints = {"definition": definition_hashes(app), "topics": dict.fromkeys(TOPICS, "id"), "python": "3.11"}
    world = World(app)
    shard = world.shard(prints)
    feed(world, shard, random.Random(9), 40)
    assert shard.live is not None
    shard.live.leave()
    kept = list(world.snapshots)
    feed(world, shard, random.Random(10), 60)
    world.snapshots[:] = kept
    assert settled(world)[-1]
    shard.live.processor.refill_sets("models")
    orders = layout(shard.live)
    shard.drop()
    changed = {**prints, "python": "3.12"}
    drain(upgrade_shard(world.past(changed), Writer(world), lambda _: None))
    shard = world.shard(changed)
    assert shard.live is not None
    assert shard.live.processor.epoch == 1
    assert layout(shard.live) == orders


class Born(Newest):
    """It holds values before any event."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = {f"{n * 7919:x}" for n in range(30)}
