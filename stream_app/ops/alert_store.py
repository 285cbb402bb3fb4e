"""What ops remembers of one application, in tables that a restart finds again.

Every change is keyed by what the record itself names (shard, minute, alert id, offset) and decided by the
record's own order, so records that come again change nothing. The tables are dictionaries here; Faust's keep
a changelog. What follows from the tables (heaps for the bounds) is rebuilt by `recall`.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from heapq import heappop, heappush
from typing import Any, NamedTuple

import msgspec

from stream_app.ops.dashboard import VERSIONS, order
from stream_app.ops.history import FAR_MS, Point, point_of
from topics.records import Alert, Stats

DUE, REFUSED = "due", "refused"
TABLES = ("stats", "history", "alerts", "models", "letters")


class Tables(NamedTuple):
    """Key → plain JSON values. `stats` by shard, `history` by shard and minute of a ring, `alerts` by id,
    `models` by the topic's key, `letters` by `<partition>:<offset>`.
    """

    stats: MutableMapping[str, Any]
    history: MutableMapping[str, Any]
    alerts: MutableMapping[str, Any]
    models: MutableMapping[str, Any]
    letters: MutableMapping[str, Any]


class Bound:
    """The `most` largest of what was put in; `put` gives what fell out."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: list[tuple[Any, ...]] = []
        self.names: set[str] = set()

    def put(self, rank: tuple[Any, ...], name: str) -> str | None:
        """Keep `name`; the smallest falls out, which may be itself."""
        if name in self.names:
            return None
        self.names.add(name)
        heappush(self.kept, (*rank, name))
        if len(self.kept) <= self.most:
            return None
        fallen: str = heappop(self.kept)[-1]
        self.names.discard(fallen)
        return fallen


class AlertStore:
    """Reads and writes the tables; each method says whether it changed anything."""

    def __init__(self, tables: Tables, score: str, *, minutes: int, alerts: int, letters: int) -> None:
        self.tables, self.score, self.minutes = tables, score, minutes
        self.sizes = {"alerts": alerts, "letters": letters}
        self.final, self.letters = Bound(alerts), Bound(letters)
        self.versions: dict[str, Bound] = {}

    def recall(self) -> None:
        """Find the bounds again from the tables."""
        self.final, self.letters = Bound(self.sizes["alerts"]), Bound(self.sizes["letters"])
        self.versions = {}
        for name, entry in list(self.tables.alerts.items()):
            if is_final(entry):
                self.drop(self.tables.alerts, self.final.put((entry["alert"]["time_ms"],), name))
        for name, entry in list(self.tables.letters.items()):
            self.drop(self.tables.letters, self.letters.put((entry["time_ms"],), name))
        for key in list(self.tables.models):
            self.bound_version(key)

    def drop(self, table: MutableMapping[str, Any], name: str | None) -> None:
        if name is not None and name in table:
            del table[name]

    def stats(self, value: Stats) -> bool:
        """Keep the newest of a shard, and the first of each minute."""
        key = str(value.shard)
        slot = value.time_ms // FAR_MS
        place = f"{key}/{slot % self.minutes}"
        known = self.tables.history.get(place)
        at_ms = known["time_ms"] if known is not None else -1
        if at_ms // FAR_MS < slot or (at_ms // FAR_MS == slot and value.time_ms < at_ms):
            self.tables.history[place] = msgspec.to_builtins(point_of(value, self.score))
        newest = self.tables.stats.get(key)
        if newest is not None and newest["order"] >= list(order(value)):
            return False
        self.tables.stats[key] = {"order": list(order(value)), "stats": msgspec.to_builtins(value)}
        return True

    def alert(self, value: Alert, routes: list[str]) -> bool:
        """Keep an alert that these routes are to send; one that is known is not sent again."""
        if value.alert_id in self.tables.alerts:
            return False
        entry = {"alert": msgspec.to_builtins(value), "routes": dict.fromkeys(routes, DUE)}
        self.tables.alerts[value.alert_id] = entry
        self.bound_alert(value.alert_id, entry)
        return True

    def record_outcome(self, alert_id: str, route: str, outcome: str) -> Mapping[str, str] | None:
        """Note what became of an alert on a route; gives what each said, None where nothing changed."""
        entry = self.tables.alerts.get(alert_id)
        if entry is None or entry["routes"].get(route) != DUE:
            return None
        return self.note(alert_id, {route: outcome})

    def refused(self, alert_id: str, route: str, other: str | None) -> Mapping[str, str] | None:
        """Note that a route can never deliver an alert, and in the same change that another one is to."""
        if self.routes(alert_id).get(route) != DUE:
            return None
        return self.note(alert_id, {route: REFUSED, **({} if other is None else {other: DUE})})

    def routes(self, alert_id: str) -> Mapping[str, str]:
        """What became of an alert on each route."""
        entry = self.tables.alerts.get(alert_id)
        return {} if entry is None else dict(entry["routes"])

    def note(self, alert_id: str, outcomes: Mapping[str, str]) -> Mapping[str, str]:
        """Change what became of an alert, in one change of the table."""
        entry = self.tables.alerts[alert_id]
        routes = {**entry["routes"], **outcomes}
        self.tables.alerts[alert_id] = entry = {**entry, "routes": routes}
        self.bound_alert(alert_id, entry)
        return routes

    def bound_alert(self, alert_id: str, entry: Mapping[str, Any]) -> None:
        """Only those that no route has to send can fall out."""
        if is_final(entry):
            self.drop(self.tables.alerts, self.final.put((entry["alert"]["time_ms"],), alert_id))

    def model(self, key: str, value: Any, offset: int) -> bool:
        """Keep a receipt as the compacted topic does; an earlier offset changes nothing."""
        known = self.tables.models.get(key)
        if value is None:
            self.drop(self.tables.models, key if known is not None and known["offset"] < offset else None)
            return known is not None
        if "/command/" in key or (known is not None and known["offset"] >= offset):
            return False
        self.tables.models[key] = {"offset": offset, "value": value}
        self.bound_version(key)
        return True

    def bound_version(self, key: str) -> None:
        """The newest versions of a shard."""
        shard, _, version = key.partition("/")
        if version.isdecimal():
            bound = self.versions.setdefault(shard, Bound(VERSIONS))
            self.drop(self.tables.models, bound.put((int(version),), key))

    def letter(self, partition: int, offset: int, time_ms: int, headers: Mapping[str, str]) -> bool:
        """Keep a dead letter's place and reason, never its key or value."""
        name = f"{partition}:{offset}"
        if name in self.tables.letters:
            return False
        self.tables.letters[name] = {"time_ms": time_ms, "headers": dict(headers)}
        self.drop(self.tables.letters, self.letters.put((time_ms,), name))
        return True

    def points(self) -> list[Point]:
        """The history, oldest first."""
        found = [msgspec.convert(value, Point) for value in self.tables.history.values()]
        return sorted(found, key=lambda point: point.time_ms)


def is_final(entry: Mapping[str, Any]) -> bool:
    """Whether no route has to send it any more."""
    return DUE not in entry["routes"].values()
