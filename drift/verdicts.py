"""What a detector says."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """stable: nothing seen · warning: look closer · drift: the signal's distribution has changed."""

    STABLE = "stable"
    WARNING = "warning"
    DRIFT = "drift"


class Verdict(NamedTuple):
    """A change of mind; `before` and `after` estimate the signal's mean on both sides of the change."""

    state: State
    before: float
    after: float
