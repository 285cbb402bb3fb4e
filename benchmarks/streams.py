"""Streams whose concept changes at known events, and stationary controls, from River's generators."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import exp
from typing import Any

from river.datasets import synth

Row = tuple[dict[str, Any], Any]
Make = Callable[[int, int], list[Row]]  # (seed, events) → rows
WIDTH = 0.2  # of a stream, over which a gradual change happens


def agrawal(function: int, seed: int) -> Iterable[Row]:
    """Loan applications; `function` is the concept."""
    return synth.Agrawal(classification_function=function, seed=seed, perturbation=0.05)


def sea(variant: int, seed: int) -> Iterable[Row]:
    """Three numbers against a threshold; one label in ten is wrong."""
    return synth.SEA(variant=variant, seed=seed, noise=0.1)


def stagger(function: int, seed: int) -> Iterable[Row]:
    """Three categories and a rule."""
    return synth.STAGGER(classification_function=function, seed=seed)


def sine(function: int, seed: int) -> Iterable[Row]:
    """Two numbers and a curve; functions 0 and 1 are opposites."""
    return synth.Sine(classification_function=function, seed=seed)


def mixed(function: int, seed: int) -> Iterable[Row]:
    """Booleans and numbers; functions 0 and 1 are opposites."""
    return synth.Mixed(classification_function=function, seed=seed)


def rbf(model: int, seed: int) -> Iterable[Row]:
    """Thirty clouds of points in ten dimensions."""
    return synth.RandomRBF(seed_model=model, seed_sample=seed, n_features=10, n_centroids=30)


def moving_rbf(seed: int) -> Iterable[Row]:
    """The same with half of the clouds on the move."""
    return synth.RandomRBFDrift(
        seed_model=seed, seed_sample=seed, n_features=10, n_centroids=30, change_speed=0.001,
        n_drift_centroids=15,
    )  # fmt: skip


def hyperplane(seed: int) -> Iterable[Row]:
    """A plane that turns slowly in half of its ten dimensions."""
    return synth.Hyperplane(seed=seed, n_features=10, n_drift_features=5, mag_change=0.001)


def plain(rows: Iterable[Row], n: int) -> Iterator[Row]:
    """The first n rows with the names and values that JSON knows."""
    for x, y in islice(iter(rows), n):
        features = {str(name): getattr(value, "item", lambda v=value: v)() for name, value in x.items()}
        yield features, getattr(y, "item", lambda v=y: v)()


def abrupt(*concepts: Callable[[int], Iterable[Row]]) -> Make:
    """One concept after the other, equally long."""

    def make(seed: int, n: int) -> list[Row]:
        part = n // len(concepts)
        return [row for i, one in enumerate(concepts) for row in plain(one(seed + 100 * i), part)]

    return make


def gradual(before: Callable[[int], Iterable[Row]], after: Callable[[int], Iterable[Row]]) -> Make:
    """From one concept to the other, ever more rows of the second around the middle."""

    def make(seed: int, n: int) -> list[Row]:
        dice = random.Random(seed)
        old, new = plain(before(seed), n), plain(after(seed + 100), n)
        rows = []
        for i in range(n):
            share = 1 / (1 + exp(-4 * (i - n / 2) / (WIDTH * n)))
            rows.append(next(new) if dice.random() < share else next(old))
        return rows

    return make


STREAMS: dict[str, Make] = {
    "agrawal abrupt": abrupt(lambda s: agrawal(0, s), lambda s: agrawal(2, s)),
    "agrawal gradual": gradual(lambda s: agrawal(0, s), lambda s: agrawal(2, s)),
    "agrawal recurring": abrupt(*(lambda s, f=f: agrawal(f, s) for f in (0, 2, 0, 2))),  # type: ignore[misc]
    "sea abrupt": abrupt(lambda s: sea(0, s), lambda s: sea(3, s)),
    "sea gradual": gradual(lambda s: sea(0, s), lambda s: sea(2, s)),
    "stagger abrupt": abrupt(lambda s: stagger(0, s), lambda s: stagger(1, s)),
    "stagger recurring": abrupt(*(lambda s, f=f: stagger(f, s) for f in (0, 1, 2, 0))),  # type: ignore[misc]
    "sine abrupt": abrupt(lambda s: sine(0, s), lambda s: sine(1, s)),
    "mixed recurring": abrupt(*(lambda s, f=f: mixed(f, s) for f in (0, 1, 0, 1))),  # type: ignore[misc]
    "rbf abrupt": abrupt(lambda s: rbf(s, s), lambda s: rbf(s + 50, s)),
    "rbf moving": abrupt(moving_rbf),
    "hyperplane": abrupt(hyperplane),
    "agrawal stationary": abrupt(lambda s: agrawal(0, s)),
    "sea stationary": abrupt(lambda s: sea(1, s)),
    "rbf stationary": abrupt(lambda s: rbf(s, s)),
}
STATIONARY = {"agrawal stationary", "sea stationary", "rbf stationary"}
