"""An anytime-valid test that a rival loses less than the champion: it may be looked at after every pair.

A gambler bets on the next difference of losses, knowing the past only. Where the rival is no better, the game
is fair or worse, so that the capital reaches 1/α with a probability of α at most, however often one looks.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSSB 2024 (the
bets are their aGRAPA, clipped); Ville's inequality. Two additions of ours, with figures in docs/adr/0008:
the mixture over start times, and the whitening of differences that come in runs.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

LARGEST_BET = 0.5  # of the capital; all of it would be lost forever at one difference of −1
BURN_IN = 30  # pairs that only teach how differences follow each other: a bet before that is blind to runs
FIRST_START = 30  # pairs after the burn-in at which the second gambler starts; the others double it
MOST_DEPENDENT = 0.98
PRIOR_SECOND_MOMENT = 0.25  # of one pair, before any is known
LARGEST_CAPITAL = 1e250
SHARE = 6 / pi**2  # Σ 1/j² = π²/6, so that the shares of all gamblers sum to one


class Evidence(NamedTuple):
    """`capital` is the e-value, valid at any time; mean losses are over the same `pairs`."""

    capital: float
    pairs: int
    champion_loss: float
    rival_loss: float


class Gambler:
    """Bets from its start on; its share of the first capital is 6/(π²j²)."""

    __slots__ = ("capital", "n", "square", "total")

    def __init__(self, share: float) -> None:
        self.capital = share
        self.n = 0
        self.total = 0.0
        self.square = 0.0

    def bet(self, x: float) -> None:
        """Bet on one value in [-1, 1] with what was known before it."""
        if self.total > 0.0:
            stake = self.total / (PRIOR_SECOND_MOMENT + self.square)
            self.capital *= 1.0 + (stake if stake < LARGEST_BET else LARGEST_BET) * x
            if self.capital > LARGEST_CAPITAL:
                self.capital = LARGEST_CAPITAL
        self.n += 1
        self.total += x
        self.square += x * x


class Comparison:
    """Champion against one rival on the same rows; both losses in [0, 1], `margin` is what must lie between.

    New gamblers start after 0, 30, 60, 120, 240, … pairs, so that a rival's cold phase is not held against
    it forever. A difference that follows from the one before is worth no bet: the part that the lag-1
    autocorrelation predicts is taken away first. `capital` is the e-value. 1–3 µs a pair.
    """

    __slots__ = (
        "capital",
        "champion_total",
        "cross",
        "gamblers",
        "margin",
        "next_start",
        "pairs",
        "previous",
        "rival_total",
        "square",
        "total",
        "waiting",
    )

    def __init__(self, margin: float = 0.0) -> None:
        self.margin = margin
        self.pairs = 0
        self.champion_total = self.rival_total = 0.0
        self.total = self.square = self.cross = self.previous = 0.0
        self.gamblers = [Gambler(SHARE)]
        self.waiting = 1.0 - SHARE  # the shares of those who have not started yet
        self.capital = 1.0
        self.next_start = FIRST_START

    def update(self, champion_loss: float, rival_loss: float) -> None:
        """Take one pair of losses, both in [0, 1]."""
        difference = champion_loss - rival_loss - self.margin
        self.champion_total += champion_loss
        self.rival_total += rival_loss
        if difference < -1.0:
            difference = -1.0
        if self.pairs >= BURN_IN:
            dependence = self.dependence()
            x = (difference - dependence * self.previous) / (1.0 + dependence)
            if self.pairs - BURN_IN == self.next_start:
                share = SHARE / (len(self.gamblers) + 1) ** 2
                self.gamblers.append(Gambler(share))
                self.waiting -= share
                self.next_start *= 2
            capital = self.waiting
            for gambler in self.gamblers:
                gambler.bet(x)
                capital += gambler.capital
            self.capital = capital
        self.pairs += 1
        self.total += difference
        self.square += difference * difference
        self.cross += difference * self.previous
        self.previous = difference

    def dependence(self) -> float:
        """Lag-1 autocorrelation of the differences so far, on the safe side; 0 when it may be chance.

        Too much of it makes the test slower, too little makes it wrong: its estimate is low in small samples
        by about (1 + 3φ)/n (Marriott and Pope 1954), and half a standard error is added.
        """
        n = self.pairs
        mean = self.total / n
        variance = self.square / n - mean * mean
        if variance < 1e-12:
            return 0.0
        found = (self.cross / n - mean * mean) / variance
        chance = 1.0 / sqrt(n)
        if found < chance:
            return 0.0
        found += (1.0 + 3.0 * found) / n + 0.5 * chance
        return found if found < MOST_DEPENDENT else MOST_DEPENDENT

    def evidence(self) -> Evidence:
        """What the pairs say so far."""
        n = max(1, self.pairs)
        return Evidence(self.capital, self.pairs, self.champion_total / n, self.rival_total / n)


def alpha_of(alpha: float, k: int) -> float:
    """What the k-th of any number of tests may spend (k ≥ 1), so that all of them spend `alpha` together.

    >>> round(sum(alpha_of(0.05, k) for k in range(1, 10_000)), 4)
    0.05
    """
    return alpha * SHARE / k**2
