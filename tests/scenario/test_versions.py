"""Versions that are had back equal the models that there were, to the bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
import pytest
from river import naive_bayes

from stream_app.application import SwapPolicy
from stream_app.definition.digest import definition_hashes
from stream_app.errors import Refused
from stream_app.inspect.model_status import Shard, ShardReceipts, begun_in, ended_in, replaced_in, shard_of
from stream_app.inspect.receipts import receipts_of
from stream_app.learner.history.answers_differ import compare, rows_of
from stream_app.learner.history.journal_search import begun_at
from stream_app.learner.history.upgrade import upgrade_shard
from stream_app.learner.history.verify import drain
from stream_app.learner.history.version_card import card_of
from stream_app.learner.history.versions import VersionFound, Wanted, find_version
from stream_app.models.digest import structural_digest
from stream_app.state.slot import CHAMPION
from tests.scenario.fake_kafka import Source, Writer
from tests.scenario.fake_outside import FINGERPRINT, Store, World
from tests.scenario.shard_driver import application
from topics.batch_id import BatchId
from topics.envelope import COMMAND, EVENT, LABEL

EVENTS, PROMOTED, DROPPED, SNAPSHOTS = 90, 30, 50, (10, 25, 45, 60, 65, 70, 75)
PATIENT = SwapPolicy(policy="evidence", probation=100_000)


def bayes(_seed: int) -> Any:
    """Gaussian naive Bayes."""
    return naive_bayes.GaussianNB()


class Life(NamedTuple):
    """A world, and digests of models: by event offset before the event of (version 1, version 2), when
    version 1 was replaced and when it ended, and in the end.
    """

    world: World
    before: dict[int, tuple[str, ...]]
    replaced: str
    ended: str
    newest: str


def order(world: World, shard: Any, command: str, **fields: Any) -> None:
    """An operator's order."""
    value = {"command_id": f"{command}-1", "command": command, "actor": "me", "reason": "test", **fields}
    world.feed(shard, COMMAND, value)


@pytest.fixture(scope="module")
def lived() -> Life:
    """Version 2 is promoted after event 30 and version 1 dropped after event 50; snapshots before, between
    and long after that, so that the newest three reach neither.
    """
    world = World(application(challengers={"bayes": bayes}, swap=PATIENT))
    shard = world.shard()
    assert shard.live is not None
    state = shard.live.processor.core.state
    first = state.champion
    before: dict[int, tuple[str, ...]] = {}
    replaced = ended = ""
    for n in range(EVENTS):
        before[n] = tuple(structural_digest(slot.model) for slot in state.slots)
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": float(n % 7)}})
        if n >= 4:
            world.feed(shard, LABEL, {"event_id": f"e{n - 4}", "label": n % 7 > 3})
        if n == PROMOTED:
            order(world, shard, "promote", version=2)
            replaced = structural_digest(first.model)
        if n == DROPPED:
            ended = structural_digest(first.model)
            order(world, shard, "drop", version=1)
        if n in SNAPSHOTS:
            shard.live.leave()
    assert state.champion.name == "bayes"
    return Life(world, before, replaced, ended, structural_digest(state.champion.model))


def receipts(world: World) -> Shard:
    """What the receipts say, without statistics."""
    found = receipts_of(Consumed(send.key, send.value) for send in world.written if send.topic == "models")
    return shard_of(found.get(0, ShardReceipts(0)), None)


class Consumed(NamedTuple):
    """A record of the models topic."""

    key: bytes | None
    value: bytes | None
    partition: int = 0


def digest(found: VersionFound) -> str:
    """The digest of a version that was had back."""
    return structural_digest(found.slot.model)


def test_a_version_is_had_back_as_it_was_at_each_moment(lived: Life) -> None:
    """When it was replaced, when it ended, before an event, and now."""
    shard, here = receipts(lived.world), lived.world.past()
    replaced, ended = replaced_in(shard, 1), ended_in(shard, 1)
    assert replaced is not None
    assert ended is not None
    assert digest(find_version(here, Wanted(1, ended=replaced, served=True))) == lived.replaced
    assert digest(find_version(here, Wanted(1, ended=ended))) == lived.ended
    assert digest(find_version(here, Wanted(2))) == lived.newest
    for offset in (28, 40, 49):
        found = (digest(find_version(here, Wanted(version, offset=offset))) for version in (1, 2))
        assert tuple(found) == lived.before[offset], offset
    assert len({lived.replaced, lived.ended, *lived.before[20]}) == 4


