"""A shard that cannot come back says why, and what helps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.errors import Halted, Refused
from stream_app.learner.batch import journal
from stream_app.learner.history.verify import verify_shard
from stream_app.learner.shard import Phase
from tests.scenario.fake_outside import FINGERPRINT, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT
from topics.journal import BatchRecord, EpochRecord

CHANGED = {**FINGERPRINT, "definition": {"slots": {"champion": "1" * 32}}}


def lived(events: int = 3, *, save: bool = False) -> World:
    """A shard's past: some batches of its first epoch, and a snapshot after the last one where asked for."""
    world = World(application())
    shard = world.shard()
    for n in range(events):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
    if save and shard.live is not None:
        shard.live.leave()
    shard.drop()
    return world


def enter_next_epoch(world: World) -> None:
    """The journal's record of an upgrade, whose snapshot is lost."""
    newest = journal.read(world.journal[-1], 0)
    assert isinstance(newest, BatchRecord)
    positions = {name: span[1] for name, span in newest.inputs.items()}
    record = EpochRecord(newest.epoch + 1, newest.seq, CHANGED, positions, newest.digest, [])
    world.journal.append(journal.encode(record))
    world.journal.append(
        journal.encode(msgspec.structs.replace(newest, epoch=record.epoch, seq=newest.seq + 1))
    )


def refusal(world: World, fingerprint: dict[str, Any]) -> Refused:
    """Why a shard does not come back."""
    shard = world.shard(fingerprint)
    assert shard.phase is Phase.HALTED
    assert shard.refusal is not None
    return shard.refusal


@pytest.mark.parametrize("save", [False, True], ids=["no snapshot at all", "one of the epoch before"])
def test_lost_snapshots_of_a_later_epoch_are_named(save: bool) -> None:
    """Its snapshots are to be restored; else an upgrade names what is lost."""
    world = lived(save=save)
    enter_next_epoch(world)
    found = refusal(world, CHANGED)
    assert isinstance(found, Halted)
    assert "the snapshots of epoch 1 are missing" in found.message
    assert "Restore the snapshot directory" in found.remedy
    assert "it names what is lost" in found.remedy
    with pytest.raises(Halted, match="snapshots of epoch 1 are missing"):
        verify_shard(world.past(CHANGED))


def test_an_upgrade_that_was_cut_off_may_be_run_again() -> None:
    """With no batch after the newest snapshot, that is the other way out, and is named."""
    world = lived(save=True)
    enter_next_epoch(world)
    world.journal.pop()
    assert "an upgrade was cut off, and nothing is lost" in refusal(world, CHANGED).remedy


def test_a_changed_definition_is_still_sent_to_upgrade() -> None:
    """In the first epoch nothing is missing: the definition is another one."""
    found = refusal(lived(), CHANGED)
    assert not isinstance(found, Halted)
    assert "stream-app upgrade" in found.remedy


def test_a_machine_that_computes_other_bits_is_refused() -> None:
    """All versions agree and the sample run does not: the models would leave their journal at some record."""
    world = World(application())
    assert world.shard({**FINGERPRINT, "sample_run": "0" * 32}).phase is Phase.LIVE
    found = refusal(world, {**FINGERPRINT, "sample_run": "1" * 32})
    assert not isinstance(found, Halted)
    assert "on this machine" in found.message
    assert "stream-app upgrade" in found.remedy


def test_without_a_sample_run_nothing_is_held_against_a_machine() -> None:
    """`--no-admission` runs no sample: what was recorded with one goes on, and the other way round."""
    for recorded, current in (("0" * 32, None), (None, "0" * 32)):
        world = World(application())
        world.shard({**FINGERPRINT, "sample_run": recorded}).drop()
        assert world.shard({**FINGERPRINT, "sample_run": current}).phase is Phase.LIVE


def test_a_start_that_fits_reads_the_journal_no_more_than_it_must() -> None:
    """A later epoch is searched only where the fingerprints differ: first record, then the replay."""
    world = lived()
    world.journal_reads = 0
    assert world.shard().phase is Phase.LIVE
    assert world.journal_reads == 2


def test_a_diverged_replay_names_what_helps() -> None:
    """Another machine first; else an upgrade that accepts the batch, by its seq."""
    world = lived()
    newest = journal.read(world.journal[-1], 0)
    world.journal[-1] = journal.encode(msgspec.structs.replace(newest, digest="0" * 32))
    found = refusal(world, FINGERPRINT)
    assert "diverged from its journal at seq 3" in found.message
    assert "start a new epoch" not in found.remedy
    assert "on another machine" in found.remedy
    assert "--accept-divergence 3" in found.remedy


@pytest.mark.parametrize("save", [False, True], ids=["no snapshot", "a snapshot before it"])
def test_a_journal_record_without_its_predictions_halts(save: bool) -> None:
    """Its events would never be answered."""
    world = lived(save=save)
    shard = world.shard()
    world.feed(shard, EVENT, {"event_id": "last", "features": {"x": 3}})
    shard.drop()
    world.predictions.pop()
    found = refusal(world, FINGERPRINT)
    assert isinstance(found, Halted)
    assert (
        "has a prediction for the event at offset 3, but the newest one committed is for 2" in found.message
    )


def test_predictions_that_are_no_longer_retained_are_not_missed() -> None:
    """What retention took says nothing of a transaction."""
    world = lived()
    world.predictions.clear()
    assert world.shard().phase is Phase.LIVE
