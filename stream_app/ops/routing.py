"""When a route sends which alerts: groups, rate, silences and back-off. Pure: time is an argument, in ms.

add → waits in its group → due → plan → a Notification → delivered
                             │                         ├→ failed: again after the back-off, behind the others
                             │                         └→ refused: in smaller parts, or never
                             └→ over the rate: held, sent by kinds and counts in one summary
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from stream_app.ops.notification import Item, Notification, notification
from stream_app.settings.ops import Matcher, Route

SEVERITIES = ("info", "warning", "critical")
MOST_AT_ONCE = 2_000  # alerts in one notification: their ids are its size
BACK_OFF_MS = (1_000, 60_000)  # first, and at most


def matches(matcher: Matcher, item: Item) -> bool:
    """Whether a route or silence means this alert."""
    alert = item.alert
    return (
        SEVERITIES.index(alert.severity) >= SEVERITIES.index(matcher.severity)
        and matcher.shard in (None, alert.shard)
        and fnmatchcase(item.app, matcher.apps)
        and fnmatchcase(alert.type, matcher.types)
    )


@dataclass
class Group:
    """Alerts that are sent together; `sent_ms` is when the last notification left.

    `tried_ms` is when the last try failed, 0 if the last one did not; `failing_ms` when failures began.
    """

    due_ms: int = 0
    sent_ms: int | None = None
    tried_ms: int = 0
    failing_ms: int | None = None
    waiting: dict[str, Item] = field(default_factory=dict)


class Plan(NamedTuple):
    """What to do now: `silenced` alerts are not sent; `wake_ms` is when to ask again."""

    notification: Notification | None
    silenced: list[Item]
    wake_ms: int | None


class RouteQueue:
    """One route's queue. `silenced` answers for now; `kinds` were sent before, so they are not new."""

    def __init__(self, route: Route, silenced: Callable[[Item, int], bool]) -> None:
        self.route, self.silenced = route, silenced
        self.groups: dict[tuple[str, ...], Group] = {}
        self.summary = Group()  # what the rate held back
        self.turn = self.summary  # whose notification was planned last
        self.most = MOST_AT_ONCE  # fewer after a refusal, until the part that is refused is found
        self.kinds: set[tuple[str, str]] = set()
        self.sent_times_ms: deque[int] = deque()
        self.failures = 0
        self.not_before_ms = 0
        self.changed = asyncio.Event()  # an alert was added

    @property
    def held(self) -> dict[str, Item]:
        """Alerts that wait for the next summary."""
        return self.summary.waiting

    def add(self, item: Item, now_ms: int) -> None:
        """Take an alert that the route matches; the same one again changes nothing."""
        group = self.groups.setdefault(self.group_of(item), Group())
        if not group.waiting:
            group.due_ms = now_ms + round(1000 * self.route.wait_s)
            if group.sent_ms is not None:
                group.due_ms = max(group.due_ms, group.sent_ms + round(1000 * self.route.interval_s))
        if item.alert.alert_id not in self.held:
            group.waiting.setdefault(item.alert.alert_id, item)
            self.changed.set()

    def group_of(self, item: Item) -> tuple[str, ...]:
        """Its group's name."""
        alert = item.alert
        parts = {"app": item.app, "type": alert.type, "severity": alert.severity, "shard": str(alert.shard)}
        return tuple(parts[name] for name in self.route.group_by)

    def plan(self, now_ms: int) -> Plan:
        """The next notification, or when to ask again."""
        silenced = self.drop_silenced(now_ms)
        window_ms = round(1000 * self.route.rate_s)
        while self.sent_times_ms and self.sent_times_ms[0] <= now_ms - window_ms:
            self.sent_times_ms.popleft()
        if now_ms < self.not_before_ms:
            return Plan(None, silenced, self.not_before_ms)
        due = [group for group in self.groups.values() if group.waiting and group.due_ms <= now_ms]
        chosen = self.next_of(due)
        if chosen is not None:
            return Plan(self.notification_of(chosen), silenced, None)
        for group in due:
            self.held.update(group.waiting)
            group.waiting.clear()
        times = [group.due_ms for group in self.groups.values() if group.waiting]
        if self.held:
            times.append(self.sent_times_ms[0] + window_ms)
        return Plan(None, silenced, min(times, default=None))

    def next_of(self, due: list[Group]) -> Group | None:
        """Whose turn it is: groups of a new kind, then the summary, then the oldest; a failed one is last.

        So a group that always fails delays no other: each of them is tried before it is tried again.
        """
        turns = [(group.tried_ms, 0, group.due_ms, group) for group in due if self.is_new(group)]
        if len(self.sent_times_ms) < self.route.rate:
            turns += [(group.tried_ms, 2, group.due_ms, group) for group in due if not self.is_new(group)]
            if self.held:
                turns.append((self.summary.tried_ms, 1, 0, self.summary))
        return min(turns, key=lambda turn: turn[:3])[3] if turns else None

    def is_new(self, group: Group) -> bool:
        """Whether it holds an alert of a kind that this route never sent."""
        return any(item.kind not in self.kinds for item in group.waiting.values())

    def drop_silenced(self, now_ms: int) -> list[Item]:
        """Drop the alerts that are silenced now; they are not sent later either."""
        dropped = []
        for waiting in [self.held, *(group.waiting for group in self.groups.values())]:
            names = [name for name, item in waiting.items() if self.silenced(item, now_ms)]
            dropped += [waiting.pop(name) for name in names]
        return dropped

    def notification_of(self, group: Group) -> Notification:
        """New kinds come first, so that none is behind the bound."""
        self.turn = group
        items = sorted(group.waiting.values(), key=lambda item: item.kind in self.kinds)
        return notification(self.route.name, items[: self.most], summary=group is self.summary)

    def delivered(self, sent: Notification, now_ms: int) -> None:
        """The channel has it."""
        self.failures, self.not_before_ms = 0, 0
        self.turn.tried_ms, self.turn.failing_ms = 0, None
        self.sent_times_ms.append(now_ms)
        self.forget(sent.items)
        # What is left of a notification that was split has waited already.
        pause_ms = 0 if self.most < MOST_AT_ONCE else round(1000 * self.route.interval_s)
        self.most = min(2 * self.most, MOST_AT_ONCE)
        for item in sent.items:
            self.kinds.add(item.kind)
            group = self.groups[self.group_of(item)]
            group.sent_ms = now_ms
            group.due_ms = now_ms + pause_ms
        self.drop_idle(now_ms)

    def failed(self, now_ms: int) -> None:
        """The channel does not have what was planned last: again, later and later."""
        first, most = BACK_OFF_MS
        self.not_before_ms = now_ms + min(most, first << min(self.failures, 10))
        self.failures += 1
        # 0 stands for "did not fail".
        self.turn.tried_ms = max(now_ms, 1)
        if self.turn.failing_ms is None:
            self.turn.failing_ms = now_ms

    def refused(self, rejected: Notification, *, splits: bool) -> list[Item]:
        """The channel refuses this notification for good; gives the alerts that leave the queue.

        The others are sent in smaller parts, so that one alert that cannot be delivered blocks no other.
        """
        if splits and len(rejected.items) > 1:
            self.most = len(rejected.items) // 2
            return []
        self.turn.tried_ms, self.turn.failing_ms = 0, None
        self.forget(rejected.items)
        return rejected.items

    def forget(self, items: Iterable[Item]) -> None:
        """These wait no more."""
        for item in items:
            self.held.pop(item.alert.alert_id, None)
            group = self.groups.setdefault(self.group_of(item), Group())
            group.waiting.pop(item.alert.alert_id, None)

    def drop_idle(self, now_ms: int) -> None:
        """Groups that have nothing to say and may speak at once are as good as new."""
        interval_ms = round(1000 * self.route.interval_s)
        for name in [name for name, group in self.groups.items() if not group.waiting]:
            if (self.groups[name].sent_ms or 0) + interval_ms < now_ms:
                del self.groups[name]

    def waiting(self) -> list[Item]:
        """Everything that is not delivered."""
        return [*self.held.values(), *(i for group in self.groups.values() for i in group.waiting.values())]
