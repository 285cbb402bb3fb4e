"""Whose labels are held back: streams that must hold nothing back, and one that must."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from drift import sources
from drift.sources import Sources, Verdict

Labels = Iterator[tuple[str, bool, bool]]  # key, whether the answer was wrong, which class was answered
BURST = 4_000  # label at which a burst or a drift begins
KEYS = "abcde"


def judged(labels: Labels, source: Sources | None = None) -> list[tuple[str, Verdict]]:
    """Key and verdict of every label."""
    source = source or Sources()
    return [(key, source.judge(key, wrong, second)) for key, wrong, second in labels]


def counts(labels: Labels) -> Counter[Verdict]:
    """How often each verdict was given."""
    return Counter(verdict for _, verdict in judged(labels))


def stream(
    seed: int, error: Callable[[int, str], float], n: int = 2 * BURST, *, share: float = 0.2
) -> Labels:
    """Keys at random, `share` of the labels from `a`; the answers are balanced."""
    dice = random.Random(seed)
    for i in range(n):
        key = "a" if dice.random() < share else dice.choice(KEYS[1:])
        yield key, dice.random() < error(i, key), dice.random() < 0.5


def runs(seed: int, keys: str, stay: float, n: int = 2 * BURST) -> Labels:
    """Errors of each of these keys come in runs, 30 % on the whole; all others err in 5 %."""
    dice, wrong = random.Random(seed), dict.fromkeys(KEYS, False)
    for _ in range(n):
        key = dice.choice(KEYS)
        if key not in keys:
            wrong[key] = dice.random() < 0.05
        elif dice.random() > stay:
            wrong[key] = dice.random() < 0.3
        yield key, wrong[key], dice.random() < 0.5


def rare_class(seed: int, *, drift: bool = False) -> Labels:
    """One key's labels are all of a class that is seldom answered, and then half right; at last all drift."""
    dice = random.Random(seed)
    for i in range(2 * BURST):
        key, rare = dice.choice(KEYS), dice.random() < 0.05
        error = (0.5 if rare else 1.0) if key == "a" else 0.02
        yield key, dice.random() < (0.95 if drift and i >= BURST else error), rare


