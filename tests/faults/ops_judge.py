"""What the tables of ops must hold, told from the topics alone: no code of `stream_app.ops` is asked.

It reads every committed record of an application and folds it by the rules of docs/operations.md: the newest
statistics by batch, the first of each minute, alerts by id, receipts as compacted, letters by offset.
"""

from __future__ import annotations

from typing import Any

import orjson

from stream_app.client import CommittedReader

MINUTE_MS, MINUTES = 60_000, 450
ERRORS = "__stream_app.errors."


def committed(servers: str, topic: str) -> list[Any]:
    """All records of a topic, each partition in its order."""
    with CommittedReader(servers, topic, until_end=True) as reader:
        return sorted(reader, key=lambda record: (record.partition, record.offset))


def expected(servers: str, app: str, keep_alerts: int, keep_letters: int) -> dict[str, dict[str, Any]]:
    """By table: what it holds, without what depends on the clock."""
    return {
        "stats": newest(servers, app),
        "history": minutes(servers, app),
        "alerts": newest_of(
            {
                record["alert_id"]: record
                for record in map(decoded, committed(servers, f"{app}.alerts"))
                if isinstance(record, dict)
            },
            keep_alerts,
            lambda name, told: (told["time_ms"], name),
        ),
        "models": {
            record.key.decode(): orjson.loads(record.value)
            for record in committed(servers, f"{app}.models")
            if b"/command/" not in record.key
        },
        "letters": newest_of(
            {
                f"{record.partition}:{record.offset}": (record.timestamp, headers_of(record))
                for record in committed(servers, f"{app}.dead-letters")
            },
            keep_letters,
            lambda name, told: (told[0], name),
        ),
    }


def decoded(record: Any) -> Any:
    """A record's value, None where it is no JSON."""
    try:
        return orjson.loads(record.value)
    except ValueError:
        return None


def newest(servers: str, app: str) -> dict[str, Any]:
    """Each shard's last statistics in the order of its log: one shard, one partition, one writer."""
    found: dict[str, Any] = {}
    for record in committed(servers, f"{app}.stats"):
        told = orjson.loads(record.value)
        known = found.get(str(told["shard"]))
        rank = (told["epoch"], told["seq"], told["time_ms"])
        if known is None or rank > (known["epoch"], known["seq"], known["time_ms"]):
            found[str(told["shard"])] = told
    return found


def minutes(servers: str, app: str) -> dict[str, int]:
    """When the first statistics of each of the last minutes were told."""
    found: dict[str, int] = {}
    for record in committed(servers, f"{app}.stats"):
        told = orjson.loads(record.value)
        minute = told["time_ms"] // MINUTE_MS
        name = f"{told['shard']}/{minute % MINUTES}"
        at_ms = found.get(name, 0)
        if at_ms // MINUTE_MS < minute or told["time_ms"] < at_ms:
            found[name] = told["time_ms"]
    return found


def newest_of(found: dict[str, Any], most: int, rank: Any) -> dict[str, Any]:
    """The `most` newest."""
    names = sorted(found, key=lambda name: rank(name, found[name]))[-most:]
    return {name: found[name] for name in names}


def headers_of(record: Any) -> dict[str, str]:
    """What a dead letter tells about its record."""
    return {
        name.removeprefix(ERRORS): value.decode() for name, value in record.headers if name.startswith(ERRORS)
    }


def bare(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tables as a changelog has them, in the judge's form."""
    return {
        "stats": {name: told["stats"] for name, told in tables["stats"].items()},
        "history": {name: told["time_ms"] for name, told in tables["history"].items()},
        "alerts": {name: told["alert"] for name, told in tables["alerts"].items()},
        "models": {name: told["value"] for name, told in tables["models"].items()},
        "letters": {name: (told["time_ms"], told["headers"]) for name, told in tables["letters"].items()},
    }


def subset(told: Any, whole: Any) -> bool:
    """Whether every field that was written is kept with its value; the tables add defaults."""
    if isinstance(told, dict) and isinstance(whole, dict):
        return all(name in whole and subset(value, whole[name]) for name, value in told.items())
    if isinstance(told, list | tuple) and isinstance(whole, list | tuple):
        return len(told) == len(whole) and all(map(subset, told, whole))
    return bool(told == whole)
