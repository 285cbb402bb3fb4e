"""When a rival takes over: alarms open hunts, hunts gather evidence, evidence swaps, probation may undo it.

                 warning                 alarm
        STABLE ───────────▶ WARNING ───────────▶ HUNTING ◀─┐ (further alarms start further candidates)
         ▲ ▲ ▲                │ │                  │ │ └────┘
         │ │ └────patience────┘ │ win          win │ └──patience──▶ STABLE
         │ │                    └──▶ PROBATION ◀───┘
         │ └──── time served ────────┘ │ ▲ └──▶ WARNING, HUNTING (a warning or an alarm, after the cool-down)
         └──── the old one wins: rollback  └── a standing challenger wins, or an operator promotes

An alarm leads from STABLE to HUNTING at once, and a win or a promotion from any phase to PROBATION.
Nothing here knows a model: slots are distinguished by version numbers, time is the number of labels learned.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from mypy_extensions import mypyc_attr

from drift.rule import SwapPolicy
from drift.sequential import Comparison, Evidence, alpha_of

# Alarms of a cool-down, pickled as numbers.
NO_ALARM, LATE_WARNING, LATE_DRIFT = 0, 1, 2
AT_FIRST = ("kept",)  # kinds that only the opening of a hunt starts


class Phase(Enum):
    """The phase of a shard's search for a better model."""

    STABLE = "stable"
    WARNING = "warning"
    HUNTING = "hunting"
    PROBATION = "probation"


STABLE: Final = Phase.STABLE  # asked for at each label
LEGAL: dict[Phase, tuple[Phase, ...]] = {
    Phase.STABLE: (Phase.WARNING, Phase.HUNTING, Phase.PROBATION),
    Phase.WARNING: (Phase.HUNTING, Phase.PROBATION, Phase.STABLE),
    Phase.HUNTING: (Phase.PROBATION, Phase.STABLE),
    Phase.PROBATION: (Phase.STABLE, Phase.WARNING, Phase.HUNTING, Phase.PROBATION),
}


class SearchOpened(NamedTuple):
    """Start these kinds of candidates, after dropping those versions to make room."""

    hunt: int
    kinds: tuple[str, ...]
    dropped: tuple[int, ...]


class Won(NamedTuple):
    """A rival takes over. `reverse`: it is the previous champion, so this is a rollback.

    `hunt` is the hunt it won, None for a standing challenger and for a rollback.
    """

    version: int
    reverse: bool
    hunt: int | None
    threshold: float
    evidence: Evidence | None


