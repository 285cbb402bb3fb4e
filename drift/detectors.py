"""Detectors by name and parameters, over River's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from river import drift as river_drift

from drift.verdicts import State, Verdict

RECENT = 0.05  # weight of a new value in the running mean of what the signal is now


class Detector:
    """One signal's detector. NaN and infinities are passed over: one would silence ADWIN and Page-Hinkley for
    ever.
    """

    def __init__(self, name: str, inner: Any) -> None:
        self.name = name
        self.inner = inner
        self.n = 0
        self.mean = 0.0
        self.recent = 0.0

    def update(self, value: float) -> Verdict | None:
        """Feed one value; a `Verdict` when the detector sees drift, else None. The statistics start anew
        after one.
        """
        if not isfinite(value):
            return None
        self.n += 1
        self.mean += (value - self.mean) / self.n
        self.recent += RECENT * (value - self.recent) if self.n > 1 else value
        self.inner.update(value)
        if not self.inner.drift_detected:
            return None
        verdict = Verdict(State.DRIFT, self.mean, self.recent)
        self.n, self.mean = 0, 0.0
        return verdict


MAKERS: dict[str, Callable[..., Any]] = {
    "adwin": river_drift.ADWIN,  # 0.2 µs a value
    "page_hinkley": river_drift.PageHinkley,  # 0.6 µs a value
}


@dataclass(frozen=True)
class Detect:
    """A detector to run: `Detect("adwin", delta=0.002)`.

    Raises:
        ValueError: unknown name, signal or parameter; mend the definition.
    """

    name: str
    signal: str
    params: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, signal: str = "loss", **params: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "params", tuple(sorted(params.items())))
        if name not in MAKERS:
            raise ValueError(f"unknown detector {name!r}; known are {', '.join(MAKERS)}")
        if signal != "loss":
            raise ValueError(f"unknown signal {signal!r}; known is loss")
        try:
            self.build()
        except TypeError as error:
            raise ValueError(f"detector {name!r}: {error}") from error

    def build(self) -> Detector:
        """A fresh detector."""
        return Detector(self.name, MAKERS[self.name](**dict(self.params)))
