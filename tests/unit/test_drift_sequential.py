"""The sequential test: how seldom fair pairs pass for evidence, how soon a better rival is seen."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from math import isfinite, sqrt
from statistics import NormalDist, median

import pytest

from drift import sequential
from drift.sequential import BURN_IN, FIRST_START, LARGEST_CAPITAL, Comparison, Gambler, alpha_of
from tests.lengths import length

ALPHA = 0.05
STREAMS, PAIRS = length(40, 100, 4_000), 3_000
MOST = ALPHA + 3 * sqrt(ALPHA * (1 - ALPHA) / max(100, STREAMS))  # 3 σ of a share that is α
Pairs = Iterator[tuple[float, float]]


def coins(seed: int, champion: float, rival: float) -> Pairs:
    """Independent errors."""
    dice = random.Random(seed)
    while True:
        yield float(dice.random() < champion), float(dice.random() < rival)


def runs(seed: int, stay: float) -> Pairs:
    """Two chains that keep their loss with one probability: both err half the time, in runs."""
    dice = random.Random(seed)
    a, b = dice.random() < 0.5, dice.random() < 0.5
    while True:
        yield float(a), float(b)
        a, b = a == (dice.random() < stay), b == (dice.random() < stay)


FAIR: dict[str, Callable[[int], Pairs]] = {
    "coins": lambda seed: coins(seed, 0.3, 0.3),
    "rare": lambda seed: coins(seed, 0.02, 0.02),
    "alternating": lambda seed: runs(seed, 0.3),
    "stay 0.6": lambda seed: runs(seed, 0.6),
    "stay 0.9": lambda seed: runs(seed, 0.9),
}


def found_at(pairs: Pairs, most: int, alpha: float = ALPHA, race: Comparison | None = None) -> int | None:
    """The number of pairs at which the capital reached 1/α, None if it did not."""
    race = Comparison() if race is None else race
    for n in range(1, most + 1):
        race.update(*next(pairs))
        if race.capital >= 1 / alpha:
            return n
    return None


def wrong(fair: Callable[[int], Pairs]) -> float:
    """The share of streams of fair pairs that ever passed for evidence."""
    return sum(found_at(fair(seed), PAIRS) is not None for seed in range(STREAMS)) / STREAMS


@pytest.mark.soak(long=True)
@pytest.mark.parametrize("kind", FAIR)
def test_fair_pairs_pass_for_evidence_no_more_often_than_alpha(kind: str) -> None:
    """Streams of 3,000 pairs, looked at after every pair: at most α of them ever reach 1/α."""
    share = wrong(FAIR[kind])
    assert share <= MOST


def test_without_whitening_runs_pass_for_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where losses come in long runs, bets on the plain differences are wrong far more often than α."""
    monkeypatch.setattr(Comparison, "dependence", lambda self: 0.0)
    share = wrong(FAIR["stay 0.9"])
    assert share > 2 * MOST


@pytest.mark.parametrize("seed", range(5))
def test_a_worse_rival_never_passes(seed: int) -> None:
    """10,000 pairs with 5 points more errors: its capital falls."""
    race = Comparison()
    assert found_at(coins(seed, 0.3, 0.35), 10_000, race=race) is None
    assert race.capital < 1


def warming(seed: int) -> Pairs:
    """A rival that guesses for 500 pairs and errs by ten points less after them."""
    cold, warm = coins(seed, 0.3, 0.5), coins(seed + 1_000, 0.3, 0.2)
    for _ in range(500):
        yield next(cold)
    yield from warm


