"""What alerts and statistics need to know of the past; nothing here decides an answer of a model."""

from __future__ import annotations

import msgspec

from stream_app.state.histogram import Histogram
from topics.records import DriftStats

COOLDOWN = 1_000  # records of the shard during which the same alert is not raised again
CALM_RECORDS = 1_000  # of the shard, and
CALM_MS = 600_000  # log time without an alarm: then a signal is stable again; some scrapes must see it
MOST_ALARMS = 128  # signals and names whose newest alarm is kept: 64 features, the others, slots that were
# From labels that come at once to those that take a month, six steps of ten and then as people count.
DELAYS_S = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_419_200.0)


class Alarmed(msgspec.Struct):
    """The newest alarm of a signal: log time in ms, and the shard's record count then."""

    detector: str
    drift: bool
    before: float
    after: float
    at_ms: int
    at: int


class Vigil(msgspec.Struct):
    """`quiet` maps an alert's subject to [the record count until which it is held back, how many were].

    `last_label_ms` and `delay_ms` (a running mean) are log time; `seen` and `dead` are the counts of all and
    of refused records when the shares of refused ones were last judged, `events` and `dead_events` those of
    events alone. `delays` counts label delays in s, of
    one label in eight; `alarms` is by (signal, name); `champion_since_ms` is log time, 0 before any record.
    New fields are at the end and have defaults: older snapshots are read.
    """

    quiet: dict[str, list[int]] = {}
    last_label_ms: int = 0
    delay_ms: float = 0.0
    seen: int = 0
    dead: int = 0
    delays: Histogram = msgspec.field(default_factory=lambda: Histogram(DELAYS_S))
    alarms: dict[tuple[str, str], Alarmed] = {}
    champion_since_ms: int = 0
    events: int = 0
    dead_events: int = 0

    def is_suppressed(self, subject: str, now: int) -> bool:
        """Whether the alert was raised less than a cool-down ago; it is counted then."""
        found = self.quiet.get(subject)
        if found is not None and now < found[0]:
            found[1] += 1
            return True
        return False

    def mark_raised(self, subject: str, now: int) -> int:
        """Note that the alert is raised now; gives how many were held back since the last time."""
        held = self.quiet.get(subject, [0, 0])[1]
        self.quiet[subject] = [now + COOLDOWN, 0]
        return held

    def alarmed(self, signal: str, name: str, alarm: Alarmed) -> None:
        """Keep the newest alarm; a warning does not take the place of a drift that is not calm yet."""
        before = self.alarms.get((signal, name))
        if (
            before is not None
            and before.drift
            and not alarm.drift
            and not calm(before, alarm.at_ms, alarm.at)
        ):
            return
        self.alarms.pop((signal, name), None)  # so that the oldest is the first
        self.alarms[signal, name] = alarm
        if len(self.alarms) > MOST_ALARMS:
            del self.alarms[next(iter(self.alarms))]

    def levels(self, now_ms: int, now: int) -> list[DriftStats]:
        """Each signal that ever alarmed: drift or warning, and stable again once it is calm."""
        return [
            DriftStats(
                signal,
                name,
                alarm.detector,
                "stable" if calm(alarm, now_ms, now) else "drift" if alarm.drift else "warning",
                alarm.before,
                alarm.after,
                alarm.at_ms,
            )
            for (signal, name), alarm in self.alarms.items()
        ]


def calm(alarm: Alarmed, now_ms: int, now: int) -> bool:
    """Whether enough records and enough log time have come since without another alarm."""
    return now - alarm.at >= CALM_RECORDS and now_ms - alarm.at_ms >= CALM_MS
