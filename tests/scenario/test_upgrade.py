"""An upgrade continues the journal's end, and no remedy makes an event be answered twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest

from stream_app.application import Application
from stream_app.definition.digest import definition_hashes
from stream_app.errors import Refused, ShardFailed
from stream_app.learner.batch import journal
from stream_app.learner.history.starts import Wish
from stream_app.learner.history.upgrade import Plan, open_epoch, prepare, upgrade_shard
from stream_app.learner.history.verify import drain, verify_shard
from stream_app.learner.recovery.guards import Forked
from stream_app.learner.shard import Phase, Shard
from tests.scenario.fake_kafka import STRIDE, Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import TOPICS, application
from topics.envelope import EVENT
from topics.journal import BatchRecord, EpochRecord

APP = application()
PRINTS: dict[str, Any] = {
    "definition": definition_hashes(APP), "topics": dict.fromkeys(TOPICS, "id"), "python": "3.11",
}  # fmt: skip
CHANGED = {**PRINTS, "python": "3.12"}


def agreed(_plan: Plan) -> None:
    """Whatever it gives up."""


def send(world: World, shard: Shard, *numbers: int) -> None:
    """Events by number, one batch each."""
    for n in numbers:
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n}})


def lived(*, save: bool = True) -> World:
    """Three events in three batches, and a snapshot of the last."""
    world = World(APP)
    shard = world.shard(PRINTS)
    send(world, shard, 0, 1, 2)
    if save and shard.live is not None:
        shard.live.leave()
    shard.drop()
    return world


def upgrade(
    world: World,
    prints: dict[str, Any] = CHANGED,
    agree: Callable[[Plan], None] = agreed,
    *,
    app: Application = APP,
    **wish: Any,
) -> Plan | None:
    """As the command does it."""
    return drain(upgrade_shard(world.past(prints, app), Writer(world), agree, Wish(**wish)))


def read_on(world: World, prints: dict[str, Any]) -> Shard:
    """A learner that reads all that its inputs still hold."""
    shard = world.shard(prints)
    world.catch_up(shard)
    return shard


def answered(world: World) -> list[int]:
    """How often each event was predicted."""
    found = Counter(orjson.loads(value)["event_id"] for value in world.predictions)
    return [found[f"e{n}"] for n in range(len(world.inputs[EVENT]))]


def refusal(world: World, prints: dict[str, Any]) -> Refused:
    """Why a learner does not go on."""
    shard = world.shard(prints)
    assert shard.phase is Phase.HALTED
    assert shard.refusal is not None
    return shard.refusal


def equal_again(world: World, prints: dict[str, Any]) -> None:
    """The replays of the newest epoch come to the digests of its journal."""
    found = verify_shard(world.past(prints))
    assert [one.why for one in found] == [""] * len(found)


def fork(world: World) -> None:
    """As an upgrade that read first and fenced afterwards left it: a batch, then an epoch of before it."""
    newest = journal.read(world.journal[-1], 0)
    shard = world.shard(PRINTS)
    send(world, shard, 3)
    shard.drop()
    assert isinstance(newest, BatchRecord)
    positions = {name: span[1] for name, span in newest.inputs.items()}
    record = EpochRecord(1, newest.seq, CHANGED, positions, newest.digest, ["champion"])
    world.journal.append(journal.encode(record))
    header, payload = world.snapshots[0]
    offset = (len(world.journal) - 1) * STRIDE
    world.snapshots.insert(
        0, ({**header, "epoch": 1, "fingerprint": CHANGED, "journal_offset": offset}, payload)
    )


@pytest.mark.parametrize(
    ("sent", "refused", "why"),
    [([], ShardFailed, "another owner"), ([3], Refused, "committed while the upgrade was prepared")],
    ids=["it only fenced", "it committed"],
)
def test_a_learner_that_starts_before_the_epoch_is_written_stops_the_upgrade(
    sent: list[int], refused: type[Exception], why: str
) -> None:
    """Its fence comes after the upgrade's, so the epoch is not committed; each event is answered once."""
    world = lived()

    def meanwhile(_plan: Plan) -> None:
        send(world, world.shard(PRINTS), *sent)

    with pytest.raises(refused, match=why):
        upgrade(world, agree=meanwhile)
    assert len(world.journal) == 1 + 3 + len(sent)
    send(world, world.shard(PRINTS), *({3} - set(sent)))
    read_on(world, PRINTS)
    assert answered(world) == [1, 1, 1, 1]


def test_a_learner_that_ran_before_the_fence_is_fenced() -> None:
    """It commits nothing more; what it has stepped is read again by its successor."""
    world = lived()
    shard = world.shard(PRINTS)
    assert upgrade(world) is not None
    send(world, shard, 3)
    world.settle(shard)
    world.settle(shard)
    assert shard.phase is Phase.HALTED
    assert len(world.predictions) == 3
    read_on(world, CHANGED)
    assert answered(world) == [1, 1, 1, 1]


def test_an_epoch_is_not_written_behind_batches_that_its_plan_does_not_know() -> None:
    """The journal's end is read again right before, whatever was fenced."""
    world = lived()
    past = world.past(CHANGED)
    prepared = drain(prepare(past))
    assert prepared is not None
    shard = world.shard(PRINTS)
    send(world, shard, 3)
    writer = Writer(world)
    writer.fence()
    with pytest.raises(Refused, match="committed while the upgrade was prepared"):
        drain(open_epoch(past, prepared, writer, agreed))
    assert len(world.journal) == 1 + 4


