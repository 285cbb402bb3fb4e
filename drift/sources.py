"""Whose labels contradict everybody else's: one key's wrong answers, judged label by label.

A gambler bets on each label of a key that the served answer is wrong. Its capital is an e-process while an
error of the key has a chance of `odds` at most, whatever came before, and then reaches `ENOUGH` once in that
many labels of the key at most on average. `odds` is a coin's or, where that is larger, the share of errors
that an error of the same key follows: errors come in runs. The capital is kept apart by the class that was
answered, and both parts must have grown: errors of one kind alone may be news of a rare class. And the others
must be right meanwhile, or the world has changed for all.

Source: Waudby-Smith and Ramdas 2024 (betting); Shin, Ramdas and Rinaldo, "E-detectors", 2023 (restarts).
"""

from __future__ import annotations

from enum import Enum
from math import log, sqrt

from mypy_extensions import mypyc_attr

STAKE = 0.8  # of the capital is lost at a right answer
RIGHT = 1.0 - STAKE
ENOUGH = 1e5  # 20 errors in a row at a coin's odds
LARGEST = 1e3  # of either class's part, so that the other one has 100 at least: 8 errors in a row
AGREES = 1.0 + STAKE  # what a right answer makes of a capital that bets on right ones, at a coin's odds
OTHERS = log(1e3) / log(AGREES)  # of such bets on the others: 12 right answers in a row
MOST_OTHERS = 1.5 * OTHERS  # so that what they said long ago weighs little
PRICE = log(RIGHT) / log(AGREES)  # an error against a right answer, as logarithms
BACK = 100.0  # of such bets on the key: 8 right answers in a row
LONGEST = 1_000  # labels of one key that are held back at most
MOST_HELD = 100  # keys
MOST_KNOWN = 500  # keys in each of two generations
MOST_TAUGHT = 30  # errors by one doubt, so that a drift for all does not pass for a long run
FEW = 10.0  # errors as which the unknown chance counts


