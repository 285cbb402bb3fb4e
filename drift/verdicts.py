"""What a detector says."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class State(Enum):
    """stable: nothing seen · warning: look closer · drift: the signal's distribution has changed."""

    STABLE = "stable"
    WARNING = "warning"
    DRIFT = "drift"


class Verdict(NamedTuple):
    """One detector's judgement of one value.

    `before` and `after` estimate the signal's mean on both sides of a change. For categories they are the
    shares of the class that moved most, and `what` names it.
    """

    state: State
    before: float
    after: float
    what: str = ""


STABLE: Final = Verdict(State.STABLE, 0.0, 0.0)
