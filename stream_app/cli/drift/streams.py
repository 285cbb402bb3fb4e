"""Streams from River's generators whose concept changes at known events, and stationary controls.

Each is scored by one HoeffdingTree that predicts, then learns, and is never replaced: its 0/1 losses are what
detectors are fed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from river import tree
from river.datasets import synth

from stream_app.cli.drift.card import Drift

Row = tuple[dict[Any, Any], Any]
Concept = Callable[[int], Iterable[Row]]  # by seed
RAMP = 5  # a gradual change takes a fifth of the stream
NEW_DICE = 100  # added to the seed of each further concept
ABRUPT, GRADUAL, RECURRING, MOVING, STATIONARY = "abrupt", "gradual", "recurring", "moving", "stationary"
KINDS = (ABRUPT, GRADUAL, RECURRING, MOVING, STATIONARY)


class Stream(NamedTuple):
    """`rows` by seed and length; `drifts` by length."""

    kind: str
    rows: Callable[[int, int], Iterator[Row]]
    drifts: Callable[[int], list[Drift]]


def agrawal(function: int) -> Concept:
    """Loan applications, judged by one of ten rules."""
    return lambda seed: synth.Agrawal(classification_function=function, seed=seed, perturbation=0.05)


def sea(variant: int) -> Concept:
    """Three numbers against a threshold; one label in ten is wrong."""
    return lambda seed: synth.SEA(variant=variant, seed=seed, noise=0.1)


def stagger(function: int) -> Concept:
    """Three categories and a rule."""
    return lambda seed: synth.STAGGER(classification_function=function, seed=seed)


def sine(function: int) -> Concept:
    """Two numbers and a curve; functions 0 and 1 are opposites."""
    return lambda seed: synth.Sine(classification_function=function, seed=seed)


def mixed(function: int) -> Concept:
    """Booleans and numbers; functions 0 and 1 are opposites."""
    return lambda seed: synth.Mixed(classification_function=function, seed=seed)


def rbf(model: int) -> Concept:
    """Thirty clouds of points in ten dimensions; `model` places them."""
    return lambda seed: synth.RandomRBF(
        seed_model=seed + model, seed_sample=seed, n_features=10, n_centroids=30
    )


def moving_rbf(seed: int) -> Any:
    """The same, half of them ready to move."""
    return synth.RandomRBFDrift(
        seed_model=seed, seed_sample=seed, n_features=10, n_centroids=30, n_drift_centroids=15
    )


def hyperplane(seed: int) -> Any:
    """A plane that can turn in half of its ten dimensions, always the same way."""
    return synth.Hyperplane(seed=seed, n_features=10, n_drift_features=5, sigma=0.0)


def turns(*concepts: Concept, kind: str = ABRUPT) -> Stream:
    """One concept after the other, equally long."""

    def rows(seed: int, n: int) -> Iterator[Row]:
        for place, concept in enumerate(concepts):
            part = (place + 1) * n // len(concepts) - place * n // len(concepts)
            yield from islice(iter(concept(seed + NEW_DICE * place)), part)

    def drifts(n: int) -> list[Drift]:
        starts = [place * n // len(concepts) for place in range(1, len(concepts))]
        return [Drift(start, start) for start in starts]

    return Stream(kind, rows, drifts)


def gradual(before: Concept, after: Concept) -> Stream:
    """From the middle on ever more rows of the second concept, after a fifth of the stream all of them."""

    def rows(seed: int, n: int) -> Iterator[Row]:
        dice = random.Random(seed)  # noqa: S311  # a made-up stream keeps no secret
        old, new = iter(before(seed)), iter(after(seed + NEW_DICE))
        for i in range(n):
            yield next(new) if dice.random() < (i - n // 2) / (n / RAMP) else next(old)

    return Stream(GRADUAL, rows, lambda n: [Drift(n // 2, n // 2 + n // RAMP)])


def moving(make: Callable[[int], Any], speed: str, value: float) -> Stream:
    """A concept that stands still until the middle and moves from then on: the generator reads its speed anew
    for each row.
    """

    def rows(seed: int, n: int) -> Iterator[Row]:
        generator = make(seed)
        for i, row in enumerate(islice(iter(generator), n)):
            if i == n // 2 - 1:
                setattr(generator, speed, value)
            yield row

    return Stream(MOVING, rows, lambda n: [Drift(n // 2, n)])


STREAMS: dict[str, Stream] = {
    "sea abrupt": turns(sea(0), sea(3)),
    "agrawal abrupt": turns(agrawal(0), agrawal(2)),
    "stagger abrupt": turns(stagger(0), stagger(1)),
    "sine abrupt": turns(sine(0), sine(1)),
    "rbf abrupt": turns(rbf(0), rbf(50)),
    "sea gradual": gradual(sea(0), sea(2)),
    "agrawal gradual": gradual(agrawal(0), agrawal(2)),
    "agrawal recurring": turns(*map(agrawal, (0, 2, 0, 2)), kind=RECURRING),
    "stagger recurring": turns(*map(stagger, (0, 1, 2, 0)), kind=RECURRING),
    "mixed recurring": turns(*map(mixed, (0, 1, 0, 1)), kind=RECURRING),
    "rbf moving": moving(moving_rbf, "change_speed", 0.001),
    "hyperplane moving": moving(hyperplane, "mag_change", 0.001),
    "sea stationary": turns(sea(1), kind=STATIONARY),
    "agrawal stationary": turns(agrawal(0), kind=STATIONARY),
    "stagger stationary": turns(stagger(1), kind=STATIONARY),
    "rbf stationary": turns(rbf(0), kind=STATIONARY),
    "hyperplane stationary": turns(hyperplane, kind=STATIONARY),
}


def losses(stream: Stream, seed: int, n: int) -> list[float | None]:
    """The tree's 0/1 losses, each taken before the row is learned; None while it has nothing to say."""
    model, found = tree.HoeffdingTreeClassifier(), list[float | None]()
    for x, y in stream.rows(seed, n):
        said = model.predict_one(x)
        found.append(None if said is None else float(said != y))
        model.learn_one(x, y)
    return found