def test_an_epoch_that_does_not_continue_the_journal_halts_and_is_named() -> None:
    """Entered by its snapshot, or met by a replay of the epoch before."""
    world = lived()
    fork(world)
    named = "epoch 1 at journal offset 10 begins at seq 3 .* does not continue the record before it, seq 4"
    deleted: list[int | None] = [None] * 3
    for told in (world.committed, deleted):
        world.committed = told
        found = refusal(world, CHANGED)
        assert isinstance(found, Forked)
        with pytest.raises(Forked, match=named):
            raise found
    with pytest.raises(Forked, match=named):
        verify_shard(world.past(CHANGED))
    del world.snapshots[0]
    with pytest.raises(Forked, match=named):
        raise refusal(world, PRINTS)


def test_the_next_upgrade_leads_past_an_epoch_that_does_not_continue_the_journal() -> None:
    """It goes on behind the newest batch, so no event is answered twice."""
    world = lived()
    fork(world)
    plan = upgrade(world)
    assert plan is not None
    assert (plan.epoch, plan.seq) == (2, 4)
    shard = read_on(world, CHANGED)
    send(world, shard, 4)
    assert answered(world) == [1] * 5
    equal_again(world, CHANGED)


def test_offsets_that_the_broker_lost_are_set_to_the_journals() -> None:
    """They are older than the journal, which decides: one alert says so, and each event is answered once."""
    world = lived()
    world.committed = [0, 1, 0]
    shard = read_on(world, PRINTS)
    assert world.committed == [0, 3, 0]
    (alert,) = world.alerts("offsets-behind")
    assert alert["evidence"] == {"committed": [0, 1, 0], "journal": [0, 3, 0]}
    send(world, shard, 3)
    assert answered(world) == [1, 1, 1, 1]
    equal_again(world, PRINTS)
    read_on(world, PRINTS)
    assert len(world.alerts("offsets-behind")) == 1


def test_offsets_that_were_set_forward_are_set_to_the_journals_by_an_upgrade() -> None:
    """The halt names it, nothing is given up, and each event is answered once."""
    told: list[int | None] = [0, 9, 0]
    world = lived()
    world.committed = told
    found = refusal(world, PRINTS)
    assert "offsets were reset" in found.message
    assert "stream-app upgrade" in found.remedy
    plan = upgrade(world, PRINTS)
    assert plan is not None
    assert (plan.changed, plan.given_up) == ([f"the group's offsets {told} → [0, 3, 0]"], [])
    assert world.committed == [0, 3, 0]
    shard = read_on(world, PRINTS)
    send(world, shard, 3)
    assert answered(world) == [1, 1, 1, 1]
    equal_again(world, PRINTS)


@pytest.mark.parametrize("told", [None, [0, 2, 0], [None] * 3], ids=["kept", "set back", "deleted"])
def test_a_journal_that_lost_batches_answers_no_event_again(told: list[int | None] | None) -> None:
    """Whatever is done to the offsets, a learner halts at predictions that its journal does not know."""
    world = lived(save=False)
    world.journal.pop()
    world.committed = world.committed if told is None else told
    found = refusal(world, PRINTS)
    assert "predictions reach event 2 and its journal ends before event 2" in found.message
    assert answered(world) == [1, 1, 1]


def test_an_upgrade_of_a_journal_that_lost_batches_goes_on_after_the_newest_prediction() -> None:
    """It says what is given up, asks, and journals it; a learner then goes on and verifies."""
    world = lived()
    world.journal.pop()
    with_two = World(APP)  # whose snapshot is of the second batch
    shard = with_two.shard(PRINTS)
    send(with_two, shard, 0, 1)
    assert shard.live is not None
    shard.live.leave()
    world.snapshots = with_two.snapshots

    def never(plan: Plan) -> None:
        raise Refused("; ".join(plan.given_up), "")

    with pytest.raises(Refused, match="events 2 to 2"):
        upgrade(world, PRINTS, never)
    assert len(world.journal) == 1 + 2
    plan = upgrade(world, PRINTS)
    assert plan is not None
    record = journal.read(world.journal[-1], 0)
    assert isinstance(record, EpochRecord)
    assert record.given_up == plan.given_up
    send(world, read_on(world, PRINTS), 3)
    assert answered(world) == [1, 1, 1, 1]
    equal_again(world, PRINTS)


def test_a_journal_that_is_empty_beside_predictions_is_no_first_epoch() -> None:
    """Neither a learner nor an upgrade begins it again, though the broker has forgotten the offsets."""
    world = lived()
    world.journal.clear()
    world.committed = [None] * 3
    assert "predictions up to event 2 but its journal is empty" in refusal(world, PRINTS).message
    with pytest.raises(Refused, match="its journal is empty"):
        upgrade(world, PRINTS)


def test_an_epoch_may_skip_only_where_it_names_what_is_lost() -> None:
    """Positions beyond the batch before, without a word of what is given up, are refused."""
    world = lived()
    newest = journal.read(world.journal[-1], 0)
    positions = {"commands": 0, "events": 5, "labels": 0}
    record = EpochRecord(1, newest.seq, CHANGED, positions, newest.digest, [])
    for given_up, refused in (([], True), (["events 3 to 4"], False)):
        world.journal.append(journal.encode(msgspec.structs.replace(record, given_up=given_up)))
        found = refusal(world, PRINTS)
        assert isinstance(found, Forked) is refused
        world.journal.pop()
