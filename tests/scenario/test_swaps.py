"""Swaps through the real machine: from an alarm to a receipt, and who may never serve."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drift.monitors import Alarm
from drift.policy import Phase
from drift.rule import SwapPolicy
from drift.verdicts import State, Verdict
from stream_app.application import Labels
from stream_app.errors import UsageError
from stream_app.state.slot import KEPT
from tests.bayes import bayes
from tests.scenario.swap_driver import (
    END,
    FIRST,
    SHORT,
    TURN,
    Overheard,
    SwapDriver,
    definition,
    wrong,
)
from tests.scenario.test_model_faults import Scripted


@pytest.fixture(scope="module")
def turned() -> SwapDriver:
    """A shard that has lived through a turned concept."""
    shard = SwapDriver()
    shard.feed(END)
    shard.until(phase=Phase.STABLE, most=4 * END)
    return shard


def test_a_turned_concept_leads_from_an_alarm_to_a_champion(turned: SwapDriver) -> None:
    """Quiet before; then drift, candidates and swap, in this order, each with what it was decided on."""
    told = turned.written("alerts")
    drift = next(alert for alert in told if alert["type"] == "drift" and alert["severity"] == "warning")
    swap = next(alert for alert in told if alert["type"] == "swap")
    assert TURN < drift["evidence"]["labels_learned"] < TURN + 200
    assert told.index(drift) < told.index(swap)
    evidence = swap["evidence"]
    assert evidence["e_value"] >= evidence["threshold"] >= 20
    assert evidence["champion_loss"] > evidence["rival_loss"]
    assert evidence["pairs"] >= SHORT.min_labels
    assert (evidence["signal"], evidence["after"] > evidence["before"]) == ("loss", True)
    assert evidence["features"][0][0] == "x"


def test_receipts_tell_the_life_of_every_model(turned: SwapDriver) -> None:
    """Born as candidates of a hunt, serving with scores and offsets, retired in the end; all of them."""
    candidates = {one["version"]: one for one in turned.receipts("candidate")}
    serving = [one for one in turned.receipts("serving") if one["evidence"]]
    retired = {one["version"] for one in turned.receipts("retired")}
    assert {one["kind"] for one in candidates.values()} == {"fresh", "warm", "kept"}
    first = serving[0]
    assert first["version"] in candidates
    assert (first["parent"], first["kind"]) == (1, candidates[first["version"]]["kind"])
    assert first["scores"].keys() >= {"champion"}
    assert first["trained_through"].keys() == {"events"}
    assert candidates.keys() - retired <= {slot.version for slot in turned.state.slots}
    assert 1 in retired


def test_the_pointer_moves_with_each_swap_and_its_version_serves_from_then_on(turned: SwapDriver) -> None:
    """Versions of predictions are those of the pointer; without a rollback they only move on."""
    assert not turned.alerts("rollback")
    served = [made["model"]["version"] for made in turned.predictions()]
    assert served == sorted(served)
    assert list(dict.fromkeys(served)) == [1, *turned.pointer()][-len(set(served)) :]
    assert turned.pointer()[-1] == turned.champion.version > 1
    names = {made["model"]["name"] for made in turned.predictions() if made["model"]["version"] > 1}
    assert "champion" not in names


def test_the_new_champion_knows_the_new_concept(turned: SwapDriver) -> None:
    """The last 300 served predictions are nearly all right."""
    dice, right = random.Random(3), []
    for n, made in enumerate(turned.predictions()):
        x, _ = dice.uniform(-1, 1), dice.random()
        right.append(made["prediction"] == ((x > 0) == (n < TURN)))
    assert sum(right[-300:]) > 285


def test_a_better_model_never_serves_less_than_before(turned: SwapDriver) -> None:
    """Once probation is over, the champion of before is gone and the shard is at rest."""
    assert turned.state.policy.phase is Phase.STABLE
    assert [slot.version for slot in turned.state.slots] == [turned.champion.version]
    assert any("passed its probation" in one["why"] for one in turned.receipts("retired"))


def good_then_wrong(seed: int) -> Any:
    """Only the first model is good."""
    return bayes(seed) if seed == FIRST else wrong(seed)


def test_worse_candidates_never_serve() -> None:
    """Whatever alarms cry on a stationary stream: hunts open, are lost, and the first champion stays."""
    shard = SwapDriver(definition(champion=good_then_wrong), turn=1 << 30, noise=0.1)
    shard.script(range(100, 1_400, 150))
    shard.feed(2_100)
    assert len(shard.receipts("candidate")) > 10
    assert not shard.alerts("swap")
    assert {made["model"]["version"] for made in shard.predictions()} == {1}
    assert [slot.name for slot in shard.state.slots] == ["champion"]
    assert any("lost hunt" in one["why"] for one in shard.receipts("retired"))


def test_a_wrong_promotion_is_undone_by_the_reverse_test() -> None:
    """The old champion wins on its probation's other side: one rollback, and it serves on as it was."""
    shard = SwapDriver(definition(challengers={"worse": wrong}), turn=1 << 30)
    shard.feed(300)
    assert shard.order("promote", "up", slot="worse")[0] == "done"
    assert shard.champion.name == "worse"
    shard.feed(300)
    (rollback,) = shard.alerts("rollback")
    assert (rollback["severity"], rollback["evidence"]["version"], rollback["evidence"]["parent"]) == (
        "warning",
        1,
        2,
    )
    assert rollback["evidence"]["e_value"] >= rollback["evidence"]["threshold"] == 20
    assert shard.pointer()[-2:] == [2, 1]
    assert [slot.name for slot in shard.state.slots] == ["champion", "worse"], "what is declared stays"
    assert shard.champion.learned == 600
    shard.feed(300)
    assert len(shard.alerts("rollback")) == 1


ORDERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "promote nobody": (
        "promote",
        {"slot": "nobody"},
        "there is no slot 'nobody'; there are champion v1, worse v2",
    ),
    "promote a version": ("promote", {"version": 9}, "there is no version 9"),
    "a version before a slot": ("promote", {"version": 9, "slot": "worse"}, "there is no version 9"),
    "promote the champion": ("promote", {"slot": "champion"}, "champion v1 serves already"),
    "promote what": ("promote", {}, "there is no slot None"),
    "rollback": ("rollback", {}, "the previous champion is no longer kept"),
    "drop the champion": ("drop", {"version": 1}, "champion v1 serves; promote another one first"),
    "drop nobody": ("drop", {"slot": "nobody"}, "there is no slot 'nobody'"),
    "another shard": ("promote", {"slot": "worse", "shard": 3}, "the command is for shard 3"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_an_order_that_cannot_be_carried_out_is_refused_with_why(case: str) -> None:
    """And changes nobody's place."""
    command, fields, text = ORDERS[case]
    shard = SwapDriver(definition(challengers={"worse": wrong}))
    shard.feed(5)
    outcome, why = shard.order(command, case, **fields)
    assert outcome == "refused"
    assert text in why
    assert (shard.champion.name, len(shard.state.slots)) == ("champion", 2)


def test_orders_about_models_are_carried_out_once() -> None:
    """Promote by version, roll back, drop by name; the same command again acts no more."""
    shard = SwapDriver(definition(challengers={"worse": wrong}), turn=1 << 30)
    shard.feed(5)
    assert shard.order("promote", "1", version=2) == ("done", "worse v2 serves")
    assert shard.order("rollback", "2") == ("done", "champion v1 serves again")
    assert shard.order("promote", "1", version=2)[0] == "done", "the answer of the first time"
    assert shard.champion.name == "champion"
    assert shard.state.policy.phase is Phase.STABLE
    assert shard.order("drop", "3", slot="worse") == ("done", "worse v2 is dropped")
    assert [slot.name for slot in shard.state.slots] == ["champion"]
    receipt = shard.receipts("retired")[-1]
    assert (receipt["version"], receipt["why"]) == (2, "dropped by me: test")
    assert len(shard.alerts("swap")) == len(shard.alerts("rollback")) == 1
    shard.still_works()


def test_a_paused_shard_neither_hunts_nor_swaps() -> None:
    """Alarms are told and open nothing; labels count neither for races nor for the policy's time."""
    shard = SwapDriver(definition(challengers={"worse": wrong}))
    shard.script([50, 100, 150])
    shard.feed(10)
    shard.order("pause", "p")
    before, standing = shard.state.policy.labels, shard.state.policy.standing[2].pairs
    shard.feed(120)
    assert shard.alerts("drift")
    assert (shard.state.policy.labels, shard.state.policy.phase) == (before, Phase.STABLE)
    assert not shard.receipts("candidate")
    assert shard.state.policy.standing[2].pairs == standing
    shard.order("resume", "r")
    shard.feed(40)
    assert shard.state.policy.phase is Phase.HUNTING


def test_a_paused_hunt_waits() -> None:
    """Its races get no pair until learning goes on."""
    shard = SwapDriver()
    shard.until(phase=Phase.HUNTING)
    shard.feed(10)
    pairs = {version: race.pairs for version, race in shard.state.policy.races.items()}
    shard.order("pause", "p")
    shard.feed(200)
    assert {version: race.pairs for version, race in shard.state.policy.races.items()} == pairs
    assert not shard.alerts("swap")
    shard.order("resume", "r")
    shard.until(phase=Phase.PROBATION)


def odd(**fault: Any) -> Callable[[int], Any]:
    """A factory whose first model is good and whose candidates are faulty."""
    return lambda seed: bayes(seed) if seed == FIRST else Scripted(seed, **fault)


def unmade(seed: int) -> Any:
    """A factory that makes one model only."""
    if seed != FIRST:
        raise ValueError("there is one of me")
    return bayes(seed)


FAULTS: dict[str, tuple[Callable[[int], Any], tuple[str, ...], str]] = {
    "cannot learn": (odd(learns=3), ("fresh",), "challenger-failed"),
    "cannot be warmed": (odd(learns=3), ("warm",), "challenger-failed"),
    "cannot be made": (unmade, ("fresh",), "candidate-refused"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_candidate_that_fails_leaves_and_is_told_once(case: str) -> None:
    """The shard goes on with the champion that it has; nothing of the candidate stays."""
    factory, kinds, kind = FAULTS[case]
    shard = SwapDriver(definition(champion=factory, swap=replace(SHORT, candidates=kinds)))
    shard.script([TURN])
    shard.feed(TURN + 200)
    assert len(shard.alerts(kind)) == 1
    assert not shard.alerts("swap")
    assert [slot.name for slot in shard.state.slots] == ["champion"]
    assert not shard.state.policy.races
    born = [one["version"] for one in shard.receipts("candidate")]
    assert born == [one["version"] for one in shard.receipts("retired")]
    assert {made["model"]["version"] for made in shard.predictions()} == {1}
    assert shard.champion.learned == TURN + 200


def test_a_candidate_that_cannot_be_warmed_is_in_no_race() -> None:
    """It goes with the record that started it, before it takes a share of the hunt's α from the others."""
    shard = SwapDriver(definition(champion=odd(learns=3), swap=replace(SHORT, candidates=("fresh", "warm"))))
    shard.script([20])
    shard.feed(21)
    assert [slot.kind for slot in shard.state.slots] == ["declared", "fresh"]
    assert shard.state.policy.rivals == 1


class Unique(Scripted):
    """A classifier that refuses to be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("there is one of me")


def test_a_champion_that_cannot_be_copied_is_hunted_without_a_kept_one() -> None:
    """The other kinds are started all the same, and it is told which is missing."""
    shard = SwapDriver(definition(champion=Unique))
    shard.script([20])
    shard.feed(30)
    (alert,) = shard.alerts("candidate-refused")
    assert alert["evidence"] == {"candidate": KEPT, "error": "TypeError"}
    assert "there is one of me" in alert["message"]
    assert [one["kind"] for one in shard.receipts("candidate")] == ["fresh", "warm"]


def no_snapshot(model: Any) -> Any:
    """A round trip that holds no model but the first."""
    raise TypeError("cannot pickle a socket")


def changed_by_snapshot(_model: Any) -> Any:
    """A round trip that brings back another model."""
    return wrong(0)


@pytest.mark.parametrize(
    ("trip", "text", "policy"),
    [
        (no_snapshot, "a snapshot cannot hold it", "evidence"),
        (no_snapshot, "a snapshot cannot hold it", "immediate"),
        (changed_by_snapshot, "answers differently after a snapshot", "evidence"),
    ],
)
def test_a_winner_that_no_snapshot_can_hold_is_refused(
    trip: Callable[[Any], Any], text: str, policy: str
) -> None:
    """It would be lost with the next restart: it leaves, one alert tells why, and the champion stays."""
    rule = replace(SHORT, policy=policy, candidates=("fresh",), patience=2_000)
    shard = SwapDriver(definition(swap=rule))
    shard.script([TURN + 20])
    shard.processor.core.round_trip = trip
    shard.feed(TURN + 500)
    (alert,) = shard.alerts("candidate-refused")
    assert text in alert["message"]
    assert not shard.alerts("swap")
    assert [slot.name for slot in shard.state.slots] == ["champion"]
    assert any("refused" in one["why"] for one in shard.receipts("retired"))
    assert shard.order("rollback", "r")[0] == "refused"


def test_an_operator_cannot_promote_what_no_snapshot_can_hold() -> None:
    """The order is refused with why; nothing is dropped."""
    shard = SwapDriver(definition(challengers={"worse": wrong}))
    shard.processor.core.round_trip = no_snapshot
    shard.feed(40)
    outcome, why = shard.order("promote", "p", slot="worse")
    assert outcome == "refused"
    assert "cannot serve: a snapshot cannot hold it" in why
    assert len(shard.state.slots) == 2


def test_under_the_policy_immediate_drift_swaps_at_once() -> None:
    """A fresh model serves with the record of the alarm; the old one is retired; the budget ends it."""
    rule = replace(SHORT, policy="immediate", budget=2)
    shard = SwapDriver(definition(swap=rule), turn=1 << 30)
    shard.script([50], State.WARNING)
    shard.feed(60)
    assert not shard.alerts("swap")
    shard.script(range(200, 1_000, 200))
    shard.feed(1_400)
    assert len(shard.alerts("swap")) == 2
    assert len(shard.alerts("swap-budget")) == 1
    assert [slot.version for slot in shard.state.slots] == [3]
    assert shard.alerts("swap")[0]["evidence"]["detector"] == "script"


def test_under_the_policy_never_alarms_are_alerts_only() -> None:
    """Operators may still promote and go back."""
    shard = SwapDriver(definition(swap=SwapPolicy(policy="never"), challengers={"worse": wrong}))
    shard.feed(END)
    assert shard.alerts("drift")
    assert not shard.receipts("candidate")
    assert shard.order("promote", "p", slot="worse")[0] == "done"
    assert shard.order("rollback", "r")[0] == "done"
    assert shard.champion.name == "champion"


def test_a_standing_challenger_takes_over_without_an_alarm() -> None:
    """It has been in the race on what was served all the time; its receipt names no hunt and no detector."""
    shard = SwapDriver(definition(champion=wrong, challengers={"better": bayes}), turn=1 << 30)
    shard.script([])
    shard.feed(300)
    (swap,) = shard.alerts("swap")
    assert (shard.champion.name, shard.champion.version) == ("better", 2)
    assert not {"hunt", "detector"} & swap["evidence"].keys()
    shard.until(phase=Phase.STABLE)
    assert [slot.name for slot in shard.state.slots] == ["champion", "better"], "what is declared stays"


def test_a_swap_and_an_alarm_of_one_label_leave_no_candidate_behind() -> None:
    """Candidates that the alarm starts are born before the race is decided, and go with the other losers."""
    shard = SwapDriver(turn=1 << 30)
    shard.script([50, 50 + SHORT.respawn])
    shard.feed(50 + SHORT.respawn)
    policy = shard.state.policy
    winner = next(iter(policy.races))
    policy.races[winner].gamblers[0].capital = 1e9
    before = policy.hunt
    shard.feed()
    assert (policy.hunt, shard.champion.version) == (before + 1, winner)
    assert policy.phase is Phase.PROBATION
    assert {slot.version for slot in shard.state.slots} == {1, winner}
    assert set(policy.races) == {1}


def test_a_kept_champion_learns_nothing_until_it_serves() -> None:
    """And goes on learning as the champion of before, for its reverse test is run on equal terms."""
    shard = SwapDriver(turn=1 << 30)
    shard.script([50])
    shard.feed(80)
    kept = next(slot for slot in shard.state.slots if slot.kind == KEPT)
    assert kept.learned == 51
    assert shard.order("promote", "p", version=kept.version)[0] == "done"
    shard.feed(20)
    assert kept.learned == 71
    assert shard.order("promote", "q", version=1)[0] == "done"
    shard.feed(20)
    assert kept.learned == 91


def test_a_hunt_that_an_alarm_of_the_cool_down_opens_names_that_alarm() -> None:
    """The receipts of its candidates tell the alarm that waited, not the one before."""
    shard = SwapDriver(turn=1 << 30)
    shard.script([50, 60])
    shard.feed(55)
    winner = next(iter(shard.state.policy.races))
    assert shard.order("promote", "p", version=winner)[0] == "done"
    shard.feed(SHORT.cooldown + 20)
    born = shard.receipts("candidate")
    assert [one["evidence"]["after"] for one in born] == pytest.approx([0.105] * 3 + [0.106] * 3)


def test_the_receipt_of_a_champion_that_was_replaced_scores_those_who_are_left(turned: SwapDriver) -> None:
    """Who lost the same hunt has a receipt of its own, and is not among the slots that go on."""
    (old,) = [one for one in turned.receipts("challenger") if one["why"].endswith("took over")]
    gone = {one["slot"] for one in turned.receipts("retired") if one["time_ms"] == old["time_ms"]}
    assert gone
    assert not gone & old["scores"].keys()
    assert old["slot"] in old["scores"]


def test_a_better_champion_is_no_alarm() -> None:
    """A loss that falls is told to nobody and opens nothing."""
    shard = SwapDriver(turn=1 << 30)

    def eased(slot: str, alarms: list[Alarm]) -> None:
        alarms.append(Alarm("loss", slot, "script", Verdict(State.DRIFT, 0.4, 0.1)))

    shard.state.monitors = Overheard(eased)
    shard.feed(50)
    assert not shard.written("alerts")
    assert shard.state.policy.phase is Phase.STABLE


def test_labels_that_come_late_swap_too() -> None:
    """Races run at label time: with labels 200 events late the new champion serves all the same."""
    shard = SwapDriver(definition(labels=Labels(horizon="1h")))
    dice, waiting = random.Random(3), list[bool]()
    for n in range(END):
        x = dice.uniform(-1, 1)
        waiting.append((x > 0) == (n < TURN))
        assert shard.event(f"e{n}", {"x": x}) is None
        if n >= 200:
            assert shard.label(f"e{n - 200}", waiting[n - 200]) is None
    assert shard.alerts("swap")
    assert shard.champion.version > 1
    assert shard.receipts("serving")[-1]["trained_through"].keys() == {"labels"}


@pytest.mark.parametrize("name", ["champion-7", "rival-2"])
def test_a_challenger_is_not_named_as_a_candidate(name: str) -> None:
    """The fifth candidate of `champion` is called so too: two slots would bear one name."""
    with pytest.raises(UsageError, match=f"{name} is named as a candidate"):
        definition(challengers={"rival": bayes, name: bayes})
    definition(challengers={"rival": bayes, "other-2": bayes, "rival-b": bayes})
