"""What a route sends at once: one group of alerts, or the summary of what its rate held back. Pure."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from topics.records import Alert

SHOWN = 20  # alerts in full; of the others the ids
ENDED = "ended"  # in an alert's evidence: the id of the alert that this one ends


class Item(NamedTuple):
    """An alert of an application."""

    app: str
    alert: Alert

    @property
    def kind(self) -> tuple[str, str]:
        return self.app, self.alert.type


class Notification(msgspec.Struct):
    """`id` is the alert's where there is one, else made of all their ids: the same alerts, the same id."""

    id: str
    route: str
    summary: bool
    items: list[Item]

    @property
    def counts(self) -> list[tuple[str, str, str, int]]:
        """Application, type, severity and how many, the most first."""
        found = Counter((item.app, item.alert.type, item.alert.severity) for item in self.items)
        return [(*kind, n) for kind, n in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))]

    @property
    def shown(self) -> list[Item]:
        """The newest ones, and at least one of each kind."""
        newest = sorted(self.items, key=lambda item: (-item.alert.time_ms, item.alert.alert_id))
        first: dict[tuple[str, str], Item] = {}
        for item in newest:
            first.setdefault(item.kind, item)
        others = [item for item in newest if first[item.kind] is not item]
        return [*first.values(), *others][: max(SHOWN, len(first))]

    def title(self) -> str:
        """One line for a person."""
        if len(self.items) == 1:
            app, alert = self.items[0]
            return f"{alert.severity}: {app} shard {alert.shard}: {alert.message}"
        counts = ", ".join(f"{n} × {app} {kind} ({severity})" for app, kind, severity, n in self.counts[:5])
        more = len(self.counts) - 5
        head = "held back meanwhile: " if self.summary else ""
        return head + counts + (f" and {more} kinds more" if more > 0 else "")

    def text(self) -> str:
        """A few lines: what happened, and where to read what to do."""
        lines = [self.title()]
        for app, alert in self.shown:
            lines.append(f"- {app} shard {alert.shard}, {alert.type}: {alert.message} ({alert.runbook})")
        if len(self.items) > len(self.shown):
            lines.append(f"- and {len(self.items) - len(self.shown)} more")
        return "\n".join(lines)

    def body(self) -> dict[str, Any]:
        """As JSON for a webhook."""
        return {
            "v": 1,
            "id": self.id,
            "route": self.route,
            "summary": self.summary,
            "title": self.title(),
            "count": len(self.items),
            "counts": [
                {"app": app, "type": kind, "severity": severity, "count": n}
                for app, kind, severity, n in self.counts
            ],
            "alerts": [{"app": app, **msgspec.to_builtins(alert)} for app, alert in self.shown],
            "alert_ids": [item.alert.alert_id for item in self.items],
        }


def notification(route: str, items: list[Item], *, summary: bool) -> Notification:
    """Of these alerts."""
    ids = sorted(item.alert.alert_id for item in items)
    name = ids[0] if len(ids) == 1 else sha256("\n".join(ids).encode()).hexdigest()[:32]
    return Notification(name, route, summary, items)
