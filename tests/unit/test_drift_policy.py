"""From alarms to swaps and back: the drawing's arrows, and every number of a `SwapPolicy`."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from drift.policy import LEGAL, Phase, Policy, SearchClosed, SearchOpened, Won
from drift.rule import SwapPolicy
from drift.sequential import alpha_of

S, W, H, P = Phase.STABLE, Phase.WARNING, Phase.HUNTING, Phase.PROBATION
CERTAIN = 1e9  # a capital beyond every threshold


def policy(*, standing: bool = False, **rule: Any) -> Policy:
    """A policy with short times, changed by keyword."""
    short = {"min_labels": 5, "cooldown": 50, "respawn": 20, "probation": 100, "patience": 200}
    return Policy(SwapPolicy(**{**short, **rule}), standing)


def opened(search: Policy, *versions: int, drift: bool = True) -> SearchOpened:
    """An alarm that opens a hunt, and its candidates."""
    found = search.alarm(drift)
    assert found is not None
    for version in versions:
        search.enter(version)
    return found


def label(search: Policy, n: int = 1) -> Won | SearchClosed | SearchOpened | None:
    """So many labels: the first decision among them, which must be the last label's."""
    decisions = [search.decide() for _ in range(n)]
    assert not any(decisions[:-1])
    return decisions[-1]


def favour(search: Policy, version: int, capital: float = CERTAIN, pairs: int = 100) -> None:
    """Give a rival so much evidence."""
    race = search.races.get(version) or search.standing[version]
    race.capital, race.pairs = capital, pairs


def swapped(search: Policy, version: int, old: int = 1) -> tuple[int, ...]:
    """A rival wins and the flow swaps; gives the versions to drop."""
    favour(search, version)
    won = label(search)
    assert isinstance(won, Won)
    assert won.version == version
    return search.swapped(old, reverse=won.reverse)


def in_phase(phase: Phase) -> Policy:
    """A policy that stands there, its cool-down over."""
    search = policy()
    if phase is P:
        opened(search, 2)
        swapped(search, 2)
    elif phase is not S:
        opened(search, 2, drift=phase is H)
    label(search, 60)
    assert search.phase is phase
    return search


def promoted(search: Policy) -> None:
    """An operator lets another version serve."""
    search.swapped(1, reverse=False)


def rolled_back(search: Policy) -> None:
    """The champion of before wins, or an operator goes back to it."""
    search.swapped(2, reverse=True)


MOVES: dict[str, tuple[Callable[[Policy], object], dict[Phase, Phase]]] = {
    "a warning": (lambda search: search.alarm(drift=False), {S: W, W: W, H: H, P: W}),
    "an alarm": (lambda search: search.alarm(drift=True), {S: H, W: H, H: H, P: H}),
    "time is up": (lambda search: label(search, max(1, search.until - search.labels)), {W: S, H: S, P: S}),
    "a win or a promotion": (promoted, {S: P, W: P, H: P, P: P}),
    "a rollback": (rolled_back, {S: S, W: S, H: S, P: S}),
}
ARROWS = [(move, start) for move, (_, arrows) in MOVES.items() for start in arrows]


@pytest.mark.parametrize(("move", "start"), ARROWS)
def test_every_arrow_of_the_drawing_can_be_taken(move: str, start: Phase) -> None:
    """From each phase, each thing that may happen leads where the drawing says."""
    act, arrows = MOVES[move]
    search = in_phase(start)
    act(search)
    assert search.phase is arrows[start]


def test_the_table_has_the_arrows_of_the_drawing_and_no_other() -> None:
    """All that can happen, taken together; only PROBATION is drawn with an arrow to itself."""
    taken = {
        (start, end) for _, arrows in MOVES.values() for start, end in arrows.items() if start is not end
    }
    assert {(start, end) for start, ends in LEGAL.items() for end in ends} == taken | {(P, P)}


@pytest.mark.parametrize("start", Phase)
@pytest.mark.parametrize("end", Phase)
def test_what_is_not_in_the_table_raises(start: Phase, end: Phase) -> None:
    """A move along no arrow is a fault of the file, and leaves the phase as it was."""
    search = policy()
    search.phase = start
    if end is start or end in LEGAL[start]:
        search.move(end)
        assert search.phase is end
    else:
        with pytest.raises(RuntimeError, match=f"{start.value} cannot become {end.value}"):
            search.move(end)
        assert search.phase is start


