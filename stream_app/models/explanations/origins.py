"""From what the last step of a pipeline gets, back to the user's features."""

from __future__ import annotations

from typing import Any

from river import compose

from stream_app.errors import MACHINE

Row = dict[Any, Any]


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
        self.users = row
        self.renamed: list[tuple[Any, Row, Row]] = []  # the transformers that do not keep all names
        for transformer in transformers:
            if hasattr(transformer, "transform_one"):  # an anomaly filter has none, and changes nothing
                made = transformer.transform_one(row)
                if made.keys() != row.keys():
                    self.renamed.append((transformer, row, made))
                row = made
        self.row = row

    def terms(self, found: dict[Any, float]) -> dict[str, float]:
        """Give terms back to the features that they come from, in equal parts where there are several."""
        if not self.renamed:
            return found
        terms: dict[str, float] = {}
        for name, term in found.items():
            if name in self.users:
                terms[name] = terms.get(name, 0.0) + term
            elif term:
                sources = self.sources(name)
                for source in sources:
                    terms[source] = terms.get(source, 0.0) + term / len(sources)
        return terms

    def sources(self, name: Any) -> list[Any]:
        """The user's features behind a transformed one; its own name where there are none, such as a bias."""
        names = [name]
        for transformer, before, made in reversed(self.renamed):
            names = list(
                dict.fromkeys(source for one in names for source in behind(transformer, before, made, one))
            )
        return names


def behind(transformer: Any, before: Row, made: Row, name: Any) -> list[Any]:
    """What a transformer made a feature of: by its name, else those without which it is another one."""
    if name in before:
        return [name]
    prefixes = [one for one in before if str(name).startswith(f"{one}_")]  # as one-hot encoding names them
    if len(prefixes) == 1:
        return prefixes
    found = [one for one in before if without(transformer, before, one).get(name) != made[name]]
    return found or [name]


def without(transformer: Any, before: Row, name: Any) -> Row:
    """What a transformer makes of a row that lacks a feature; nothing where it cannot do without."""
    try:
        made: Row = transformer.transform_one({one: value for one, value in before.items() if one != name})
    except MACHINE:
        raise
    except Exception:  # noqa: BLE001  # the user's function may need the feature: then all of it depends on it
        return {}
    return made
