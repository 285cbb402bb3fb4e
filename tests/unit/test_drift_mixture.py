"""drift/mixture.py: weights stay weights, follow who is right, and keep aside who sleeps."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift.blend import Blend
from drift.mixture import Mixture

COLD = (None, None)


def mixture(n: int = 3, classify: bool = True, **rule: Any) -> Mixture:
    """A mixture over the versions 1 to n."""
    made = Mixture(Blend(**rule), classify)
    for version in range(1, n + 1):
        made.enter(version)
    return made


def sure(label: Any, p: float = 0.9) -> tuple[Any, dict[Any, float]]:
    """An answer for one of two classes."""
    return label, {label: p, not label: 1.0 - p}


def weigh(made: Mixture, answers: dict[int, Any], label: Any, unit: float = 1.0) -> None:
    """Serve these answers, and learn from the label at once."""
    made.learn(label, answers, None, made.votes(answers), unit)


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.lists(st.sampled_from([0.0, 0.2, 0.9, 1.0, None]), min_size=3, max_size=3)
        )
    )
)
def test_weights_are_never_negative_and_sum_to_one(rows: list[tuple[bool, list[float | None]]]) -> None:
    """Whatever the answers, cold ones and sure and wrong ones too."""
    made = mixture()
    for label, given_p in rows:
        answers = {
            version: COLD if p is None else (p >= 0.5, {True: p, False: 1.0 - p})
            for version, p in enumerate(given_p, 1)
        }
        weigh(made, answers, label)
        for weights in (*made.weights, made.trust, made.shown):
            assert min(weights) >= 0.0
            assert sum(weights) == pytest.approx(1.0)


def test_the_expert_that_is_right_carries_the_mixture_and_another_takes_over_when_it_is_not() -> None:
    """Within a few labels, and back again: no weight is ever lost."""
    made = mixture(late=False)
    for right in (1, 2, 1):
        for n in range(60):
            label = n % 3 == 0
            weigh(made, {v: sure(label if v == right else not label) for v in (1, 2, 3)}, label)
        assert made.leader() == right
        assert made.weight(right) > 0.8


def test_an_expert_without_an_answer_keeps_its_weight_aside() -> None:
    """It neither gains nor loses against those that answer, but for what all share."""
    made = mixture(shares=(1e-9,), late=False)
    for _ in range(50):
        weigh(made, {1: sure(True), 2: sure(False), 3: COLD}, True)
    for weights in made.weights:
        assert weights[2] == pytest.approx(1 / 3, rel=1e-6)
        assert weights[0] > weights[1]


def test_a_newcomer_enters_with_little_and_who_leaves_gives_its_weight_back() -> None:
    """The others keep their proportions."""
    made = mixture(late=False)
    for _ in range(20):
        weigh(made, {1: sure(True), 2: sure(False), 3: sure(False)}, True)
    before = [weights[1] / weights[2] for weights in made.weights]
    made.enter(9)
    assert made.weight(9) < 0.05
    assert made.experts == [1, 2, 3, 9]
    made.leave(1)
    assert made.experts == [2, 3, 9]
    assert [weights[0] / weights[1] for weights in made.weights] == pytest.approx(before)
    assert all(sum(weights) == pytest.approx(1.0) for weights in made.weights)


def test_a_light_expert_is_named_once_its_patience_is_over() -> None:
    """Not before, and not once it is right again."""
    made = mixture(patience=30, floor=0.1, late=False)
    for n in range(80):
        if n < 30:
            assert made.idle() == []
        weigh(made, {1: sure(True), 2: sure(True), 3: sure(False)}, True)
    assert made.idle() == [3]
    for _ in range(200):
        weigh(made, {1: sure(False), 2: sure(False), 3: sure(True)}, True)
    assert 3 not in made.idle()


def test_the_mixture_is_not_far_behind_the_best_expert_on_noise() -> None:
    """The bound of its two levels, on coins that no expert can know: within 1 % of 5,000 labels."""
    dice = random.Random(5)
    made, wrong = mixture(4), dict.fromkeys((0, 1, 2, 3, 4), 0)
    for _ in range(5_000):
        label = dice.random() < 0.5
        answers: dict[int, Any] = {
            v: sure(label if dice.random() < 0.5 + v / 20 else not label) for v in (1, 2, 3, 4)
        }
        mean = sum(w * answers[v][1][True] for v, w in zip(made.experts, made.shown, strict=True))
        wrong[0] += (mean > 0.5) != label
        for v in (1, 2, 3, 4):
            wrong[v] += answers[v][0] != label
        weigh(made, answers, label)
    assert wrong[0] <= min(wrong[v] for v in (1, 2, 3, 4)) + 50


def test_late_answers_move_the_first_level_and_served_ones_the_second() -> None:
    """An expert that was wrong when it served, and is right now, gains; mixers are judged as they served."""
    made = mixture(2)
    served, again = {1: sure(False), 2: sure(True)}, {1: sure(True), 2: sure(False)}
    for _ in range(20):
        made.learn(True, served, again, made.votes(served), 1.0)
    for m, weights in enumerate(made.weights):
        assert (weights[1] > weights[0]) == made.as_served[m]
    served_ones = [trust for trust, as_served in zip(made.trust, made.as_served, strict=True) if as_served]
    assert min(served_ones) == max(made.trust)


def test_values_are_weighed_by_their_errors_whatever_their_scale() -> None:
    """The same errors in other units give the same weights, and an expert that diverged stretches nothing."""
    shown = []
    for scale in (1.0, 1e6):
        made = mixture(3, classify=False, late=False)
        for n in range(50):
            label = float(n)
            answers = {1: (label + 0.1, None), 2: (label + 1.0, None), 3: (1e12, None)}
            scaled = {v: (answer[0] * scale, None) for v, answer in answers.items()}
            weigh(made, scaled, label * scale, 6 * 0.1 * scale)
        assert made.leader() == 1
        shown.append(made.shown)
    assert shown[0] == pytest.approx(shown[1], rel=1e-6)


@pytest.mark.parametrize("classify", [True, False])
def test_a_stored_mixture_goes_on_to_the_bit(classify: bool) -> None:
    """Its votes too, which wait with their rows."""
    dice = random.Random(1)
    made = mixture(classify=classify)
    for n in range(60):
        label: Any = n % 2 == 0 if classify else dice.random()
        answers = {
            v: sure(dice.random() < 0.6, dice.random()) if classify else (dice.random(), None)
            for v in (1, 2, 3)
        }
        votes = pickle.loads(pickle.dumps(made.votes(answers)))
        copy = pickle.loads(pickle.dumps(made))
        for one in (made, copy):
            one.learn(label, answers, None, votes, 1.0)
        assert copy.shown == made.shown
        assert copy.weights == made.weights
        made = copy


@pytest.mark.parametrize(
    "wrong",
    [
        {"rates": ()},
        {"rates": (0.0,)},
        {"shares": (0.5,)},
        {"shares": (0.0,)},
        {"floor": 0.5},
        {"patience": 0},
        {"lead": 0.5},
    ],
    ids=str,
)
def test_a_rule_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    """With what may be given."""
    with pytest.raises(ValueError, match="give"):
        Blend(**wrong)