def test_a_hunt_starts_each_kind_once_and_further_alarms_all_but_the_kept_one() -> None:
    """The champion as the alarm found it is copied at the opening; a hunt's number moves on with each."""
    search = policy()
    assert opened(search, 2, 3, 4) == SearchOpened(1, ("fresh", "warm", "kept"), ())
    label(search, 20)
    assert search.alarm(drift=True) == SearchOpened(2, ("fresh", "warm"), ())


def test_further_alarms_wait_until_respawn() -> None:
    """Sooner than `respawn` labels after the last candidates there are no others."""
    search = policy(respawn=20)
    opened(search, 2)
    label(search, 19)
    assert search.alarm(drift=True) is None
    label(search)
    assert search.alarm(drift=True) is not None


def test_a_warning_that_becomes_an_alarm_changes_the_phase_at_once() -> None:
    """Though no further candidates are started yet."""
    search = policy()
    opened(search, 2, drift=False)
    assert search.alarm(drift=True) is None
    assert search.phase is H


def test_an_alarm_of_the_cool_down_opens_its_hunt_when_that_is_over() -> None:
    """A detector tells a change once: too soon after a swap, the alarm waits, and the worst one counts."""
    search = policy(cooldown=50)
    opened(search, 2)
    swapped(search, 2)
    label(search, 10)
    assert search.alarm(drift=True) is None
    assert search.alarm(drift=False) is None
    assert search.phase is P
    found = label(search, 40)
    assert isinstance(found, SearchOpened)
    assert (found.hunt, search.phase) == (2, H)
    assert label(search) is None, "told once"


def test_a_warning_of_the_cool_down_opens_a_warning() -> None:
    """It waits like an alarm and is no more than it was."""
    search = policy(cooldown=50)
    opened(search, 2)
    swapped(search, 2)
    assert search.alarm(drift=False) is None
    assert isinstance(label(search, 50), SearchOpened)
    assert search.phase is W


def test_a_swap_forgets_alarms_that_waited() -> None:
    """They were about the champion of before."""
    search = policy(cooldown=50)
    opened(search, 2)
    swapped(search, 2)
    search.alarm(drift=True)
    search.swapped(2, reverse=False)
    assert label(search, 60) is None


def test_a_rollback_has_no_cool_down_and_no_probation() -> None:
    """Something is wrong: the next alarm hunts at once."""
    search = policy()
    opened(search, 2)
    swapped(search, 2)
    favour(search, 1)
    won = label(search)
    assert isinstance(won, Won)
    assert (won.version, won.reverse, won.threshold) == (1, True, 1 / 0.05)
    assert search.swapped(2, reverse=True) == ()
    assert (search.phase, search.previous, search.races) == (S, None, {})
    assert search.alarm(drift=True) is not None


def test_a_hunt_ends_when_patience_is_up() -> None:
    """Its candidates are told as lost; further alarms make it longer."""
    search = policy(patience=200)
    opened(search, 2, 3)
    label(search, 100)
    opened(search, 4)
    closed = label(search, 200)
    assert isinstance(closed, SearchClosed)
    assert (closed.versions, closed.hunt) == ((2, 3, 4), 2)
    assert (search.phase, search.open) == (S, False)


def test_probation_ends_with_the_champion_of_before() -> None:
    """It is told as gone, and as the one who waited on the other side."""
    search = policy(probation=100)
    opened(search, 2, 3)
    assert swapped(search, 2) == (2, 3), "the flow keeps the winner itself"
    assert list(search.races) == [1]
    closed = label(search, 100)
    assert isinstance(closed, SearchClosed)
    assert closed.versions == (1,)
    assert (search.phase, search.previous) == (S, None)


def test_a_second_swap_within_probation_drops_the_champion_before_the_last() -> None:
    """Only one champion of before is kept."""
    search = policy()
    opened(search, 2)
    swapped(search, 2)
    label(search, 60)
    opened(search, 3, 4)
    assert set(search.races) == {1, 3, 4}
    assert set(swapped(search, 3, old=2)) == {1, 3, 4}
    assert (search.previous, list(search.races)) == (2, [2])


