"""Admission: exercise a definition on small data and refuse, with its fix, what could not be replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import sin
from typing import Any

import msgspec
from river import base, compose, neighbors

from stream_app.models.build import Factory, build
from stream_app.models.calls import ModelFault, bind
from stream_app.models.digest import structural_digest

ROWS = 240  # past the grace period of River's trees, so that they split
AFTER = 60  # that a model and its stored copy learn alike
SEED = 42
DEEPEST = 8
WANTED: dict[str, tuple[type, ...]] = {
    "binary": (base.Classifier,),
    "multiclass": (base.Classifier,),
    "regression": (base.Regressor,),
    "anomaly": (base.AnomalyDetector,),
}
Row = dict[str, Any]
RoundTrip = Callable[[Any], Any]


class Refusal(msgspec.Struct):
    """Why a slot is not admitted, and what to change."""

    slot: str
    reason: str
    fix: str


class Admission(msgspec.Struct):
    """`digest` covers every answer and every model's end: equal in every process, or there is a refusal."""

    digest: str
    refusals: list[Refusal]


class Terms(msgspec.Struct):
    """What of a definition decides the sample; `types` maps feature names to number, string or bool."""

    task: str
    threshold: float | None
    weighted: bool
    types: Mapping[str, str]


def exercise(factories: Mapping[str, Factory], terms: Terms, round_trip: RoundTrip) -> Admission:
    """Run every slot's factory twice; `round_trip` stores a model and loads it as recovery would, and leaves
    the sets of the live one laid out alike.
    """
    refusals: list[Refusal] = []
    traces: list[str] = []
    for slot, factory in factories.items():
        found, trace = judge(slot, factory, terms, round_trip)
        refusals += found
        traces += trace
    return Admission(structural_digest(traces), refusals)


def judge(
    slot: str, factory: Factory, terms: Terms, round_trip: RoundTrip
) -> tuple[list[Refusal], list[str]]:
    """One slot's refusals, and what two runs of it did to the bit."""
    model, twin = build(factory, SEED), build(factory, SEED)
    found = [Refusal(slot, reason, fix) for reason, fix in static(model, twin, terms.task)]
    if found:
        return found, []
    traces: list[str] = []
    faults: list[ModelFault] = []
    for sampled in samples(terms):
        rows, after = sampled[:ROWS], sampled[ROWS:]
        model, twin = build(factory, SEED), build(factory, SEED)
        try:
            trace, again = run(model, rows, terms), run(twin, rows, terms)
        except ModelFault as fault:
            faults.append(fault)
            continue
        traces.append(trace)
        if trace != again:
            reason = "two models of one seed answer differently"
            return [Refusal(slot, reason, "pass the factory's seed on to every random part")], traces
        row = rows[0][0]
        odd = behaviour(model, row, after, terms, round_trip)
        found += [Refusal(slot, reason, fix) for reason, fix in odd]
    if not traces:
        fix = "declare types={'name': 'number'|'string'|'bool'} for the features that the model needs"
        if terms.weighted:
            fix += "; give class weights only to models that take w="
        found.append(Refusal(slot, f"the model raised on sample data ({faults[0]})", fix))
    return found, traces


def static(model: Any, twin: Any, task: str) -> Iterator[tuple[str, str]]:
    """What can be said before anything runs: reason and fix."""
    if model is twin:
        yield "the factory gives the same object twice", "build the model inside the lambda"
    answering = model
    while isinstance(answering, compose.Pipeline):
        answering = list(answering.steps.values())[-1]
    if not isinstance(answering, WANTED[task]):
        yield f"{type(answering).__name__} does not fit task {task!r}", f"choose a model for {task}"
    for part in parts(model):
        if getattr(part, "seed", SEED) is not None:
            continue
        if isinstance(part, neighbors.SWINN):
            fix = "pass engine=neighbors.LazySearch(window_size=…)"
            yield "the default engine of nearest neighbours rolls unseeded dice", fix
        else:
            yield f"{type(part).__name__} is random and has no seed", "pass seed=seed from the factory"
        return


