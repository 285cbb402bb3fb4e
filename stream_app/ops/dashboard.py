"""What the page shows of one application: fed with records, asked for all or for what changed.

Pure: no I/O, no clock but the time that is passed in. The same record twice changes nothing; all is bounded.
`model` and `dead_letter` take what stands in the topics, also what others may have put there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from stream_app.inspect.explain import why
from stream_app.inspect.model_status import Shard, ShardReceipts, shard_of
from stream_app.ops.figures import Sample, detail, newest, sample_of, summary
from stream_app.ops.health import over, verdict
from stream_app.ops.history import FAR_MS, NEAR_MS, History, Point, point_of, score_name
from stream_app.ops.regret import regret_of
from topics.reasons import REASONS
from topics.records import Alert, ModelReceipt, Stats

ALERTS = LETTERS = 200
VERSIONS = 100  # receipts of one shard
SHOWN_MODELS = 60
LONGEST_TEXT, LONGEST_EVIDENCE = 1_000, 4_000  # characters
NEWEST_ROWS = 3


class DashboardModel:
    """One application's condition. `loss` is what its swaps judge; `history` is points per shard.

    `version` grows with each change.
    """

    def __init__(
        self, app_name: str, shards: int, task: str, history: int = 900, *, loss: str | None = None
    ) -> None:
        self.app, self.shards, self.task, self.loss = app_name, shards, task, loss
        self.version = 0
        self.score = score_name(task)
        self.history = History(history, lower_is_better=self.score == "mae")
        self.newest: dict[int, Stats] = {}
        self.samples: dict[int, list[Sample]] = {}
        self.receipts: dict[int, ShardReceipts] = {}
        self.alerts: dict[str, tuple[int, dict[str, Any]]] = {}  # by id: the version that changed it, and it
        self.letters: dict[tuple[int, int], tuple[int, dict[str, Any]]] = {}
        self.changed_models: dict[int, int] = {}  # by shard, the version
        self.shown_models: dict[int, tuple[tuple[int, str, tuple[int, ...]], list[dict[str, Any]]]] = {}

    def stats(self, value: Stats) -> None:
        """A shard's newest statistics; older ones go into the history alone."""
        changed = value.shard < self.shards and self.history.add(point_of(value, self.score))
        known = self.newest.get(value.shard)
        if value.shard < self.shards and (known is None or order(value) > order(known)):
            self.newest[value.shard] = value
            samples = self.samples.setdefault(value.shard, [])
            samples.append(sample_of(value))
            samples[:] = newest(samples)
            self.close_alerts(value.shard)
            changed = True
        if changed:
            self.version += 1
            self.models_of(value.shard)

    def point(self, value: Point) -> None:
        """A point of the history that was kept elsewhere."""
        if value.shard < self.shards and self.history.add(value):
            self.version += 1

    def alert(self, value: Alert, delivered: str = "") -> None:
        """An alert, and what became of its delivery; the newest of one id counts."""
        entry = {
            "id": value.alert_id,
            "type": value.type,
            "severity": value.severity,
            "shard": value.shard,
            "time_ms": value.time_ms,
            "message": cut(value.message),
            "evidence": evidence(value.evidence),
            "runbook": cut(value.runbook),
            "delivered": delivered,
            "over": False,
        }
        if value.alert_id in self.alerts:
            entry["over"] = self.alerts[value.alert_id][1]["over"]
        self.put(self.alerts, value.alert_id, entry, ALERTS)
        self.close_alerts(value.shard)

    def close_alerts(self, shard: int) -> None:
        """Mark the alerts of a shard that are over now; one that is stays so."""
        mine = [alert for alert in self.standing_alerts() if alert["shard"] == shard]
        for alert in over(mine, self.newest.get(shard)):
            self.put(self.alerts, alert["id"], {**alert, "over": True}, ALERTS)

    def model(self, key: str, value: Mapping[str, Any] | None) -> None:
        """A record of `<app>.models`; None: the topic holds the key no more."""
        shard, _, name = key.partition("/")
        if not shard.isdecimal() or int(shard) >= self.shards or not (name == "champion" or name.isdecimal()):
            return
        number = int(shard)
        mine = self.receipts.setdefault(number, ShardReceipts(number, None, {}))
        if value is None:
            changed = name.isdecimal() and mine.versions.pop(int(name), None) is not None
        else:
            try:
                receipt = msgspec.convert(value, ModelReceipt)
            except msgspec.ValidationError:
                return  # anybody may write to the topic
            if receipt.shard != number or name not in ("champion", str(receipt.version)):
                return
            known = mine.champion if name == "champion" else mine.versions.get(receipt.version)
            changed = known != receipt
            if name == "champion":
                mine.champion = receipt
            else:
                mine.versions[receipt.version] = receipt
            for version in sorted(mine.versions)[:-VERSIONS]:
                del mine.versions[version]
        if changed:
            self.version += 1
            self.shown_models.pop(number, None)
            self.models_of(number)

    def dead_letter(self, partition: int, offset: int, time_ms: int, headers: Mapping[str, str]) -> None:
        """A refused record's place and reason; never its key or value."""
        reason = REASONS.get(headers.get("reason", ""))
        entry = {
            "partition": partition,
            "offset": offset,
            "time_ms": time_ms,
            **{name: cut(headers.get(name, "")) for name in ("reason", "message", "stage", "topic")},
            "source": f"{cut(headers.get('partition', ''))}:{cut(headers.get('offset', ''))}",
            "meaning": reason.meaning if reason else "",
            "remedy": reason.remedy if reason else "",
        }
        self.put(self.letters, (partition, offset), entry, LETTERS)

    def put(
        self, kept: dict[Any, tuple[int, dict[str, Any]]], key: Any, entry: dict[str, Any], most: int
    ) -> None:
        """Keep the newest `most` by time; one that is older than all of a full list changes nothing."""
        if key in kept and kept[key][1] == entry:
            return
        if key not in kept and len(kept) >= most:
            oldest = min(kept, key=lambda name: (kept[name][1]["time_ms"], name))
            if (entry["time_ms"], key) < (kept[oldest][1]["time_ms"], oldest):
                return
            del kept[oldest]
        self.version += 1
        kept[key] = (self.version, entry)

    def models_of(self, shard: int) -> list[dict[str, Any]]:
        """A shard's models with their receipts in words, made anew when one's standing changes."""
        stats, receipts = self.newest.get(shard), self.receipts.get(shard)
        if receipts is None:
            return []
        slots = tuple(slot.version * (-1 if slot.failed else 1) for slot in stats.slots) if stats else ()
        state = (len(receipts.versions), stats.serving if stats else "", slots)
        if shard not in self.shown_models or self.shown_models[shard][0] != state:
            found: Shard = shard_of(receipts, stats)
            models = [
                {
                    **{name: getattr(model, name) for name in PARTS},
                    "why": cut(model.why),
                    "words": [cut(text) for text in why(found, model, self.loss)],
                }
                for model in found.models
            ]
            self.shown_models[shard] = (state, models)
            self.version += 1
            self.changed_models[shard] = self.version
        return self.shown_models[shard][1]

    def chosen_models(self, shard: int | None) -> list[dict[str, Any]]:
        """A shard's models, or of all shards those that changed last; who serves is always there."""
        if shard is not None:
            return self.models_of(shard)
        found = [model for number in range(self.shards) for model in self.models_of(number)]
        found.sort(key=lambda model: (model["status"] != "serving", -(model["since_ms"] or 0)))
        return found[: max(SHOWN_MODELS, self.shards)]

    def snapshot(self, now_ms: int = 0, shard: int | None = None) -> dict[str, Any]:
        """All that the page shows of a shard, or of all. Without a time, now is the newest record."""
        board = self.changes(-1, now_ms, shard)
        board["series"] = {
            "near": self.history.series(NEAR_MS, shard),
            "far": self.history.series(FAR_MS, shard),
        }
        return board

    def changes(self, since: int, now_ms: int = 0, shard: int | None = None) -> dict[str, Any]:
        """What changed after version `since`: it replaces or adds to what a snapshot held."""
        now_ms = now_ms or max((stats.time_ms for stats in self.newest.values()), default=0)
        chosen = range(self.shards) if shard is None else (shard,)
        changes: dict[str, Any] = {
            "app": self.app,
            "task": self.task,
            "score": self.score,
            "shards": self.shards,
            "version": self.version,
            "now_ms": now_ms,
            "scope": shard,
            "health": verdict(self, now_ms),
            "summary": [summary(self.newest[n], self.samples[n], self.score) for n in sorted(self.newest)],
            "detail": detail(
                [(self.newest[n], self.samples[n]) for n in chosen if n in self.newest], self.score
            ),
            "regret": self.regret(chosen),
            "alerts": self.since(self.alerts, since),
            "letters": self.since(self.letters, since),
        }
        if any(self.changed_models.get(number, 0) > since for number in chosen):
            changes["models"] = self.chosen_models(shard)
            changes["models_in_all"] = sum(len(self.models_of(number)) for number in chosen)
        if since >= 0:
            changes["series"] = {
                "near": self.history.series(NEAR_MS, shard, NEWEST_ROWS),
                "far": self.history.series(FAR_MS, shard, NEWEST_ROWS),
            }
        return changes

    def regret(self, chosen: Sequence[int]) -> dict[str, Any] | None:
        """How a blend compares with its models; of one shard alone, as their versions are its own."""
        if len(chosen) != 1:
            return None
        points = self.history.recall(chosen[0])
        found = regret_of(points, lower_is_better=self.score == "mae")
        return None if found is None else msgspec.structs.asdict(found)

    def since(self, kept: Mapping[Any, tuple[int, dict[str, Any]]], since: int) -> list[dict[str, Any]]:
        """Newest first."""
        entries = [entry for version, entry in kept.values() if version > since]
        return sorted(entries, key=lambda entry: -entry["time_ms"])

    def standing_alerts(self) -> Iterator[dict[str, Any]]:
        """Every alert that is kept."""
        for _, alert in self.alerts.values():
            yield alert


PARTS = ("shard", "version", "slot", "kind", "status", "parent", "since_ms", "failed")


def order(stats: Stats) -> tuple[int, int, int]:
    """By batch, then by the clock: a new owner's may be behind."""
    return stats.epoch, stats.seq, stats.time_ms


def cut(text: str) -> str:
    """A text of others, bounded."""
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def evidence(values: Mapping[str, Any]) -> dict[str, str]:
    """Evidence as texts by name, bounded in all."""
    texts, room = {}, LONGEST_EVIDENCE
    for name, value in values.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        texts[cut(name)] = text[:room] + ("…" if len(text) > room else "")
        room -= len(name) + len(text)
        if room <= 0:
            break
    return texts
