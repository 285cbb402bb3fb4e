"""Takes one application's records in: tables, dashboard and routes follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol

import msgspec

from stream_app.ops.alert_store import DUE, REFUSED, AlertStore
from stream_app.ops.dashboard import DashboardModel
from stream_app.ops.notification import ENDED, Item
from stream_app.ops.routing import RouteQueue, matches
from topics.alerts import run_alert
from topics.reasons import MALFORMED
from topics.records import Alert, Stats

HEADER = "__stream_app.errors."
LONGEST_ALERT_ID = 512  # it is a key of a table
SENT, SUMMARISED, SILENCED = "sent", "summarised", "silenced"
SILENT, FAILING = "learner-silent", "delivery-failing"
WORDS = {
    SENT: "{}", SUMMARISED: "{} (in a summary)", SILENCED: "silenced for {}", DUE: "waiting for {}",
    REFUSED: "{} could not deliver it",
}  # fmt: skip

read_stats = msgspec.json.Decoder(Stats).decode
read_alert = msgspec.json.Decoder(Alert).decode
read_model = msgspec.json.Decoder(dict[str, Any]).decode


class Message(NamedTuple):
    """A record as it came."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class UnfitError(Exception):
    """A record that cannot be taken: its reason and a sentence."""

    def __init__(self, message: str, reason: str = MALFORMED) -> None:
        super().__init__(message)
        self.reason = reason


class IntakeCounts(Protocol):
    """What ops counts."""

    def alert(self, app: str, kind: str, severity: str) -> None: ...