def parts(model: Any, depth: int = 0) -> Iterator[Any]:
    """A model and the estimators inside it, outermost first."""
    yield model
    if depth == DEEPEST:
        return
    for value in getattr(model, "__dict__", {}).values():
        inner = (
            value.values()
            if isinstance(value, dict)
            else value
            if isinstance(value, list | tuple)
            else [value]
        )
        for item in inner:
            if isinstance(item, base.Base):
                yield from parts(item, depth + 1)


def behaviour(
    model: Any, row: Row, after: list[tuple[Row, Any]], terms: Terms, round_trip: RoundTrip
) -> Iterator[tuple[str, str]]:
    """After some learning: prediction must not change the model, and a snapshot must bring it back."""
    calls = bind(model, terms.task, terms.threshold)
    before = structural_digest(model)
    calls.predict(row)
    if structural_digest(model) != before:
        yield (
            "predicting changes the model",
            "do without learn_during_predict and models that learn to predict",
        )
        return
    try:
        twin = round_trip(model)
    except Exception as error:
        fix = "use named functions and classes of the definition's own module inside models"
        yield f"a snapshot cannot hold the model ({error})", fix
        return
    if bind(twin, terms.task, terms.threshold).predict(row) != calls.predict(row):
        yield "the model answers differently after a snapshot", "tell the model's authors; use another"
    elif goes_on(twin, after, terms) != goes_on(model, after, terms):
        fix = "let the model hold no frozenset, store no copy of a set, and take no members from one by pop()"
        yield "the model goes on differently after a snapshot", fix


def run(model: Any, rows: list[tuple[Row, Any]], terms: Terms) -> str:
    """The digest of every answer on the sample, and of the model at its end."""
    return structural_digest([answers(model, rows, terms), model])


def goes_on(model: Any, rows: list[tuple[Row, Any]], terms: Terms) -> str:
    """What the model answers, to the bit, or how it fails."""
    try:
        return repr(answers(model, rows, terms))
    except ModelFault as fault:
        return str(fault)


def answers(model: Any, rows: list[tuple[Row, Any]], terms: Terms) -> list[Any]:
    """What the model answers, each row before it learns it."""
    calls = bind(model, terms.task, terms.threshold)
    said: list[Any] = []
    for row, label in rows:
        said.append(calls.predict(row))
        calls.learn(row, label, 2.0 if terms.weighted else 1.0)
    return said


def samples(terms: Terms) -> Iterator[list[tuple[Row, Any]]]:
    """Rows of the declared features; without a declaration numbers, then numbers and a string. Strings are of
    three colours, then never the same.
    """
    if terms.types:
        yield sample(terms.task, terms.types)
        if "string" in terms.types.values():
            yield sample(terms.task, terms.types, many=True)
    else:
        numbers = dict.fromkeys("abcd", "number")
        yield sample(terms.task, numbers)
        yield sample(terms.task, {**numbers, "s": "string"})
        yield sample(terms.task, {**numbers, "s": "string"}, many=True)


def sample(task: str, types: Mapping[str, str], *, many: bool = False) -> list[tuple[Row, Any]]:
    """Deterministic rows without dice: incommensurable sines, a change of concept in the middle."""
    rows: list[tuple[Row, Any]] = []
    for i in range(ROWS + AFTER):
        text = f"{i * 7_919:x}" if many else ("red", "green", "blue")[i % 3]
        waves = [sin(i * (0.37 + 0.61 * place) + place) for place in range(len(types))]
        row: Row = {}
        for (name, kind), wave in zip(types.items(), waves, strict=True):
            row[name] = wave if kind == "number" else wave > 0 if kind == "bool" else text
        score = waves[0] - 0.5 * waves[-1] if i < ROWS // 2 else waves[-1] - waves[0]
        label: Any = score > 0
        if task == "multiclass":
            label = "low" if score < -0.4 else "middle" if score < 0.4 else "high"
        elif task == "regression":
            label = 3 * score
        rows.append((row, label))
    return rows
