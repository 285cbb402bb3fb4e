"""A model's receipt in plain words: why it serves, what it replaced, and what spoke for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from stream_app.errors import printable
from stream_app.inspect.model_status import Shard, Standing
from topics.records import ModelReceipt

LOSSES = {
    "zero_one": "the share of wrong answers",
    "log": "log loss, where 0 is sure and right and 1 is sure and wrong",
    "brier": "Brier score, where 0 is sure and right and 1 is sure and wrong",
    "absolute": "the absolute error, where 1 is six typical errors of the better answers, or worse",
}
TOOK_OVER = "took over"  # how it ends the why of a champion that was replaced
BACK = ("rollback:", "rolled back by")  # how `stream_app.flow.swap` begins the why of one
KINDS = {
    "declared": "a model of the definition",
    "fresh": "a candidate that began with nothing learned",
    "warm": "a candidate that had learned the newest examples before it began",
}
UNITS = {"absolute": ", as a mean error", "": ", as a share of wrong answers"}
HUNT = re.compile(r"\bhunt (\d+)")  # in what the receipts of its candidates say
SURE = 1e6  # beyond, digits are of no use to a reader
T = TypeVar("T")


class Alarm(msgspec.Struct):
    """What a receipt's evidence holds of the alarm that began the hunt."""

    detector: str
    signal: str
    before: float
    after: float
    features: list[tuple[str, float]] = []


class Comparison(msgspec.Struct):
    """What it holds of the comparison; mean losses over the same `pairs` of answers."""

    e_value: float
    threshold: float
    pairs: int
    champion_loss: float
    rival_loss: float
    hunt: int = 0


class Order(msgspec.Struct):
    """What it holds of an operator's order."""

    command_id: str
    actor: str
    reason: str


def part(receipt: ModelReceipt, kind: type[T]) -> T | None:
    """A part of a receipt's evidence, None where it holds none."""
    try:
        return msgspec.convert(receipt.evidence, kind)
    except msgspec.ValidationError:
        return None


def why(shard: Shard, model: Standing, loss: str | None) -> list[str]:
    """Sentences, safe to print. `loss` is what the definition's swaps judge."""
    receipt = shard.receipts[model.version]
    sentences = [*standing(shard, model, receipt), *reasons(shard, model, receipt, loss), *scores(receipt)]
    return [printable(sentence) for sentence in sentences]


def standing(shard: Shard, model: Standing, receipt: ModelReceipt) -> Iterator[str]:
    """What the model is and since when."""
    me = name(shard, model.version)
    what = KINDS.get(model.kind, f"a model of kind {model.kind}")
    if model.weight is not None and model.status != "retired":
        part = "leads the blend" if model.status == "serving" else "is a part of the blend"
        yield f"{me} {part} since {moment(receipt.time_ms)}. It is {what}."
    elif model.status == "serving":
        yield f"{me} serves since {moment(receipt.time_ms)}. It is {what}."
    elif model.status == "retired":
        when = "is gone" if model.since_ms is None else f"ended at {moment(model.since_ms)}"
        yield f"{me} {when}: {model.why}. It was {what}."
    elif receipt.status == "serving":
        until = "" if model.since_ms is None else f" until {moment(model.since_ms)}"
        yield (
            f"{me} served from {moment(receipt.time_ms)}{until}. It learns on beside the model that "
            "serves, and may come back if it proves to lose less."
        )
    elif receipt.status == "challenger" and receipt.why.endswith(TOOK_OVER):
        yield (
            f"{me} served until {moment(receipt.time_ms)}: {receipt.why}. It learns on beside the model that "
            "serves, and may come back if it proves to lose less."
        )
    elif model.status == "candidate":
        yield (
            f"{me} learns since {moment(receipt.time_ms)} beside the model that serves, on the same rows. "
            f"It is {what}, and takes over only if the evidence says that it loses less."
        )
    else:
        yield (
            f"{me} is a challenger of the definition since {moment(receipt.time_ms)}: it predicts and learns "
            "the same events in the shadow of the model that serves."
        )
    if model.weight is not None:
        yield from weighed(shard, model)
    if model.failed is not None:
        yield f"It has failed and is out of every race: {model.failed}."


def weighed(shard: Shard, model: Standing) -> Iterator[str]:
    """Its part in a blend, beside the others'."""
    others = sorted(
        (one for one in shard.living() if one.weight is not None and one.version != model.version),
        key=lambda one: -(one.weight or 0.0),
    )
    texts = [f"{name(shard, one.version)} {one.weight:.1%}" for one in others]
    beside = f", beside {', '.join(texts)}" if texts else ""
    own = "" if shard.blend is None or not shard.blend.rolling else f", with {score(shard.blend.rolling)}"
    yield (
        f"The models of this shard answer as one, a blend{own}: the mean of their answers by their weights. "
        f"Its weight is {model.weight:.1%}{beside}."
    )
    yield (
        "Weights follow what each model was right about, in the newest labels above all. The one with the "
        "most weight leads; that another leads is written once it has clearly more."
    )


