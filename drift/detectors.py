"""Detectors by name and parameters, over River's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from drift.categories import Categories
from drift.detector import Detector
from drift.signals import LOSS, NUMERIC, SIGNALS

TRIED = 64  # values that a detector must take before a definition may name it
MOST_COST_US = 15.0  # per value of a signal, after sampling; a more expensive detector slows every event down


class Maker(NamedTuple):
    """How a detector is made: `of` is its class, or the class's place in River's `drift`.

    `cost_us` is measured per value; `binary`: it judges errors, 0 or 1.
    """

    of: str | Callable[..., Any]
    cost_us: float
    binary: bool = False

    def make(self, params: Iterable[tuple[str, Any]]) -> Any:
        """Make a detector. River is loaded here: a command that only reads a definition makes none."""
        if not isinstance(self.of, str):
            return self.of(**dict(params))
        from river import drift as river_drift  # noqa: PLC0415  see above

        return attrgetter(self.of)(river_drift)(**dict(params))


MAKERS: dict[str, Maker] = {
    "adwin": Maker("ADWIN", 0.2),
    "page_hinkley": Maker("PageHinkley", 0.6),
    "kswin": Maker("KSWIN", 370.0),
    "ddm": Maker("binary.DDM", 0.7, binary=True),
    "eddm": Maker("binary.EDDM", 0.9, binary=True),
    "hddm_a": Maker("binary.HDDMA", 5.5, binary=True),
    "hddm_w": Maker("binary.HDDMW", 7.0, binary=True),
    "fhddm": Maker("binary.FHDDM", 1.4, binary=True),
    "psi": Maker(Categories, 0.4),
}
SEEDED = {"kswin"}  # it samples its window: without a seed a replay would differ
CATEGORICAL = {"psi"}
# Definitions have these by default. A test tries them out, since that loads River, which few commands need.
SOUND = {("adwin", ()), ("adwin", (("delta", 1e-5),)), ("ddm", ()), ("psi", ())}


@dataclass(frozen=True)
class Detect:
    """A detector to run on a signal: `Detect("adwin", delta=0.002)`, `Detect("psi", "features")`.

    Signals are listed in drift/signals.py. `every` feeds one value in so many: by default each one, and for
    KSWIN one in 25. psi counts every value.

    Raises:
        ValueError: unknown name, signal or parameter, a value that the detector cannot work with, or a cost
            above 15 µs a value; correct the definition.
    """

    name: str
    signal: str
    every: int
    params: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, signal: str = LOSS, every: int | None = None, **params: Any) -> None:
        if name not in MAKERS:
            raise ValueError(f"unknown detector {name!r}; known are {', '.join(MAKERS)}")
        if signal not in SIGNALS:
            raise ValueError(f"unknown signal {signal!r}; known are {', '.join(SIGNALS)}")
        maker = MAKERS[name]
        if maker.binary and signal != LOSS:
            raise ValueError(f"{name} judges errors (0 or 1); use it on signal {LOSS!r}, adwin on {signal!r}")
        if name in CATEGORICAL and signal in NUMERIC:
            raise ValueError(f"{name} compares categories and {signal!r} is a number; use adwin")
        if name in CATEGORICAL and every not in (None, 1):
            raise ValueError(f"every={every!r}: {name} counts every value; give it size= instead")
        if name in SEEDED:
            params.setdefault("seed", 42)
        sampled = every if every is not None else -(-int(maker.cost_us) // int(MOST_COST_US)) or 1
        if type(sampled) is not int or sampled < 1:
            raise ValueError(f"every={every!r}: give 1 or more, the number of values of which one is fed")
        if maker.cost_us / sampled > MOST_COST_US:
            least = -(-int(maker.cost_us) // int(MOST_COST_US))
            raise ValueError(f"{name} costs {maker.cost_us:.0f} µs a value; feed it every={least} or fewer")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "every", sampled)
        object.__setattr__(self, "params", tuple(sorted(params.items())))
        if (name, self.params) not in SOUND:
            self.try_out()

    def try_out(self) -> None:
        """Feed a detector some values: a parameter that it cannot work with would end the learner."""
        try:
            inner = MAKERS[self.name].make(self.params)
            tried = inner if self.name in CATEGORICAL else Detector(self.name, inner)
            for n in range(TRIED):
                tried.update(float(n % 2))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of River's Rust is no Exception
            raise ValueError(f"detector {self.name!r}: {error}") from error

    @property
    def binary(self) -> bool:
        """Whether it judges errors, 0 or 1, and so fits tasks with classes only."""
        return MAKERS[self.name].binary

    def build(self) -> Any:
        """A fresh detector: of numbers, or of categories."""
        inner = MAKERS[self.name].make(self.params)
        return inner if self.name in CATEGORICAL else Detector(self.name, inner, self.every)