NULLS: dict[str, Callable[[int], Labels]] = {
    "noise": lambda seed: stream(seed, lambda i, key: 0.1),
    "heavy noise": lambda seed: stream(seed, lambda i, key: 0.45),
    "a key like a coin": lambda seed: stream(seed, lambda i, key: 0.5 if key == "a" else 0.05),
    "drift for all": lambda seed: stream(seed, lambda i, key: 0.05 if i < BURST else 0.95),
    "drift for all, most of it one key": lambda seed: stream(
        seed, lambda i, key: 0.05 if i < BURST else 0.95, share=0.9
    ),
    "one key alone": lambda seed: stream(seed, lambda i, key: 0.05 if i < BURST else 1.0, share=1.0),
    "a concept that returns": lambda seed: stream(seed, lambda i, key: 0.05 if i // 500 % 2 else 0.95),
    "slow drift": lambda seed: stream(seed, lambda i, key: min(0.95, 0.05 + i / BURST / 2)),
    "runs": lambda seed: runs(seed, KEYS, 0.8),
    "a rare class from one key": rare_class,
    "a rare class from one key, then drift for all": lambda seed: rare_class(seed, drift=True),
}


@pytest.mark.parametrize("null", NULLS)
def test_nothing_is_held_back_wrongly(null: str) -> None:
    """What is no contradiction of one key to the others is learned: none of 80,000 labels is held back."""
    assert set().union(*(counts(NULLS[null](seed)) for seed in range(10))) == {Verdict.LEARN}


def flips(seed: int, until: int = 2 * BURST) -> Labels:
    """One of five keys sends opposite labels from `BURST` to `until`; else 5 % of the answers are wrong."""
    return stream(seed, lambda i, key: 0.95 if key == "a" and BURST <= i < until else 0.05)


@pytest.mark.parametrize("seed", range(5))
def test_opposite_labels_of_one_key_are_held_back(seed: int) -> None:
    """Within 40 labels of the key, and of no other key."""
    found = judged(flips(seed))
    assert {key for key, verdict in found if verdict != Verdict.LEARN} == {"a"}
    learned = [verdict for key, verdict in found[BURST:] if key == "a"].index(Verdict.BEGUN)
    assert 15 < learned < 40


def test_a_long_drift_for_all_is_forgotten() -> None:
    """Its runs of errors do not excuse those of one key some time later."""
    wrong = {"a": 0.95}
    labels = stream(
        7, lambda i, key: 0.95 if i < BURST else wrong.get(key, 0.05) if i >= 6 * BURST else 0.05, 7 * BURST
    )
    found = [verdict for key, verdict in judged(labels)[6 * BURST :] if key == "a"]
    assert found.index(Verdict.BEGUN) < 60


def test_a_key_that_agrees_again_is_learned_again() -> None:
    """Once, soon after its burst, and nothing is held back from then on."""
    found = judged(flips(1, until=BURST + 1_000))
    mine = [verdict for key, verdict in found if key == "a"]
    assert mine.count(Verdict.BEGUN) == mine.count(Verdict.OVER) == 1
    assert mine.index(Verdict.OVER) < [key for key, _ in found[: BURST + 1_000]].count("a") + 20
    assert set(mine[mine.index(Verdict.OVER) + 1 :]) == {Verdict.LEARN}


def test_a_key_is_held_back_for_so_long_at_most() -> None:
    """What a key still says after a thousand labels is believed until it agrees; then it may be doubted."""
    source, dice = Sources(), random.Random(3)

    def burst(of: list[float]) -> list[Verdict]:
        labels = ((key, dice.random() < p, dice.random() < 0.5) for p in of for key in KEYS)
        mine = ((key, wrong if key == "a" else dice.random() < 0.05, second) for key, wrong, second in labels)
        return [verdict for key, verdict in judged(mine, source) if key == "a"]

    burst([0.05] * 500)
    told = burst([1.0] * 2_000)
    assert (told.count(Verdict.BEGUN), told.count(Verdict.TOO_LONG)) == (1, 1)
    assert told.count(Verdict.BEGUN) + told.count(Verdict.HOLD) == sources.LONGEST
    assert set(told[told.index(Verdict.TOO_LONG) + 1 :]) == {Verdict.LEARN}
    assert set(burst([0.05] * 100)) == {Verdict.LEARN}
    assert burst([1.0] * 60).count(Verdict.BEGUN) == 1


def test_memory_is_bounded() -> None:
    """Keys that come once, and keys that never come back, leave no more than a thousand and a hundred."""
    source, dice = Sources(), random.Random(4)
    for i in range(20_000):
        source.judge(f"once{i}", True, bool(i % 2))
        source.judge("good", False, bool(i % 2))
    assert len(source.young) + len(source.old) <= 2 * sources.MOST_KNOWN
    source = Sources()
    judged(stream(5, lambda i, key: 0.05), source)
    begun = 0
    for i in range(150):
        for _ in range(60):
            begun += source.judge(f"bad{i}", True, dice.random() < 0.5) == Verdict.BEGUN
            for good in "bcde":
                source.judge(good, False, False)
    assert begun == 150
    assert len(source.held) == sources.MOST_HELD


def test_a_key_with_errors_is_known_although_others_come() -> None:
    """The two generations keep a key that comes again, however many come once."""
    source = Sources()
    judged(stream(6, lambda i, key: 0.05), source)
    verdicts = []
    for i in range(40):
        for j in range(sources.MOST_KNOWN // 2):
            source.judge(f"once{i}-{j}", True, bool(j % 2))
            for good in "bcdebc":
                source.judge(good, False, False)
        verdicts.append(source.judge("a", True, bool(i % 2)))
    assert Verdict.BEGUN in verdicts


def test_forgetting_leaves_nothing_of_a_key() -> None:
    """Neither as doubted nor as held back."""
    source = Sources()
    judged(flips(2), source)
    assert "a" in source.held
    source.judge("x", True, False)
    source.forget("a")
    source.forget("x")
    assert not {"a", "x"} & {*source.held, *source.young, *source.old}


def test_errors_of_one_key_that_come_in_runs_are_known_after_a_while() -> None:
    """Held back in its first thousands of labels perhaps; later not, for its runs are its own."""
    late = Counter[Verdict]()
    for seed in range(10):
        found = judged(runs(seed, "a", 0.7, n=20_000))
        late.update(verdict for _, verdict in found[10_000:])
    assert set(late) == {Verdict.LEARN}