class SearchClosed(NamedTuple):
    """Time is up: these versions lost, but `previous` is the previous champion, whose probation is over."""

    versions: tuple[int, ...]
    hunt: int
    previous: int | None


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Policy:
    """One shard's search. `races` are compared on the row at label time, `standing` on what was served.

    The races of hunt k may spend α_k together, the standing challengers have a budget of their own, and so
    has the reverse test.
    """

    def __init__(self, rule: SwapPolicy, standing: bool) -> None:
        self.rule = rule
        self.phase = Phase.STABLE
        self.labels = 0
        self.hunt = 0
        self.races: dict[int, Comparison] = {}
        self.standing: dict[int, Comparison] = {}
        # Of all hunts together; the other half is the standing challengers'.
        self.alpha = rule.alpha / 2 if standing else rule.alpha
        self.standing_round = 1
        # At the start of this hunt, and most of this round: who leaves later has spent its share.
        self.rivals = self.stood = 0
        self.previous: int | None = None  # the previous champion, while it is on probation's other side
        self.until = 0
        self.quiet_until = 0
        self.respawn_at = 0
        self.late_alarm = NO_ALARM  # the worst of the cool-down, which is taken up at its end
        self.swaps: list[int] = []

    @property
    def open(self) -> bool:
        """Whether a rival is compared on rows at label time."""
        return bool(self.races)

    def move(self, phase: Phase) -> None:
        """Change phase along the drawing above.

        Raises:
            RuntimeError: the drawing has no such arrow: a fault of this file.
        """
        if phase is not self.phase and phase not in LEGAL[self.phase]:
            raise RuntimeError(f"{self.phase.value} cannot become {phase.value}")
        self.phase = phase

    @property
    def affordable(self) -> bool:
        """Whether the budget of swaps has room."""
        since = self.labels - self.rule.budget_labels
        self.swaps = [at for at in self.swaps if at > since]
        return len(self.swaps) < self.rule.budget

    def alarm(self, drift: bool) -> SearchOpened | None:
        """A detector of the champion's loss warns, or sees drift: start candidates, unless it is too soon."""
        rule = self.rule
        if rule.policy == "never":
            return None
        kinds = ("fresh",) if rule.policy == "immediate" else rule.candidates
        if self.phase in (Phase.WARNING, Phase.HUNTING):
            if drift:
                self.move(Phase.HUNTING)
            if self.labels < self.respawn_at:
                return None
            kinds = tuple(kind for kind in kinds if kind not in AT_FIRST)
        elif rule.policy == "immediate" and not (drift and self.affordable):
            return None
        elif self.labels < self.quiet_until:
            # A detector reports a change only once.
            self.late_alarm = max(self.late_alarm, LATE_DRIFT if drift else LATE_WARNING)
            return None
        else:
            self.move(Phase.HUNTING if drift else Phase.WARNING)
            self.late_alarm = NO_ALARM
        self.hunt += 1
        self.rivals = 0
        self.until = self.labels + rule.patience
        self.quiet_until = self.labels + rule.cooldown
        self.respawn_at = self.labels + rule.respawn
        return SearchOpened(self.hunt, kinds, self.make_room(len(kinds)))

    def eased(self) -> SearchOpened | None:
        """The champion's loss fell: in a hunt, new candidates start, for the others learned what is over."""
        if self.rule.policy == "evidence" and self.phase in (Phase.WARNING, Phase.HUNTING):
            return self.alarm(drift=False)
        return None

    def make_room(self, n: int) -> tuple[int, ...]:
        """Drop the rivals with the least evidence; the previous champion stays."""
        rivals = sorted(
            (version for version in self.races if version != self.previous),
            key=lambda version: (self.races[version].capital, version),
        )
        dropped = tuple(rivals[: max(0, len(rivals) + n - self.rule.max_candidates)])
        for version in dropped:
            del self.races[version]
        return dropped

    def enter(self, version: int) -> None:
        """A candidate joins the hunt."""
        self.races[version] = Comparison(self.rule.margin)
        self.rivals = len(self.races) - (self.previous in self.races)

    def leave(self, version: int) -> None:
        """A slot is gone: failed, refused or dropped by an operator."""
        self.races.pop(version, None)
        self.standing.pop(version, None)
        if self.previous == version:
            self.previous = None

    def stand(self, version: int, champion_loss: float, rival_loss: float) -> None:
        """Compare a declared challenger's served loss with the champion's on the same row."""
        race = self.standing.get(version)
        if race is None:
            race = self.standing[version] = Comparison(self.rule.margin)
            self.stood = max(self.stood, len(self.standing))
        race.update(champion_loss, rival_loss)

    def decide(self) -> Won | SearchClosed | SearchOpened | None:
        """One more label is learned: who wins, whose time is up, or what an alarm of the cool-down starts."""
        self.labels += 1
        if self.late_alarm and self.labels >= self.quiet_until:
            return self.alarm(drift=self.late_alarm == LATE_DRIFT)
        if self.races or self.standing:
            best = self.winner()
            if best is not None:
                return best
        if self.phase is STABLE or self.labels < self.until:
            return None
        closed = SearchClosed(tuple(self.races), self.hunt, self.previous)
        self.rest()
        return closed

    def winner(self) -> Won | None:
        """The rival with the most evidence among those beyond their threshold."""
        rule = self.rule
        if rule.policy != "evidence" or not (self.affordable or self.previous is not None):
            return None
        best: Won | None = None
        hunt_alpha = alpha_of(self.alpha, max(1, self.hunt)) / max(1, self.rivals)
        standing_alpha = alpha_of(rule.alpha / 2, self.standing_round) / max(1, self.stood)
        for races, alpha in ((self.races, hunt_alpha), (self.standing, standing_alpha)):
            for version, race in races.items():
                if race.pairs < rule.min_labels:
                    continue
                reverse = races is self.races and version == self.previous
                threshold = 1.0 / (rule.alpha if reverse else alpha)
                if race.capital < threshold or not (reverse or self.affordable):
                    continue
                if best is None or best.evidence is None or race.capital > best.evidence.capital:
                    hunt = self.hunt if races is self.races and not reverse else None
                    best = Won(version, reverse, hunt, threshold, race.evidence())
        return best

    def swapped(self, old: int, *, reverse: bool) -> tuple[int, ...]:
        """The flow has swapped; gives the rivals to drop. After a rollback there is no probation."""
        gone = tuple(version for version in self.races if version != self.previous)
        if self.previous is not None and not reverse:
            gone = (*gone, self.previous)
        self.races, self.standing = {}, {}
        self.standing_round += 1
        self.stood = 0
        self.late_alarm = NO_ALARM  # it was about the previous champion
        # A rollback says that something is wrong: the next alarm may hunt at once.
        self.quiet_until = self.labels + (0 if reverse else self.rule.cooldown)
        if reverse or self.rule.policy == "never":
            self.rest()
            return gone
        self.swaps.append(self.labels)
        self.move(Phase.PROBATION)
        self.until = self.labels + self.rule.probation
        if self.rule.policy == "evidence":
            self.previous = old
            self.enter(old)
        return gone

    def rest(self) -> None:
        """Go back to stable: no races, no one on probation."""
        self.races = {}
        self.previous = None
        if self.phase is not Phase.STABLE:
            self.move(Phase.STABLE)