def test_a_cold_phase_is_not_held_against_a_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gamblers who start late see a better rival within 900 pairs; one from the start alone needs twice."""
    seeds, most = range(40), 10_000
    mixed = median(found_at(warming(seed), most) or most for seed in seeds)
    monkeypatch.setattr(sequential, "FIRST_START", 1 << 40)
    alone = median(found_at(warming(seed), most) or most for seed in seeds)
    assert mixed - 500 < 900
    assert alone - 500 > 2 * (mixed - 500)


def fixed_size(champion: float, rival: float) -> float:
    """Pairs that a one-sided z-test of differences needs for α = 0.05 and power 0.8, with one look."""
    normal = NormalDist()
    variance = champion * (1 - champion) + rival * (1 - rival)
    return float((normal.inv_cdf(1 - ALPHA) + normal.inv_cdf(0.8)) ** 2 * variance / (champion - rival) ** 2)


@pytest.mark.parametrize(("gap", "streams"), [(0.02, 20), (0.05, 40), (0.10, 60)])
def test_a_better_rival_is_found_within_a_few_fixed_samples(gap: float, streams: int) -> None:
    """Every stream ends, four in five within five times the size that a test with one look would need.

    Measured: pairs of a test with one look, median, four in five, last; 0.02: 6362, 10713, 19573, 30151 ·
    0.05: 983, 1220, 2222, 6193 · 0.10: 229, 264, 546, 1713.
    """
    fixed = fixed_size(0.30, 0.30 - gap)
    needed = sorted(found_at(coins(seed, 0.30, 0.30 - gap), int(12 * fixed)) or 0 for seed in range(streams))
    most = needed[int(0.8 * streams)]
    assert needed[0] > BURN_IN
    assert most <= 5 * fixed


def test_a_margin_must_lie_between() -> None:
    """A rival that is better by less than the margin is no better; one that is better by more is found."""
    for seed in range(5):
        assert found_at(coins(seed, 0.30, 0.27), 3_000, race=Comparison(0.1)) is None
        assert found_at(coins(seed, 0.50, 0.30), 3_000, race=Comparison(0.1)) is not None


def test_a_margin_is_a_handicap_of_every_pair() -> None:
    """Losses with a margin are judged as losses that differ by so much less."""
    plain, handicapped = Comparison(), Comparison(0.25)
    for champion, rival in (next(pairs) for pairs in [coins(1, 0.4, 0.2)] for _ in range(500)):
        plain.update(champion * 0.5, rival * 0.5 + 0.25)
        handicapped.update(champion * 0.5, rival * 0.5)
    assert handicapped.capital == pytest.approx(plain.capital)
    assert handicapped.evidence().rival_loss == pytest.approx(plain.evidence().rival_loss - 0.25)


def test_capital_stays_finite_and_positive() -> None:
    """However long one side wins: certain evidence does not overflow, lost capital does not turn negative."""
    winning, losing, equal = Comparison(), Comparison(), Comparison()
    for n in range(20_000):
        winning.update(1.0, n % 97 == 0)
        losing.update(n % 97 == 0, 1.0)
        equal.update(0.5, 0.5)
    assert LARGEST_CAPITAL <= winning.capital < 1e260
    assert 0 < losing.capital < 1
    assert equal.capital == pytest.approx(1.0)
    assert all(isfinite(gambler.capital) for race in (winning, losing) for gambler in race.gamblers)


def test_no_bet_is_made_before_dependence_is_known() -> None:
    """The first pairs teach only; then the shares of all gamblers, waiting ones included, sum to one."""
    race = Comparison()
    for _ in range(BURN_IN):
        race.update(1.0, 0.0)
        assert race.capital == 1.0
    starts = []
    for n in range(BURN_IN, BURN_IN + 1_000):
        before = len(race.gamblers)
        race.update(0.0, 0.0)
        starts += [n - BURN_IN] * (len(race.gamblers) - before)
        assert race.capital == pytest.approx(1.0)
    assert starts == [FIRST_START * 2**j for j in range(len(starts))]
    assert len(starts) > 3


def test_a_stake_is_set_before_the_value_is_known() -> None:
    """The same past bets the same on x and on −x: one gains what the other loses."""
    for seed in range(20):
        dice = random.Random(seed)
        up, down = Gambler(1.0), Gambler(1.0)
        for x in (dice.choice([-1.0, 0.0, 1.0, 1.0]) for _ in range(50)):
            up.bet(x)
            down.bet(x)
        before = up.capital
        up.bet(0.7)
        down.bet(-0.7)
        assert up.capital - before == pytest.approx(before - down.capital)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_all_tests_together_spend_alpha(alpha: float) -> None:
    """Each has less than the one before; a thousand of them have spent nearly all of it, and never more."""
    shares = [alpha_of(alpha, k) for k in range(1, 10_001)]
    assert shares == sorted(shares, reverse=True)
    assert 0.999 * alpha < sum(shares) < alpha


def test_a_stored_race_goes_on_as_if_it_had_not_been_stored() -> None:
    """After a pickle round trip later capitals are equal to the bit."""
    race, pairs = Comparison(0.01), coins(3, 0.4, 0.3)
    for _ in range(200):
        race.update(*next(pairs))
    stored = pickle.loads(pickle.dumps(race))
    for _ in range(500):
        pair = next(pairs)
        race.update(*pair)
        stored.update(*pair)
    assert race.evidence() == stored.evidence()
    assert race.evidence().pairs == 700