def test_the_rival_with_the_most_evidence_wins() -> None:
    """Among those beyond their threshold; ones below it, or with too few pairs, do not count."""
    search = policy(min_labels=50)
    opened(search, 2, 3, 4, 5)
    favour(search, 2, 1e4)
    favour(search, 3, 1e6)
    favour(search, 4, 1e9, pairs=49)
    favour(search, 5, 10.0)
    won = label(search)
    assert isinstance(won, Won)
    assert won.version == 3
    assert won.evidence is not None
    assert (won.evidence.capital, won.evidence.pairs, won.hunt) == (1e6, 100, 1)


@pytest.mark.parametrize("rivals", [1, 2, 3])
@pytest.mark.parametrize("hunt", [1, 2, 4])
def test_a_hunt_spends_its_alpha_on_all_its_rivals(rivals: int, hunt: int) -> None:
    """The threshold is the rivals' number over α_k, for the k-th hunt."""
    search = policy()
    search.hunt = hunt - 1
    opened(search, *range(2, 2 + rivals))
    threshold = rivals / alpha_of(0.05, hunt)
    favour(search, 2, threshold * 0.999)
    assert label(search) is None
    favour(search, 2, threshold * 1.001)
    won = label(search)
    assert isinstance(won, Won)
    assert won.threshold == pytest.approx(threshold)


def test_a_rival_that_leaves_hands_nothing_on() -> None:
    """Its share of α is spent: the others' threshold stays, in hunts and among standing challengers."""
    search = policy(standing=True)
    opened(search, 2, 3)
    search.leave(2)
    favour(search, 3, 2 / alpha_of(0.025, 1) * 0.999)
    assert label(search) is None
    for version in (7, 8):
        search.stand(version, 0.0, 0.0)
    search.leave(7)
    favour(search, 8, 2 / alpha_of(0.025, 1) * 0.999)
    assert label(search) is None
    favour(search, 8, 2 / alpha_of(0.025, 1) * 1.001)
    assert isinstance(label(search), Won)


def test_standing_challengers_have_a_budget_of_their_own() -> None:
    """They may spend half of α, round after round of swaps; hunts have the other half, alone all of it."""
    search = policy(standing=True)
    search.stand(2, 1.0, 0.0)
    favour(search, 2, 1 / alpha_of(0.025, 1) * 1.001)
    won = label(search)
    assert isinstance(won, Won)
    assert won.threshold == pytest.approx(1 / alpha_of(0.025, 1))
    assert not won.reverse
    search.swapped(1, reverse=False)
    assert (search.phase, search.standing, list(search.races)) == (P, {}, [1])
    label(search, 60)
    search.stand(3, 1.0, 0.0)
    favour(search, 3, 1 / alpha_of(0.025, 2) * 0.999)
    assert label(search) is None
    opened(search, 4)
    favour(search, 4, 1 / alpha_of(0.025, 1) * 1.001)
    won = label(search)
    assert isinstance(won, Won)
    assert won.version == 4


def test_swaps_have_a_budget_and_rollbacks_do_not() -> None:
    """Beyond `budget` swaps within `budget_labels` only the champion of before may win; later others too."""
    search = policy(budget=2, budget_labels=1_000, probation=500)
    for version in (2, 3):
        opened(search, version)
        swapped(search, version, old=version - 1)
        label(search, 60)
    assert not search.affordable
    opened(search, 4)
    favour(search, 4)
    assert label(search) is None
    favour(search, 2, 1e4)
    won = label(search)
    assert isinstance(won, Won)
    assert (won.version, won.reverse) == (2, True)
    search.swapped(3, reverse=True)
    assert not search.affordable, "it is neither charged nor refunded"
    label(search, 1_000)
    assert search.affordable


def test_room_is_made_by_dropping_the_least_evidence() -> None:
    """Never the champion of before, however badly it does; at most `max_candidates` stay."""
    search = policy(max_candidates=4, probation=10_000)
    opened(search, 2)
    swapped(search, 2)
    label(search, 60)
    opened(search, 5, 6, 7)
    favour(search, 1, 1e-9)
    for version, capital in ((5, 3.0), (6, 0.5), (7, 1.0)):
        favour(search, version, capital)
    label(search, 20)
    found = search.alarm(drift=True)
    assert found is not None
    assert found.dropped == (6,)
    assert set(search.races) == {1, 5, 7}


