"""Admission: exercise a definition on small data and refuse, with its fix, what could not be replayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isfinite
from typing import Any

import msgspec
from river import base, compose, neighbors, proba

from stream_app.models.build import Factory, build
from stream_app.models.calls import ModelFault, bind
from stream_app.models.digest import structural_digest
from stream_app.models.fit import misfit
from stream_app.models.probe import RefillSets, RoundTrip, Storage, answers_of, behaviour, leave
from stream_app.models.sample import Lessons, Row, Terms, samples

SEED = 42
DEEPEST = 8


class Refusal(msgspec.Struct):
    """Why a slot is not admitted, and what to change."""

    slot: str
    reason: str
    fix: str
    raised: bool = False  # on the sample, which may only lack the form that the values have


class Admission(msgspec.Struct):
    """`digest` covers every answer and every model's end: equal in every process, or there is a refusal."""

    digest: str
    refusals: list[Refusal]


def exercise(
    factories: Mapping[str, Factory], terms: Terms, round_trip: RoundTrip, refill_sets: RefillSets = leave
) -> Admission:
    """Run every slot's factory twice; `round_trip` stores a model and loads it as recovery would,
    `refill_sets` lays out the sets of live models as those that are loaded then.
    """
    storage = Storage(round_trip, refill_sets)
    refusals: list[Refusal] = []
    traces: list[str] = []
    for slot, factory in factories.items():
        found, trace = judge(slot, factory, terms, storage)
        refusals += found
        traces += trace
    return Admission(structural_digest(traces), refusals)


def sample_digest(factories: Mapping[str, Factory], terms: Terms) -> str:
    """The digest that `exercise` gives for what it admits, by one run of each model."""
    traces: list[str] = []
    for factory in factories.values():
        found: list[str] = []
        for counts in (False, True):
            for rows, _ in () if found and counts else samples(terms, counts=counts):
                with suppress(ModelFault):
                    found.append(run(build(factory, SEED), rows, terms))
        traces += found
    return structural_digest(traces)


def judge(slot: str, factory: Factory, terms: Terms, storage: Storage) -> tuple[list[Refusal], list[str]]:
    """One slot's refusals, and what two runs of it did to the bit."""
    model, twin = build(factory, SEED), build(factory, SEED)
    found = [Refusal(slot, reason, fix) for reason, fix in static(model, twin, terms.question.task)]
    if found:
        return found, []
    traces: list[str] = []
    faults: list[str] = []
    for sampled in samples(terms):
        found += try_out(slot, factory, sampled, terms, storage, traces, faults)
    for sampled in () if traces else samples(terms, counts=True):  # models that take counts alone
        found += try_out(slot, factory, sampled, terms, storage, traces, faults)
    if not traces:
        found.append(Refusal(slot, f"the model raised on sample data ({faults[0]})", way_out(terms), True))
    return list({refusal.reason: refusal for refusal in found}.values()), traces


def try_out(
    slot: str,
    factory: Factory,
    sampled: tuple[Lessons, Lessons],
    terms: Terms,
    storage: Storage,
    traces: list[str],
    faults: list[str],
) -> list[Refusal]:
    """Two runs over one sample: what they did goes to `traces`, or why it cannot be run to `faults`."""
    rows, after = sampled
    model, twin = build(factory, SEED), build(factory, SEED)
    try:
        trace, again = run(model, rows, terms), run(twin, rows, terms)
    except ModelFault as fault:
        faults.append(f"{fault}{raised_in(model, fault, rows[-1][0])}")
        return []
    traces.append(trace)
    if trace != again:
        reason = "two models of one seed answer differently"
        return [Refusal(slot, reason, "pass the factory's seed on to every random part")]
    young = build(factory, SEED)
    bind(young, terms.question).learn(*rows[0], 1.0)
    return [
        Refusal(slot, reason, fix)
        for learner, seen in ((model, rows), (young, rows[:1]))
        for reason, fix in behaviour(learner, seen, after, terms.question, storage)
    ]


def way_out(terms: Terms) -> str:
    """What helps a model that cannot take the sample."""
    if terms.rows:
        fix = "correct the rows of sample=, or the part of the pipeline that raised"
    elif terms.types:
        fix = "give rows as they will come, sample=[{'name': value, …}, …], where values need a form or range"
    else:
        fix = (
            "declare types={'name': 'number'|'string'|'bool'} for the features that the model needs, or give "
            "rows as they will come: sample=[{'name': value, …}, …]"
        )
    if terms.classes and not all(isinstance(label, bool) for label in terms.classes):
        fix = f"if the model takes booleans only, send true and false and leave classes= out; else {fix}"
    if terms.weighted:
        fix += "; give class weights only to models that take w="
    return fix


def raised_in(model: Any, fault: ModelFault, row: Row) -> str:
    """The innermost part of the model that raised or gave NaN, in words; empty where there is none."""
    error = fault.__cause__
    trace = error.__traceback__ if error is not None else None
    part = None if error is not None else not_finite(model, row)
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        part = owner if isinstance(owner, base.Estimator) and owner is not model else part
        trace = trace.tb_next
    return f", in {type(part).__name__}" if part is not None else ""


def not_finite(model: Any, row: Row) -> Any:
    """The first transformer of a pipeline that gives a NaN or an infinity; None where none does."""
    for step in model.steps.values() if isinstance(model, compose.Pipeline) else ():
        if not hasattr(step, "transform_one"):
            return None
        row = step.transform_one(row)
        if not all(isfinite(value) for value in row.values() if isinstance(value, float)):
            return step
    return None


def static(model: Any, twin: Any, task: str) -> Iterator[tuple[str, str]]:
    """What can be said before anything runs: reason and fix."""
    if model is twin:
        yield "the factory gives the same object twice", "build the model inside the lambda"
    elsewhere = misfit(model, task)
    if elsewhere is not None:
        yield elsewhere
        return
    for part in parts(model):
        if isinstance(part, proba.base.Distribution) or getattr(part, "seed", SEED) is not None:
            continue  # a distribution's dice serve sample() alone, which no model calls
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


def run(model: Any, rows: Lessons, terms: Terms) -> str:
    """The digest of every answer on the sample, and of the model at its end.

    Raises:
        ModelFault: a row could not be learned, or no row of the second half was answered.
    """
    answers, fault = answers_of(bind(model, terms.question), rows, 2.0 if terms.weighted else 1.0)
    if fault is not None:
        raise fault
    return structural_digest([answers, model])
