"""A detector of River's behind one interface: it is fed numbers and answers with a `Verdict`."""

from __future__ import annotations

from typing import Any, Final

from mypy_extensions import mypyc_attr

from drift.verdicts import STABLE, State, Verdict

RECENT: Final = 0.05  # weight of a new value in the running mean of what the signal is now
OF_SUCCESS = {"fhddm"}  # River's FHDDM watches for a fall of what it is fed: successes, whatever its docs say


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Detector:
    """One signal's detector. NaN and infinities are passed over: one would silence ADWIN and Page-Hinkley
    forever.
    """

    def __init__(self, name: str, inner: Any, every: int = 1) -> None:
        self.name = name
        self.inner = inner
        self.every = every
        self.of_success = name in OF_SUCCESS
        self.warns = hasattr(inner, "warning_detected")  # asking each time costs more than ADWIN itself
        self.seen = 0
        self.n = 0
        self.mean = 0.0
        self.recent = 0.0
        self.warned = False

    def update(self, value: float) -> Verdict:
        """Feed one value. The statistics start again after a drift; a warning is reported when it begins."""
        self.seen += 1
        if self.every > 1 and self.seen % self.every:
            return STABLE
        if value - value != 0.0:  # only of what is not finite; a call costs more than all the rest
            return STABLE
        self.n += 1
        self.mean += (value - self.mean) / self.n
        self.recent += RECENT * (value - self.recent) if self.n > 1 else value
        inner = self.inner
        inner.update(1.0 - value if self.of_success else value)
        if inner.drift_detected:
            verdict = Verdict(State.DRIFT, self.mean, self.recent)
            self.n, self.mean, self.warned = 0, 0.0, False
            return verdict
        if not (self.warns and inner.warning_detected):
            self.warned = False
            return STABLE
        if self.warned:
            return STABLE
        self.warned = True
        return Verdict(State.WARNING, self.mean, self.recent)