class AlertIntake:
    """Stores what comes in, shows it on `board`, and offers alerts to `queues`."""

    def __init__(
        self,
        board: DashboardModel,
        store: AlertStore,
        queues: Sequence[RouteQueue],
        counts: IntakeCounts,
    ) -> None:
        self.app, self.shards = board.app, board.shards
        self.board, self.store, self.queues, self.counts = board, store, queues, counts
        self.heard_ms: dict[int, int] = {}
        self.silent: dict[int, Alert] = {}
        self.standing: dict[str, Alert] = {}  # by type, of those that concern no shard

    def restore(self, now_ms: int) -> None:
        """Fill board and routes from the tables, as a process does that just took over."""
        self.store.recall()
        tables = self.store.tables
        for point in self.store.points():
            self.board.point(point)
        for key, entry in list(tables.models.items()):
            self.board.model(key, entry["value"])
        for entry in list(tables.stats.values()):
            stats = msgspec.convert(entry["stats"], Stats)
            self.board.stats(stats)
            self.heard_ms[stats.shard] = now_ms
        for name, entry in list(tables.letters.items()):
            partition, _, offset = name.partition(":")
            self.board.dead_letter(int(partition), int(offset), entry["time_ms"], entry["headers"])
        entries = sorted(tables.alerts.values(), key=lambda entry: entry["alert"]["time_ms"])
        for entry in entries:
            self.restore_alert(msgspec.convert(entry["alert"], Alert), entry["routes"], now_ms)

    def restore_alert(self, alert: Alert, routes: Mapping[str, str], now_ms: int) -> None:
        self.board.alert(alert, words(routes))
        if alert.type == SILENT:
            if ENDED in alert.evidence:
                self.silent.pop(alert.shard, None)
            else:
                self.silent[alert.shard] = alert
        else:
            self.stand(alert)
        item = Item(self.app, alert)
        for queue in self.queues:
            outcome = routes.get(queue.route.name)
            if outcome == DUE:
                queue.add(item, now_ms)
            elif outcome not in (None, REFUSED):
                queue.kinds.add(item.kind)
        gone = set(routes) - {queue.route.name for queue in self.queues}
        for name in gone:  # a route that is no more delivers nothing
            self.store.record_outcome(alert.alert_id, name, SILENCED)

    def on_stats(self, message: Message, now_ms: int) -> None:
        stats = decoded(read_stats, message.value)
        self.check_shard(stats.shard)
        self.heard_ms[stats.shard] = now_ms
        if self.store.stats(stats) and stats.shard in self.silent:
            self.heard_again(stats)
        self.board.stats(stats)

    def on_alert(self, message: Message, now_ms: int) -> None:
        alert = decoded(read_alert, message.value)
        self.check_shard(alert.shard)
        if not 0 < len(alert.alert_id) <= LONGEST_ALERT_ID:
            raise UnfitError(f"alert_id has {len(alert.alert_id)} characters, 1 to {LONGEST_ALERT_ID} fit")
        self.accept(alert, now_ms)

    def on_model(self, message: Message, now_ms: int) -> None:  # noqa: ARG002  all four are called alike
        try:
            key = (message.key or b"").decode()
        except UnicodeDecodeError as error:
            raise UnfitError("the key is not UTF-8") from error
        value = None if message.value is None else decoded(read_model, message.value)
        self.store.model(key, value, message.offset)
        self.board.model(key, value)

    def on_letter(self, message: Message, now_ms: int) -> None:  # noqa: ARG002
        headers = {
            name.removeprefix(HEADER): (value or b"").decode(errors="replace")
            for name, value in message.headers
            if name.startswith(HEADER)
        }
        self.store.letter(message.partition, message.offset, message.time_ms, headers)
        self.board.dead_letter(message.partition, message.offset, message.time_ms, headers)

    def check_shard(self, shard: int) -> None:
        if not 0 <= shard < self.shards:
            raise UnfitError(f"shard {shard} is none of {self.shards}")

    def accept(self, alert: Alert, now_ms: int) -> None:
        """Keep an alert, show it, and give it to each route that means it."""
        item = Item(self.app, alert)
        queues = [queue for queue in self.queues if matches(queue.route, item)]
        names = [queue.route.name for queue in queues]
        if not self.store.alert(alert, names):
            return
        self.counts.alert(self.app, alert.type, alert.severity)
        self.board.alert(alert, words(dict.fromkeys(names, DUE)))
        for queue in queues:
            queue.add(item, now_ms)

    def notice(
        self,
        kind: str,
        shard: int,
        message: str,
        evidence: dict[str, Any],
        name: str,
        now_ms: int,
    ) -> None:
        """Raise an alert of our own; `name` is what makes its id."""
        alert = run_alert(self.app, shard, kind, name, now_ms, message, evidence)
        self.accept(alert, now_ms)
        if kind != SILENT:
            self.stand(alert)
        elif ENDED not in evidence:
            self.silent[shard] = alert

    def stand(self, alert: Alert) -> None:
        """Remember an alert until another one ends it."""
        if ENDED in alert.evidence:
            self.standing.pop(alert.type, None)
        else:
            self.standing[alert.type] = alert

    def watch(self, now_ms: int, silent_s: float) -> None:
        """Raise an alert for each shard that sent nothing for so long, by this machine's clock."""
        for shard, heard_ms in self.heard_ms.items():
            if shard in self.silent or now_ms - heard_ms < 1000 * silent_s:
                continue
            newest = self.store.tables.stats[str(shard)]["stats"]
            silence_s = round((now_ms - heard_ms) / 1000)
            message = f"no statistics for {silence_s} s: no learner runs, or it is stuck or still recovering"
            evidence = {"newest_ms": newest["time_ms"], "owner": newest["owner"], "seq": newest["seq"]}
            self.notice(SILENT, shard, message, evidence, str(newest["time_ms"]), now_ms)

    def heard_again(self, stats: Stats) -> None:
        """End a silence, by an alert of the same type: the same routes take it."""
        began = self.silent.pop(stats.shard)
        name = began.alert_id.rpartition("/")[2]
        evidence = {ENDED: began.alert_id, "owner": stats.owner}
        message = "statistics come again"
        self.notice(SILENT, stats.shard, message, evidence, f"{name}/ended", stats.time_ms)

    def record_outcome(self, item: Item, route: str, outcome: str) -> None:
        """Note and show what became of an alert on a route."""
        routes = self.store.record_outcome(item.alert.alert_id, route, outcome)
        if routes is not None:
            self.board.alert(item.alert, words(routes))

    def refused(self, item: Item, route: str, now_ms: int) -> None:
        """Note that a route cannot deliver an alert, and give it to another one unless one has it.

        Each route is asked once at most, so no alert goes round.
        """
        routes = self.store.routes(item.alert.alert_id)
        heard = any(state in (DUE, SENT, SUMMARISED) for name, state in routes.items() if name != route)
        others = [queue for queue in self.queues if queue.route.name not in {route, *routes}]
        other = next(
            (queue for queue in others if not heard and fnmatchcase(item.app, queue.route.apps)), None
        )
        noted = self.store.refused(item.alert.alert_id, route, other.route.name if other else None)
        if noted is None:
            return
        self.board.alert(item.alert, words(noted))
        if other is not None:
            other.add(item, now_ms)


def words(routes: Mapping[str, str]) -> str:
    """What became of an alert, for a person."""
    return ", ".join(WORDS[outcome].format(name) for name, outcome in routes.items()) or "no route means it"


def decoded(read: Callable[[bytes], Any], value: bytes | None) -> Any:
    """The record.

    Raises:
        UnfitError: it is none.
    """
    if value is None:
        raise UnfitError("the value is null (a tombstone)")
    try:
        return read(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnfitError(f"the value does not fit: {error}") from error
