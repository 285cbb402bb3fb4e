"""A shard's detectors: one for each signal and, of features and losses, one for each name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Final, NamedTuple

from mypy_extensions import mypyc_attr

from drift.categories import Categories
from drift.detector import Detector
from drift.detectors import Detect
from drift.signals import (
    FEATURES,
    LABEL_DELAY,
    LABEL_RATE,
    LABELS,
    LOSS,
    MISSING_RATE,
    PREDICTION,
    RATE_BLOCK,
)
from drift.verdicts import STABLE, State, Verdict

MOST_FEATURES: Final = 64  # watched; a definition with more names the ones that matter by its own detectors
RECENT: Final = 0.05  # weight of a new value in the newest mean
FEATURE_EVERY: Final = 16  # one event in so many is looked at for its features and its prediction
LABEL_EVERY: Final = 8  # one label in so many is looked at for its class and its delay
RANKED = 5  # features in a ranking


class Alarm(NamedTuple):
    """A verdict that is not stable: which detector, of which signal, and of which feature or slot."""

    signal: str
    name: str
    detector: str
    verdict: Verdict


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Movement:
    """How far a numeric feature's newest mean is from what it was, in standard deviations."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = self.square = self.recent = 0.0

    def update(self, value: float) -> None:
        self.n += 1
        gap = value - self.mean
        self.mean += gap / self.n
        self.square += gap * (value - self.mean)
        # A float from the first on: compiled it is one, and both builds store the same.
        self.recent = float(value) if self.n == 1 else self.recent + RECENT * (value - self.recent)

    def moved(self) -> float:
        """|newest mean − mean| / standard deviation; 0 for a constant."""
        spread = sqrt(self.square / self.n) if self.n else 0.0
        return abs(self.recent - self.mean) / spread if spread > 0 else 0.0


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Monitors:
    """Fed by the flow with values; answers with alarms, none almost always. Owns no model and no clock."""

    def __init__(self, detects: Sequence[Detect]) -> None:
        self.by_signal: dict[str, list[Detect]] = {}
        for detect in detects:
            self.by_signal.setdefault(detect.signal, []).append(detect)
        self.watching: dict[tuple[str, str], list[Any]] = {}
        self.movements: dict[str, Movement] = {}
        self.looks = bool({FEATURES, PREDICTION} & self.by_signal.keys())
        self.features = 0  # watched
        self.looks_at_labels = bool({LABELS, LABEL_DELAY} & self.by_signal.keys())
        self.events = self.labels = self.labels_in_block = 0

    def detectors(self, signal: str, name: str, value: Any) -> list[Any]:
        """The detectors of one signal and name, made when its first value is seen and fit for its kind."""
        found = self.watching.get((signal, name))
        if found is None:
            text = type(value) is str or type(value) is bool
            built = [detect.build() for detect in self.by_signal.get(signal, ())]
            found = [one for one in built if isinstance(one, Categories) == text]
            self.watching[signal, name] = found
        return found

    def feed(self, signal: str, name: str, value: Any, alarms: list[Alarm]) -> None:
        """One value to the detectors of its signal and name."""
        detector: Detector | Categories  # compiled, a typed one is called without a lookup
        for detector in self.detectors(signal, name, value):
            verdict = detector.update(value)
            if verdict is not STABLE and verdict.state is not State.STABLE:
                alarms.append(Alarm(signal, name, detector.name, verdict))

    def count_unless_due(self) -> bool:
        """Whether nothing is due with the next event, the usual case; the event is counted then."""
        n = self.events + 1
        if n % FEATURE_EVERY == 0 or n % RATE_BLOCK == 0:
            return False
        self.events = n
        return True

    def on_event(
        self, row: Mapping[str, Any], prediction: Any, positive: float | None, lacking: float | None = None
    ) -> list[Alarm]:
        """An event was predicted; `positive` is P(True), None where there is no such class, `lacking` the
        share of the expected features that it lacks.
        """
        alarms: list[Alarm] = []
        self.events += 1
        if self.looks and self.events % FEATURE_EVERY == 0:
            self.look(row, prediction, positive, alarms)
        if lacking is not None and MISSING_RATE in self.by_signal:
            self.feed(MISSING_RATE, "", lacking, alarms)
        if self.events % RATE_BLOCK == 0 and LABEL_RATE in self.by_signal:
            self.feed(LABEL_RATE, "", self.labels_in_block / RATE_BLOCK, alarms)
            self.labels_in_block = 0
        return alarms

    def look(
        self, row: Mapping[str, Any], prediction: Any, positive: float | None, alarms: list[Alarm]
    ) -> None:
        """Feed every watched feature, and the prediction."""
        if FEATURES in self.by_signal:
            watched, movements = self.watching, self.movements
            for name, value in row.items():
                known = (FEATURES, name) in watched
                if known or self.features < MOST_FEATURES:
                    self.features += not known
                    text = type(value) is str or type(value) is bool
                    if known and self.is_of_other_kind(name, text=text):
                        del watched[FEATURES, name]  # its type had not been learned, and gave way
                        movements.pop(name, None)
                    if not text:
                        movement = movements.get(name)
                        if movement is None:
                            movement = movements[name] = Movement()
                        movement.update(value)
                    self.feed(FEATURES, name, value, alarms)
        if PREDICTION in self.by_signal and prediction is not None:
            self.feed(PREDICTION, "", prediction, alarms)
            if positive is not None:
                self.feed(PREDICTION, "P(true)", positive, alarms)

    def is_of_other_kind(self, name: str, *, text: bool) -> bool:
        """Whether the detectors of a feature judge texts where it is a number now, or the other way round."""
        return any(isinstance(one, Categories) != text for one in self.watching[FEATURES, name])

    def on_label(self, label: Any, delay_ms: int | None) -> list[Alarm]:
        """A label met its event after `delay_ms` of log time; None: the default one, which no one sent."""
        alarms: list[Alarm] = []
        self.labels += 1
        self.labels_in_block += delay_ms is not None
        if not self.looks_at_labels or self.labels % LABEL_EVERY:
            return alarms
        if LABELS in self.by_signal:
            self.feed(LABELS, "", label, alarms)
        if LABEL_DELAY in self.by_signal and delay_ms is not None:
            self.feed(LABEL_DELAY, "", float(delay_ms), alarms)
        return alarms

    def on_loss(self, slot: str, loss: float, alarms: list[Alarm]) -> None:
        """The loss of what a slot served."""
        if LOSS in self.by_signal:
            self.feed(LOSS, slot, loss, alarms)

    def ranking(self, most: int = RANKED) -> list[tuple[str, float]]:
        """The features that moved most, furthest first: standard deviations, or PSI for categories."""
        found = {name: movement.moved() for name, movement in self.movements.items()}
        for (signal, name), detectors in self.watching.items():
            for detector in detectors:
                if signal == FEATURES and isinstance(detector, Categories):
                    found[name] = detector.moved()
        ranked = sorted(found.items(), key=lambda pair: -pair[1])
        return [(name, round(moved, 4)) for name, moved in ranked[:most]]

    def forget_losses(self, slot: str) -> None:
        """Another model bears this name, or none: what its losses were says nothing any more."""
        self.watching.pop((LOSS, slot), None)
