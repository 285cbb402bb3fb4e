"""Hoeffding trees: each split on the path moves the answer from its node's to the next node's."""

from __future__ import annotations

from math import isclose
from typing import Any, Final

from river.tree.base import Branch
from river.tree.hoeffding_tree import HoeffdingTree

from stream_app.models.explanations.explanation import summed

ROUNDING: Final = 1e-12  # leaves divide in another order


class Paths:
    """The paths of a row through a tree; adaptive trees ask the leaves of alternate trees as well."""

    def __init__(self, tree: HoeffdingTree, row: dict[Any, Any], about: Any) -> None:
        self.tree, self.row, self.about = tree, row, about
        root: Any = tree._root  # noqa: SLF001  # River has no public way in
        self.paths = [] if root is None else paths(root, row)

    def terms(self) -> tuple[dict[Any, float], bool]:
        """Give each feature's part, the weighted mean over all paths, and whether they are the whole answer.

        They are not where leaves hold models, whose features count by removal.
        """
        found: dict[Any, float] = {}
        exact = bool(self.paths)
        masses = [self.mass(path[-1]) for path in self.paths]
        for path, mass in zip(self.paths, masses, strict=True):
            values = [self.value(node) for node in path]
            parts: dict[Any, float] = {}
            for node, here, there in zip(path, values, values[1:], strict=False):
                if isinstance(node, Branch) and there != here:
                    parts = summed(parts, {node.feature: there - here})  # type: ignore[attr-defined]
            leaf = path[-1]
            full = self.answer(leaf, self.row)
            if not isclose(full, values[-1], rel_tol=ROUNDING):
                exact = False
                for name in self.row:
                    rest = {other: value for other, value in self.row.items() if other != name}
                    parts = summed(parts, {name: full - self.answer(leaf, rest)})
            found = summed(found, parts, mass / sum(masses))
        return found, exact

    def value(self, node: Any) -> float:
        """What a node alone would answer: its share of the class, or its mean."""
        if self.about is None:
            return float(node.stats.mean.get())
        total = sum(node.stats.values())
        return node.stats.get(self.about, 0.0) / total if total else 0.0

    def answer(self, leaf: Any, row: dict[Any, Any]) -> float:
        """What a leaf answers to a row."""
        found = leaf.prediction(row, tree=self.tree)
        if self.about is None:
            return float(found)
        total = sum(found.values())
        return found.get(self.about, 0.0) / total if total else 0.0

    def mass(self, leaf: Any) -> float:
        """The weight of a leaf's answer: adaptive classifiers weigh by how good a leaf is."""
        return 1.0 if self.about is None else float(sum(leaf.prediction(self.row, tree=self.tree).values()))


def paths(root: Any, row: dict[Any, Any]) -> list[list[Any]]:
    """From the root to each leaf that is asked."""
    if not isinstance(root, Branch):
        return [[root]]
    walked = list(root.walk(row, until_leaf=True))
    alternates = [getattr(node, "_alternate_tree", None) for node in walked]
    return [*([*walked[:place], one] for place, one in enumerate(alternates) if one), walked]