def reasons(shard: Shard, model: Standing, receipt: ModelReceipt, loss: str | None) -> Iterator[str]:
    """Why the receipt was written, by its kind."""
    order, test, alarm = part(receipt, Order), part(receipt, Comparison), part(receipt, Alarm)
    back = receipt.status == "serving" and receipt.why.startswith(BACK)
    other = name(shard, receipt.parent) if receipt.parent is not None else None
    if receipt.status == "retired":
        if other is not None and shard.blend is None:
            yield f"It was started to replace {other}."
        return
    if receipt.status == "challenger":
        return
    if receipt.status == "candidate":
        if shard.blend is not None:
            yield f"It joined the blend: {receipt.why}."
        elif other is not None:
            yield f"It was started to replace {other} ({receipt.why})."
        yield from alarmed(alarm, loss)
        return
    if model.weight is not None:
        if other is not None:
            yield f"{other} led before. The reason: {receipt.why}."
        return
    if receipt.parent is None:
        yield f"It replaced no other model ({receipt.why}), so no evidence was asked for."
        yield from alarmed_since(shard, model, loss)
        return
    yield f"It came back in place of {other}." if back else f"It replaced {other}."
    if order is not None:
        yield f"{order.actor} ordered it: {order.reason}. An order asks for no evidence."
        return
    if not back:
        yield from alarmed(alarm, loss, standing=model.kind == "declared")
    if test is not None:
        yield from compared(model, receipt, test, loss)
    else:
        yield f"No evidence was asked for: {receipt.why}."
    yield from alarmed_since(shard, model, loss)


def alarmed_since(shard: Shard, model: Standing, loss: str | None) -> Iterator[str]:
    """Alarms of the losses of the model that serves, and what became of the hunts that they opened."""
    if model.status != "serving":
        return
    newest = next((one for one in shard.alarms if one.name == model.slot), None)
    if newest is None and model.parent is None:
        yield "No alarm of its losses is known."
    elif newest is not None:
        unit = UNITS["absolute" if loss == "absolute" else ""]
        yield (
            f"The newest alarm of its losses came at {moment(newest.at_ms)}: {newest.detector} saw "
            f"{number(newest.before)} before, {number(newest.after)} after{unit}."
        )
    rivals = [receipt for receipt in shard.receipts.values() if receipt.parent == model.version]
    hunts = {hunt for receipt in rivals for hunt in HUNT.findall(receipt.why)}
    if hunts:
        times = f"{len(hunts)} hunts" if len(hunts) > 1 else "a hunt"
        yield (
            f"Alarms have opened {times} for a better model since it serves. No candidate has proved to lose "
            "less so far."
        )


def alarmed(alarm: Alarm | None, loss: str | None, *, standing: bool = False) -> Iterator[str]:
    """What the detector saw."""
    if standing:
        yield (
            "Challengers of the definition are compared with the model that serves all the time, without an "
            "alarm."
        )
    if alarm is None:
        return
    about, unit = f"the signal {alarm.signal}", ""
    if alarm.signal == "loss":
        about = "the losses of the model that served"
        unit = UNITS["absolute" if loss == "absolute" else ""]
    began = "The newest alarm before that" if standing else "The hunt began with an alarm"
    yield (
        f"{began}: the detector {alarm.detector} saw a change in {about}: {number(alarm.before)} before, "
        f"{number(alarm.after)} after{unit}."
    )
    moved = [f"{feature} ({number(by)})" for feature, by in alarm.features if by > 0]
    if moved:
        yield (
            f"The features that had moved most: {', '.join(moved)}; in standard deviations, for categories "
            "as population stability index."
        )


def compared(model: Standing, receipt: ModelReceipt, test: Comparison, loss: str | None) -> Iterator[str]:
    """The comparison, for somebody who knows no statistics."""
    me, other = f"v{model.version}", f"v{receipt.parent}"
    unit = LOSSES.get(loss or "", "0 is best, 1 is worst")
    reached, enough = number(test.e_value), number(test.threshold)
    yield (
        f"The evidence: both answered the same {test.pairs:,} rows before they knew the labels. {other} lost "
        f"{number(test.champion_loss)} on average, {me} {number(test.rival_loss)} ({unit})."
    )
    yield (
        f"Its e-value was {reached}, and {enough} was enough. Read it as a bet: who staked 1 on {me} being "
        f"the better one, row after row, then had {reached}. If it were no better, the stake would ever grow "
        f"to {enough} with a probability of {chance(test)} at most, however often one looks."
    )


def scores(receipt: ModelReceipt) -> Iterator[str]:
    """What all had reached at that moment; a retired model's receipt holds its own alone."""
    if receipt.status == "retired":
        own = receipt.scores.get("cumulative")
        if isinstance(own, dict) and own.get("n"):
            yield f"Its served predictions had reached {score(own)}."
        return
    texts = [
        f"{slot} {score(slot_scores)}"
        for slot, slot_scores in receipt.scores.items()
        if isinstance(slot_scores, dict) and slot_scores.get("n")  # candidates serve nothing
    ]
    if texts:
        yield f"The newest scores of served predictions at that moment: {'; '.join(texts)}."


def score(found: dict[str, Any]) -> str:
    """The score that a person looks at first, and over how many predictions.

    >>> score({"n": 1200, "accuracy": 0.91251, "kappa": 0.8})
    'accuracy 0.913 (n 1,200)'
    """
    for first in ("accuracy", "mae"):
        if all(isinstance(found.get(part), int | float) for part in (first, "n")):
            return f"{first} {number(found[first])} (n {found['n']:,.0f})"
    return "no score"


def name(shard: Shard, version: int) -> str:
    """The slot and the version, as everywhere."""
    receipt = shard.receipts.get(version)
    return f"{receipt.slot} v{version}" if receipt else f"v{version}"


def chance(test: Comparison) -> str:
    """1 / threshold, as a person says it.

    >>> chance(Comparison(900.0, 65.8, 100, 0.5, 0.1))
    '1.5 %'
    """
    return f"{100 / test.threshold:.2g} %" if test.threshold > 0 else "100 %"


def number(value: float) -> str:
    """Three digits, or a bound.

    >>> number(0.09375), number(65.797), number(5230.4), number(1e250)
    ('0.0938', '65.8', '5,230', 'more than a million')
    """
    if value > SURE:
        return "more than a million"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def moment(time_ms: int) -> str:
    """Event time in UTC; 0 is what a shard has before its first record."""
    if time_ms <= 0:
        return "the first record"
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