def test_times_that_ease_begin_candidates_anew_within_a_hunt_only() -> None:
    """A fall of the champion's loss opens nothing by itself."""
    search = policy()
    assert search.eased() is None
    opened(search, 2)
    assert search.eased() is None, "too soon"
    label(search, 20)
    found = search.eased()
    assert found is not None
    assert found.kinds == ("fresh", "warm")
    assert policy(policy="never").eased() is None


def test_a_slot_that_is_gone_is_in_no_race() -> None:
    """Also the champion of before: nothing can be rolled back to it."""
    search = policy(standing=True)
    opened(search, 2)
    swapped(search, 2)
    search.stand(9, 0.0, 0.0)
    search.leave(9)
    search.leave(1)
    search.leave(77)
    assert (search.races, search.standing, search.previous) == ({}, {}, None)
    assert isinstance(label(search, 100), SearchClosed)


def test_the_policy_never_hunts_and_lets_operators_swap() -> None:
    """Alarms are alerts only; a promotion starts no probation."""
    search = policy(policy="never", standing=True)
    assert search.alarm(drift=True) is None
    search.stand(2, 1.0, 0.0)
    favour(search, 2)
    assert label(search) is None
    assert search.swapped(1, reverse=False) == ()
    assert (search.phase, search.previous) == (S, None)


def test_the_policy_immediate_swaps_on_drift_within_its_budget() -> None:
    """One fresh candidate for each drift that is not too soon; warnings are nothing; no test is run."""
    search = policy(policy="immediate", budget=2, cooldown=50)
    assert search.alarm(drift=False) is None
    for _ in range(2):
        assert opened(search).kinds == ("fresh",)
        search.swapped(1, reverse=False)
        assert (search.phase, search.previous, search.races) == (P, None, {})
        assert search.alarm(drift=True) is None, "too soon"
        search.late_alarm = 0
        label(search, 50)
    assert search.alarm(drift=True) is None, "no budget"
    assert not search.late_alarm


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "policy": ({"policy": "gut"}, "policy='gut'; choose one of evidence, immediate, never"),
    "alpha 0": ({"alpha": 0}, "alpha=0"),
    "alpha half": ({"alpha": 0.5}, "alpha=0.5"),
    "margin": ({"margin": 1.0}, "margin=1.0"),
    "margin below": ({"margin": -0.1}, "margin=-0.1"),
    **{
        name: ({name: 0}, f"{name}=0; give a number of")
        for name in ("min_labels", "cooldown", "respawn", "probation", "patience", "budget", "budget_labels")
    },
    "a half": ({"patience": 0.5}, "patience=0.5"),
    "a truth": ({"patience": True}, "patience=True"),
    "warm": ({"warm": -1}, "warm=-1"),
    "warm beyond": ({"warm": 100_001}, "warm=100001"),
    "no kinds": ({"candidates": ()}, r"candidates=\(\); choose from fresh, warm, kept"),
    "a kind": ({"candidates": ("fresh", "old")}, "candidates="),
    "room": ({"max_candidates": 2}, "max_candidates=2; give 3 to 16"),
    "rooms": ({"max_candidates": 17}, "max_candidates=17"),
    "slowdown": ({"max_slowdown": 1.0}, "max_slowdown=1.0; give a factor above 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_rule_out_of_range_is_refused_by_name(case: str) -> None:
    """With what may be given instead."""
    values, text = REFUSED[case]
    with pytest.raises(ValueError, match=text):
        SwapPolicy(**values)


def test_a_stored_policy_decides_as_if_it_had_not_been_stored() -> None:
    """In the middle of a hunt: later decisions are equal."""
    search = policy()
    opened(search, 2, 3)
    stored = pickle.loads(pickle.dumps(search))
    for one in (search, stored):
        for n in range(300):
            for race in one.races.values():
                race.update(1.0, float(n % 4 == 0))
    first, second = search.decide(), stored.decide()
    assert first == second
    assert isinstance(first, Won)