class Verdict(Enum):
    """What is done with one label. BEGUN: its key is held back from now on; OVER, TOO_LONG: no longer."""

    LEARN = "learn"
    HOLD = "hold"
    BEGUN = "begun"
    OVER = "over"
    TOO_LONG = "too long"


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Runs:
    """How often an error follows an error of the same key."""

    def __init__(self) -> None:
        self.errors = self.repeated = 0

    def add(self, errors: int, repeated: int) -> None:
        """Errors of one doubt that came to nothing, and how many of them an error followed."""
        if errors > MOST_TAUGHT:
            errors, repeated = MOST_TAUGHT, MOST_TAUGHT * repeated // errors
        self.errors += errors
        self.repeated += repeated

    def odds(self, unknown: float) -> float:
        """The chance of an error after an error, on the safe side; `unknown` weighs as `FEW` errors."""
        n = self.errors + FEW
        return (self.repeated + unknown * FEW) / n + 0.5 / sqrt(n)


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Doubt:
    """One key with errors of late: its capital by class answered, its labels since the doubt began.

    `others` is what speaks for the others, in right answers, up to the key's newest label, when they had
    `right_seen` and `wrong_seen`. `before` knows of earlier doubts that came to nothing. `held` counts the
    labels held back, `back` is the capital that bets on the key's return. One that was held for too long is
    `believed` until it agrees again.
    """

    def __init__(self) -> None:
        self.first = self.second = 1.0
        self.last_wrong = False
        self.errors = self.repeated = 0
        self.before = Runs()
        self.right = self.wrong = 0
        self.others = 0.0
        self.right_seen = self.wrong_seen = 0
        self.held = 0
        self.back = 1.0
        self.believed = False

    def follow(self, wrong: bool) -> None:
        """Note what came after an error."""
        if self.last_wrong:
            self.errors += 1
            self.repeated += wrong
        self.last_wrong = wrong

    def bet(self, second: bool, factor: float) -> float:
        """Move the part of the class that was answered; gives the whole capital."""
        if second:
            self.second = min(LARGEST, self.second * factor)
        else:
            self.first = min(LARGEST, self.first * factor)
        return self.first * self.second


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Sources:
    """Judges two classes. Memory: keys with errors of late, in two generations, and those held back."""

    def __init__(self) -> None:
        self.right = self.wrong = 0  # labels that were not held back
        self.runs = Runs()  # of all keys
        self.young: dict[str, Doubt] = {}
        self.old: dict[str, Doubt] = {}
        self.held: dict[str, Doubt] = {}
        self.last = Doubt()  # of the newest verdict

    def judge(self, key: str, wrong: bool, second: bool) -> Verdict:
        """What is done with one label of a key.

        `second`: which of the two classes was answered.
        """
        if self.held and key in self.held:
            return self.judge_held(key, wrong)
        doubt = self.young.get(key)
        if doubt is None and self.old:
            doubt = self.old.pop(key, None)
            if doubt is not None:
                self.young[key] = doubt
        if not wrong:
            if doubt is not None and doubt.wrong:
                self.agree(doubt, second)
                doubt.right_seen += 1
            self.right += 1
            return Verdict.LEARN
        if doubt is None:
            if len(self.young) >= MOST_KNOWN:
                self.old, self.young = self.young, {}
            doubt = self.young[key] = Doubt()
        if not self.disagree(doubt, second):
            doubt.wrong_seen += 1
            self.wrong += 1
            return Verdict.LEARN
        if len(self.held) >= MOST_HELD:
            del self.held[next(iter(self.held))]  # the one held longest; it may be doubted again
        self.held[key] = self.last = self.young.pop(key)
        doubt.held = 1
        return Verdict.BEGUN

    def agree(self, doubt: Doubt, second: bool) -> None:
        """A right answer costs; when nothing is left, the doubt came to nothing."""
        doubt.follow(False)
        self.hear(doubt)
        doubt.right += 1
        if doubt.bet(second, RIGHT) <= 1.0:
            self.runs.add(doubt.errors, doubt.repeated)
            doubt.before.add(doubt.errors, doubt.repeated)
            doubt.first = doubt.second = 1.0
            doubt.errors = doubt.repeated = doubt.right = doubt.wrong = 0

    def disagree(self, doubt: Doubt, second: bool) -> bool:
        """A wrong answer pays; whether that is enough, and the others are right meanwhile."""
        doubt.follow(True)
        if doubt.wrong:
            self.hear(doubt)
        else:
            doubt.others = 0.0
            doubt.right_seen, doubt.wrong_seen = self.right, self.wrong
        doubt.wrong += 1
        odds = min(0.99, max(0.5, self.runs.odds(0.5), doubt.before.odds(0.0)))
        capital = doubt.bet(second, 1.0 + STAKE * (1.0 - odds) / odds)
        return capital >= ENOUGH and doubt.others >= OTHERS

    def hear(self, doubt: Doubt) -> None:
        """What the others have said since the key's label before this one."""
        right, wrong = self.right - doubt.right_seen, self.wrong - doubt.wrong_seen
        doubt.right_seen, doubt.wrong_seen = self.right, self.wrong
        doubt.others = min(MOST_OTHERS, doubt.others + right + PRICE * wrong)

    def judge_held(self, key: str, wrong: bool) -> Verdict:
        """A label of a key that is held back, or believed again."""
        doubt = self.last = self.held[key]
        if wrong:
            doubt.back = max(1.0, doubt.back * RIGHT)
        else:
            doubt.back *= AGREES
        if doubt.back >= BACK:
            del self.held[key]
            return Verdict.LEARN if doubt.believed else Verdict.OVER
        if doubt.believed:
            return Verdict.LEARN
        doubt.held += 1
        if doubt.held <= LONGEST:
            return Verdict.HOLD
        doubt.believed = True
        return Verdict.TOO_LONG

    def forget(self, key: str) -> None:
        """Know nothing of a key any more."""
        for known in (self.young, self.old, self.held):
            known.pop(key, None)