def test_what_served_can_be_had_though_the_first_inputs_are_gone(
    lived: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest three snapshots are of later batches: those that stay for versions are replayed from."""
    shard, world = receipts(lived.world), lived.world
    events = [header["positions"][EVENT] for header, _ in world.snapshots]
    assert events == [76, 71, 66, 46, 26]
    monkeypatch.setattr(world, "low", [0, 26, 22])
    replaced, ended = replaced_in(shard, 1), ended_in(shard, 1)
    assert digest(find_version(world.past(), Wanted(1, ended=replaced, served=True))) == lived.replaced
    assert digest(find_version(world.past(), Wanted(1, ended=ended))) == lived.ended


def test_what_is_not_retained_is_refused_with_the_remedy(
    lived: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No state before its end whose inputs are there."""
    ended = ended_in(receipts(lived.world), 1)
    monkeypatch.setattr(lived.world, "low", [0, 60, 60])
    with pytest.raises(Refused, match="nothing is retained from which batch 0:") as refusal:
        find_version(lived.world.past(), Wanted(1, ended=ended))
    assert "--as-of OFFSET" in refusal.value.remedy


def test_a_version_that_did_not_live_then_is_refused_with_those_that_did(lived: Life) -> None:
    """After its end, and one that never was."""
    with pytest.raises(Refused, match="shard 0 had no version 1 before event 80; it had bayes v2"):
        find_version(lived.world.past(), Wanted(1, offset=80))
    with pytest.raises(Refused, match="had no version 9 at the journal's end"):
        find_version(lived.world.past(), Wanted(9))


def test_another_definition_than_then_is_refused(lived: Life) -> None:
    """A replay under other code gives other bits: the remedy is the code of then."""
    changed = {**FINGERPRINT, "python": "9.9"}
    with pytest.raises(Refused, match="epoch 0 was recorded with something else") as refusal:
        find_version(lived.world.past(changed), Wanted(1, ended=ended_in(receipts(lived.world), 1)))
    assert "check out the release that ran" in refusal.value.remedy


def test_the_card_says_where_a_version_comes_from(lived: Life) -> None:
    """From which event to which, what it learned, how good it was, and under what it ran."""
    shard, here = receipts(lived.world), lived.world.past()
    wanted = Wanted(1, ended=ended_in(shard, 1))
    found = find_version(here, wanted)
    card = card_of(here, wanted, found, "retired", shard.receipts[1], begun_in(shard, 1))
    assert orjson.loads(orjson.dumps(card)) == card
    assert (card["slot"], card["version"], card["status"]) == (CHAMPION, 1, "retired")
    assert (card["why"], card["as_of"]) == ("dropped by me: test", "ended")
    assert card["learned"] == DROPPED - 4 + 1
    assert card["data"]["from"]["positions"] == {"commands": 0, "events": 0, "labels": 0}
    assert card["data"]["to"]["positions"] == {
        "commands": 2, "events": DROPPED + 1, "labels": DROPPED - 3,
    }  # fmt: skip
    assert card["data"]["from"]["log_time_ms"] < card["data"]["to"]["log_time_ms"]
    assert (card["task"], card["classes"], card["features"]) == ("binary", [True, False], {"x": "number"})
    assert card["scores"]["cumulative"]["n"] > 0
    assert card["definition"]["slot"] == "0" * 32


def test_a_batch_is_found_in_the_journal(lived: Life) -> None:
    """The first, the last and one between; none beyond."""
    source = Source(lived.world)
    for seq in (1, 2, 77, 150):
        found = begun_at(source, BatchId(0, seq))
        assert found is not None
        assert sum(found[0]) == seq - 1, "each batch is one record here"
    assert begun_at(source, BatchId(0, 100_000)) is None
    assert begun_at(source, BatchId(3, 1)) is None


def test_answers_of_two_versions_are_compared_on_the_same_rows(lived: Life) -> None:
    """Those that wait, the sample, and the newest learned ones; the same version does not differ."""
    here, store = lived.world.past(), Store(lived.world)
    first = find_version(here, Wanted(1, ended=ended_in(receipts(lived.world), 1)))
    second = find_version(here, Wanted(2))
    rows = rows_of(second.processor.core.state)
    assert len(rows) > 80
    same = compare(lived.world.app, second.slot, second.slot, rows, store.round_trip)
    assert (same.different, same.mean_difference, same.most, same.silent) == (0.0, 0.0, [], (0, 0))
    before = structural_digest(first.slot.model)
    found = compare(lived.world.app, first.slot, second.slot, rows, store.round_trip)
    assert found.rows == len(rows)
    assert found.mean_difference is not None
    assert 0 < found.mean_difference < 1
    assert [row.by for row in found.most] == sorted((row.by for row in found.most), reverse=True)
    assert structural_digest(first.slot.model) == before, "copies are asked"


@pytest.mark.parametrize("at_the_end", [True, False], ids=["a snapshot at its end", "a replay"])
def test_a_version_that_an_upgrade_left_behind_is_had_back(at_the_end: bool) -> None:
    """A snapshot of the epoch's last batch holds it; else the definition of then replays to it."""
    both, alone = application(challengers={"bayes": bayes}), application()
    prints, changed = ({**FINGERPRINT, "definition": definition_hashes(app)} for app in (both, alone))
    world = World(both)
    shard = world.shard(prints)
    assert shard.live is not None
    for n in range(20):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": float(n % 7)}, "label": n % 7 > 3})
        if n == (19 if at_the_end else 9):
            shard.live.leave()
    due = structural_digest(shard.live.processor.core.state.slots[1].model)
    shard.drop()
    plan = drain(upgrade_shard(world.past(changed, alone), Writer(world), lambda _: None))
    assert plan is not None
    assert plan.carried[0] == CHAMPION
    wanted = Wanted(2, left_behind=True)
    assert digest(find_version(world.past(prints), wanted)) == due
    if at_the_end:
        assert digest(find_version(world.past(changed, alone), wanted)) == due
    else:
        with pytest.raises(Refused, match="slot bayes is gone"):
            find_version(world.past(changed, alone), wanted)
    with pytest.raises(Refused, match="an upgrade left version 7 behind"):
        find_version(world.past(prints), Wanted(7, left_behind=True))
