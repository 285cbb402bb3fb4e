"""From what the last step of a pipeline gets, back to the user's features."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, NamedTuple

from river import compose, preprocessing

from stream_app.errors import MACHINE

Row = dict[Any, Any]
MOST_TRIED: Final = 64  # features of a row whose absence is tried, which takes a transformation each


def steps_of(model: Any) -> list[Any]:
    """The steps of a pipeline, of those inside it too; a model that is none is its own only step."""
    if type(model) is not compose.Pipeline:  # River's isinstance costs as much as a prediction
        return [model]
    steps = list(model.steps.values())
    if compose.Pipeline in map(type, steps):
        steps = [inner for step in steps for inner in steps_of(step)]
    return steps


class Transformed:
    """A row as the last step of a pipeline gets it, `row`, and where each of its features comes from."""

    def __init__(self, transformers: list[Any], row: Row) -> None:
        self.stages: list[Stage] = []  # the transformers that do not keep all names
        for transformer in transformers:
            if hasattr(transformer, "transform_one"):  # an anomaly filter has none, and changes nothing
                made = transformer.transform_one(row)
                if made.keys() != row.keys():
                    self.stages.append(Stage(transformer, row, made))
                row = made
        self.row = row

    def terms(self, found: dict[Any, float]) -> tuple[dict[str, float], bool]:
        """Give terms back to the user's features, and whether each came from one alone; else in equal parts.

        What comes from no feature, such as a bias, keeps its own name.
        """
        alone = True
        for stage in reversed(self.stages):
            moving = {name: term for name, term in found.items() if term}
            sources = stage.sources(moving)
            found = {}
            for name, term in moving.items():
                behind = sources.get(name) or [name]
                alone = alone and len(behind) == 1
                for source in behind:
                    found[source] = found.get(source, 0.0) + term / len(behind)
        return found, alone


class Stage(NamedTuple):
    """A transformer, and what it made of a row."""

    transformer: Any
    before: Row
    made: Row

    def sources(self, names: Iterable[Any]) -> dict[Any, list[Any]]:
        """By name of what was made, the features without which it would be another one.

        What was passed on as it was, and what one-hot encoding made, is known without trying; at most
        `MOST_TRIED` features are tried.
        """
        encoded = {}
        if type(self.transformer) is preprocessing.OneHotEncoder:
            encoded = {f"{name}_{value}": name for name, value in self.before.items()}
        found: dict[Any, list[Any]] = {}
        unknown = []
        for name in names:
            if name in self.before and self.made[name] is self.before[name]:
                found[name] = [name]
            elif name in encoded:
                found[name] = [encoded[name]]
            else:
                unknown.append(name)
        for one in islice(self.before, MOST_TRIED) if unknown else ():
            rest = self.without(one)
            for name in unknown:
                if rest.get(name) != self.made.get(name):
                    found.setdefault(name, []).append(one)
        for name in unknown:  # a category that the row does not have is 0, whatever one takes away
            prefixes = [one for one, value in self.before.items() if type(value) is str]
            prefixes = [one for one in prefixes if str(name).startswith(f"{one}_")]
            if name not in found and prefixes:
                found[name] = [max(prefixes, key=len)]
        return found

    def without(self, name: Any) -> Row:
        """What is made of the row without a feature, or with another value where that raises.

        Nothing where both raise: then all of it depends on the feature.
        """
        rest = {one: value for one, value in self.before.items() if one != name}
        for row in (rest, {**self.before, name: another(self.before[name])}):
            try:
                made: Row = self.transformer.transform_one(row)
            except MACHINE:
                raise
            except Exception:  # noqa: BLE001, S112  # a selection raises what it lacks, a user's function anything
                continue
            return made
        return {}


def another(value: Any) -> Any:
    """Another value of the kind.

    >>> another(True), another(2.0), another("PT")
    (False, 5.0, '~')
    """
    if isinstance(value, bool):
        return not value
    return "~" if isinstance(value, str) else value * 2 + 1
