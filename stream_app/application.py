"""What a user writes: one `Application`, checked when it is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from drift.blend import Blend
from drift.detectors import Detect
from drift.rule import SwapPolicy
from stream_app.durations import parse_duration
from stream_app.errors import UsageError
from stream_app.features import Feature
from stream_app.inputs.formats import Avro, Protobuf
from stream_app.inputs.topic import Event, Inputs, Label, Topic
from stream_app.labels import NUMBERS, Labels, check_labels, for_threshold, two_classes
from stream_app.models.explanations.report import MOST_TERMS
from stream_app.models.home import home_of
from stream_app.models.question import Question
from stream_app.outputs import Output, Outputs, check_names
from stream_app.watched import check_drift, watched
from topics.catalog import NAME

Factory = Callable[[int], Any]
TASKS = ("binary", "multiclass", "regression", "anomaly")
SLOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # used in keys, labels of metrics and commands
KINDS = ("number", "category", "string", "text", "bool", "time")
VALUES = {"category": "string", "text": "string", "time": "number"}  # declared type → its values'
MISSING = ("skip", "refuse", "flag")
MOST_SHARDS = 1_024
LARGEST_WEIGHT = 1e6  # as of a label's own weight

__all__ = [
    "Application", "Avro", "Blend", "Detect", "Event", "Feature", "Inputs", "Label", "Labels", "Limits",
    "Output", "Outputs", "Protobuf", "Serving", "Snapshots", "SwapPolicy", "Topic", "parse_duration",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one shard's memory; what would pass them is refused or expires early, never grows.

    `max_waiting_bytes` bounds the records of rows that wait for labels, and again of labels that wait for
    events; in memory they take a few times as much. `max_category_bytes` bounds the different strings of all
    features together.
    """

    max_features: int = 256
    max_feature_names: int = 1_024
    max_categories: int = 10_000
    max_pending: int = 1_000_000
    max_parked: int = 100_000
    max_ids: int = 1_000_000
    max_entities: int = 1_000_000
    max_waiting_bytes: int = 1 << 30
    max_category_bytes: int = 1 << 28

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name}={value!r} is not a positive integer", "Give a bound of 1 or more")


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """How often to snapshot: at most `max_cost` of the time, and a replay of at most `max_recovery`."""

    max_cost: float = 0.02
    max_recovery: str = "60s"

    def __post_init__(self) -> None:
        parse_duration(self.max_recovery)
        if not 0 < self.max_cost <= 1:
            raise UsageError(f"max_cost={self.max_cost}", "Give a share of the time between 0 and 1")

    @property
    def max_recovery_ms(self) -> int:
        return parse_duration(self.max_recovery)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How fresh a predictor's answer must be, unless the request says so itself; None: only marked stale.

    The model's age counts from the moment at which it was the newest committed one, an entity's from its
    last event. What is older is refused, or answered with `fallback`, a prediction, if that is not None.
    """

    max_model_age: str | None = None
    max_feature_age: str | None = None
    fallback: Any = None

    def __post_init__(self) -> None:
        for age in (self.max_model_age, self.max_feature_age):
            if age is not None:
                parse_duration(age)
        if self.fallback is not None and type(self.fallback) not in (bool, str, int, float):
            raise UsageError(
                f"fallback {self.fallback!r} is a {type(self.fallback).__name__}", "Give a class or a number"
            )


@dataclass(frozen=True, kw_only=True)
class Application:
    """A streaming online-learning application.

    `champion` and `challengers` are factories `lambda seed: model`; `threshold` None predicts the likeliest
    class as River does, else `positive` (True, or one of two declared classes) where its probability is above
    the threshold. `inputs` names topics that exist already, and what their records mean; without it,
    `<app>.events` and `<app>.labels` are read. `outputs` names one that predictions are copied to. `types`
    declares feature types that would be learned otherwise. A feature that is null is left out
    (`missing="skip"`), or its event is refused, or `missing_<name>` is set as well (flag); an event without a
    `required` feature is refused. `sample` gives rows of features for the admission check, for models that
    need strings of a form or numbers of a range. `serve`: "champion", the one model that answers, or
    `Blend()`, all of them by their weights. `drift` None watches what `watched` names; `loss` is what
    swaps judge: zero_one (the default for classes), log, brier, or absolute (for regression). With `explain`,
    every prediction names so many features that moved it furthest.

    Raises:
        UsageError: the definition contradicts itself; the remedy names the fix.
    """

    name: str
    task: str
    champion: Factory
    challengers: Mapping[str, Factory] = field(default_factory=dict)
    serve: str | Blend = "champion"
    shards: int = 1
    threshold: float | None = None
    positive: Any = None
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    labels: Labels | None = field(default_factory=Labels)
    features: Sequence[Feature] = ()
    dedupe: str = "1h"
    class_weights: Mapping[Any, float] | None = None
    drift: Sequence[Detect] | None = None
    swap: SwapPolicy = field(default_factory=SwapPolicy)
    loss: str | None = None
    types: Mapping[str, str] | None = None
    missing: str = "skip"
    required: Sequence[str] = ()
    sample: Sequence[Mapping[str, Any]] = ()
    limits: Limits = field(default_factory=Limits)
    snapshot: Snapshots = field(default_factory=Snapshots)
    serving: Serving = field(default_factory=Serving)
    ttl: str = "30d"
    seed: int = 42
    explain: int = 0
    home: ClassVar[str] = ""  # the module that it was loaded from, set with it; not a part that a user names

    def __post_init__(self) -> None:
        parse_duration(self.dedupe), parse_duration(self.ttl)
        if type(self.name) is not str or not NAME.fullmatch(self.name):
            raise UsageError(
                f"name {self.name!r} is not a valid topic prefix", "Use lower-case letters, digits, _ and -"
            )
        if self.task not in TASKS:
            raise UsageError(f"unknown task {self.task!r}", f"Choose one of {', '.join(TASKS)}")
        if type(self.shards) is not int or not 1 <= self.shards <= MOST_SHARDS:
            raise UsageError(f"shards={self.shards!r}", f"Give a number from 1 to {MOST_SHARDS}")
        if (self.labels is None) != (self.task == "anomaly"):
            raise UsageError(
                f"task {self.task} with labels={self.labels}", "labels=None belongs to task anomaly only"
            )
        if self.threshold is not None and (self.task != "binary" or not 0 < self.threshold < 1):
            raise UsageError(
                f"threshold={self.threshold}", "A threshold between 0 and 1 belongs to task binary"
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", for_threshold(self.labels, self.threshold, self.positive))
        if self.task == "binary" and self.labels is not None:
            object.__setattr__(self, "labels", two_classes(self.labels))
        if self.labels is not None:
            check_labels(self.task, self.labels)
        object.__setattr__(self, "drift", watched(self.task) if self.drift is None else tuple(self.drift))
        if self.loss is None:
            object.__setattr__(self, "loss", "absolute" if self.task == "regression" else "zero_one")
        check_drift(self.task, self.drift or (), self.loss)
        self.check_serve()
        self.check_parts()

    def check_serve(self) -> None:
        """Who answers: the champion, or a blend."""
        if not isinstance(self.serve, Blend) and self.serve != "champion":
            raise UsageError(f"serve={self.serve!r}", "Write serve='champion' or serve=Blend()")
        if isinstance(self.serve, Blend) and self.task == "anomaly":
            raise UsageError(
                "serve=Blend() with task anomaly",
                "Leave it out: scores of different anomaly detectors have no common scale",
            )

    def check_parts(self) -> None:
        """Weights, factories, features and types, each by itself."""
        outputs = [self.outputs.predictions.name] if self.outputs is not None else []
        check_names(self.name, self.inputs.names if self.inputs is not None else [], outputs)
        if self.class_weights and self.task not in ("binary", "multiclass"):
            raise UsageError("class_weights without classes", "Leave them out for this task")
        classes = self.labels.classes if self.labels is not None else None
        for label, weight in (self.class_weights or {}).items():
            if type(weight) not in NUMBERS or not 0 <= weight <= LARGEST_WEIGHT:
                text = f"Give a weight from 0 to {LARGEST_WEIGHT:.0e}"
                raise UsageError(f"class_weights[{label!r}]={weight!r}", text)
            if classes is not None and not any(label == c and type(label) is type(c) for c in classes):
                raise UsageError(
                    f"class_weights[{label!r}] belongs to no class", f"Classes are {list(classes)!r}"
                )
        for slot, factory in {"champion": self.champion, **self.challengers}.items():
            if not callable(factory):
                raise UsageError(
                    f"{slot} is a {type(factory).__name__}, no factory", "Write `lambda seed: model`"
                )
        if "champion" in self.challengers:
            raise UsageError("a challenger is named champion", "Give it another name")
        for name in self.challengers:
            if type(name) is not str or not SLOT.fullmatch(name):
                raise UsageError(
                    f"challenger {name!r}", "Use up to 64 letters, digits, _, . and - for its name"
                )
            origin, _, number = name.rpartition("-")
            if number.isdecimal() and (origin == "champion" or origin in self.challengers):
                raise UsageError(
                    f"challenger {name} is named as a candidate of {origin} would be", "Give it another name"
                )
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise UsageError(f"features {names} repeat a name", "Drop one of each pair")
        empty = [row for row in self.sample if not row]
        if empty:
            raise UsageError(f"sample row {empty[0]!r}", "Give features by name: sample=[{'amount': 12.5}]")
        self.check_types()

    def check_types(self) -> None:
        """What is said of an event's own features."""
        for name, kind in (self.types or {}).items():
            if kind not in KINDS:
                raise UsageError(f"type {kind!r} of feature {name}", f"Choose one of {', '.join(KINDS)}")
        if type(self.explain) is not int or not 0 <= self.explain <= MOST_TERMS:
            raise UsageError(f"explain={self.explain!r}", f"Give a number of features up to {MOST_TERMS}")
        if self.missing not in MISSING:
            raise UsageError(f"missing={self.missing!r}", f"Choose one of {', '.join(MISSING)}")
        if isinstance(self.required, str) or not all(type(name) is str and name for name in self.required):
            raise UsageError(f"required={self.required!r}", "Give names: required=['amount']")

    @property
    def question(self) -> Question:
        """What the models are asked."""
        if self.threshold is None:
            return Question(self.task)
        classes = self.labels.classes if self.labels is not None else None
        positive = True if self.positive is None else self.positive
        negative = next((label for label in classes or () if label != positive), False)
        return Question(self.task, self.threshold, positive, negative)

    @property
    def modules(self) -> tuple[str, ...]:
        """The definition's own modules: their functions and classes may be in a snapshot."""
        return tuple(sorted({home_of(factory) for factory in (self.champion, *self.challengers.values())}))

    @property
    def is_bridged(self) -> bool:
        """Whether records are copied from or to topics of the user's own."""
        return self.inputs is not None or self.outputs is not None

    @property
    def kinds(self) -> dict[str, str]:
        """The declared types of features, as the models get their values."""
        return {name: VALUES.get(kind, kind) for name, kind in (self.types or {}).items()}

    @property
    def named(self) -> tuple[str, ...]:
        """The features of events that the definition names, each once."""
        fields = [feature.field for feature in self.features if feature.field]
        return tuple(dict.fromkeys([*(self.types or {}), *self.required, *fields]))

    @property
    def dedupe_ms(self) -> int:
        return parse_duration(self.dedupe)

    @property
    def ttl_ms(self) -> int:
        return parse_duration(self.ttl)
