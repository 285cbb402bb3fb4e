"""Each shard's condition, put together from the log, the group and the view; no learner need run.

Lag in records is the distance from the committed position to the end. Lag in seconds is how old, by its own
time stamp, the oldest record is that no learner has committed; 0 where there is none. A record's stamp is its
event time, so history that is being caught up with counts as old as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from kafka.consumer.fetcher import ConsumerRecord

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_admin import Group, TopicAdmin
from stream_app.adapters.redis_admin import client_for
from stream_app.adapters.redis_view import RedisView
from stream_app.application import Application
from stream_app.inspect.tail_reader import Place, TailReader
from stream_app.settings import Settings
from topics.batch_id import BatchId, batch_of, without_digest
from topics.catalog import Catalog
from topics.journal import AttemptRecord, BatchRecord, EpochRecord
from topics.life import life_of
from topics.records import Alert, Stats

FRESH_S = 3.0  # statistics come every second while anything happens
SILENT_S = 30.0  # and every ten seconds while nothing does
IDLE_S = 10.0  # without a batch
ALERT = msgspec.json.Decoder(Alert)
Journaled = BatchRecord | EpochRecord | AttemptRecord
JOURNAL = msgspec.json.Decoder(Journaled)
STATS = msgspec.json.Decoder(Stats)


class InputLag(msgspec.Struct):
    """How far a shard is behind on one input; `lost` records were deleted before a learner read them."""

    position: int
    end: int
    lag: int
    lag_s: float
    lost: int


class Condition(msgspec.Struct):
    """One shard. `owner` is null unless a member of the group holds it; `last_owner` wrote the statistics.

    What only a learner knows is null before its first statistics; `stats_fresh` says whether they show the
    newest batch or are younger than three seconds. `idle`: a learner sends statistics, has nothing left to
    do, and no batch came for ten seconds. `definition` is the hash of the definition that it runs.
    `view_caught_up` is null when Redis is not asked. `halted` says why the shard stopped for good, null
    while it did not; `failing` what it fails at repeatedly, null once a batch is committed after it; `waits`
    why it cannot be recovered now.
    """

    shard: int
    owner: str | None
    last_owner: str | None
    epoch: int | None
    seq: int | None
    lag: int
    lag_s: float
    inputs: dict[str, InputLag]
    pending: int | None
    champion: dict[str, Any] | None
    learned: int | None
    paused: bool | None
    dead_letters: dict[str, int] | None
    snapshot_seq: int | None
    snapshot_age_s: float | None
    view_stamp: str | None
    view_caught_up: bool | None
    stats_age_s: float | None
    stats_fresh: bool
    halted: str | None
    idle: bool
    definition: str | None
    failing: str | None
    waits: str | None


def conditions(app: Application, settings: Settings, topics: Catalog) -> list[Condition]:
    """All shards in order.

    Raises:
        Refused: no broker answers, or a topic is missing or cannot be used.
    """
    kafka = settings.kafka.kafka_python()
    with TopicAdmin(kafka) as admin:
        ids = admin.require(topics)
        with TailReader(kafka, [topic.name for topic in topics]) as peek:
            group = admin.group(app.name)
            reported = peek.newest(topics.stats.name, app.shards)
            journaled = peek.newest(topics.journal.name, app.shards)
            alerts = peek.newest(topics.alerts.name, app.shards)
            stats = {number: STATS.decode(record.value) for number, record in reported.items()}
            journal = {number: JOURNAL.decode(record.value) for number, record in journaled.items()}
            lags = input_lags(app, topics, admin, peek, group, stats)
    names = topics.inputs
    stamps = view_stamps(app, settings, life_of({name: ids[name] for name in names}))
    return [
        condition(
            shard,
            (topics.events.name, shard) in group.held,
            lags[shard],
            stats.get(shard),
            journal.get(shard),
            stamps[shard] if stamps else None,
            asked=stamps is not None,
            halted=newest("shard-halted", alerts.get(shard), reported.get(shard), journaled.get(shard)),
            batch_ms=journaled[shard].timestamp if shard in journaled else 0,
            failing=failing(alerts.get(shard), journaled.get(shard), journal.get(shard)),
            waits=newest(
                "snapshots-unreachable", alerts.get(shard), reported.get(shard), journaled.get(shard)
            ),
        )
        for shard in range(app.shards)
    ]


def input_lags(
    app: Application,
    topics: Catalog,
    admin: TopicAdmin,
    peek: TailReader,
    group: Group,
    stats: Mapping[int, Stats],
) -> list[dict[str, InputLag]]:
    """By shard and input. Where the broker has forgotten a position, that of the statistics counts."""
    names = {"events": topics.events.name, "labels": topics.labels.name, "commands": topics.commands.name}
    places: list[tuple[str, Place]] = [
        (name, (topic, shard)) for name, topic in names.items() for shard in range(app.shards)
    ]
    first = peek.first_offsets([place for _, place in places])
    ends = {topic: admin.ends(topic, app.shards) for topic in names.values()}
    spans: dict[Place, tuple[int, int]] = {}
    lost: dict[Place, int] = {}
    for name, place in places:
        topic, shard = place
        # A shard without a history begins at what is retained.
        known = stats[shard].positions[name] if shard in stats else first[place]
        committed = group.positions.get(place, known)
        position = max(committed, first[place])
        spans[place] = (position, max(position, ends[topic][shard]))
        lost[place] = position - committed
    stamps_ms = peek.stamps_ms({place: span for place, span in spans.items() if span[1] > span[0]})
    now_ms = SystemClock().now_ms()
    lags: list[dict[str, InputLag]] = [{} for _ in range(app.shards)]
    for name, place in places:
        position, end = spans[place]
        age_s = max(0, now_ms - stamps_ms.get(place, now_ms)) / 1000
        lags[place[1]][name] = InputLag(position, end, end - position, age_s, lost[place])
    return lags


def view_stamps(app: Application, settings: Settings, life: str) -> list[str | None] | None:
    """By shard: up to which batch Redis shows it; None when no Redis is named."""
    url = settings.redis.url.get_secret_value()
    if not url:
        return None
    with client_for(url, settings.redis.client_kwargs()) as client:
        views = [RedisView(client, app.name, shard, app.ttl_ms, life=life) for shard in range(app.shards)]
        return [view.stamp() for view in views]


def condition(
    shard: int,
    held: bool,
    lags: dict[str, InputLag],
    stats: Stats | None,
    journal: Journaled | None,
    stamp: str | None,
    *,
    asked: bool,
    halted: str | None,
    batch_ms: int,
    failing: str | None,
    waits: str | None,
) -> Condition:
    """One shard's parts, joined; `batch_ms` is when its newest batch was written."""
    now_ms = SystemClock().now_ms()
    age_s = max(0, now_ms - stats.time_ms) / 1000 if stats else None
    lag = sum(found.lag for found in lags.values())
    champion = next((slot for slot in stats.slots if slot.name == stats.serving), None) if stats else None
    snapshot = stats.snapshot if stats else None
    newest = BatchId(journal.epoch, journal.seq) if journal else BatchId(0, 0)
    shown = stats is not None and (stats.epoch, stats.seq) >= newest
    return Condition(
        shard=shard,
        owner=stats.owner if stats and held else None,
        last_owner=stats.owner if stats else None,
        epoch=journal.epoch if journal else None,
        seq=journal.seq if journal else None,
        lag=lag,
        lag_s=max(found.lag_s for found in lags.values()),
        inputs=lags,
        pending=stats.waiting["pending"] if stats else None,
        champion={"name": champion.name, "version": champion.version} if champion else None,
        learned=champion.learned if champion else None,
        paused=stats.paused if stats else None,
        dead_letters=stats.dead_letters if stats else None,
        snapshot_seq=snapshot.seq if snapshot else None,
        snapshot_age_s=snapshot.age_s + age_s
        if snapshot and snapshot.age_s is not None and age_s is not None
        else None,
        view_stamp=without_digest(stamp) if stamp else None,
        view_caught_up=(batch_of(stamp) >= newest) if asked else None,
        stats_age_s=age_s,
        stats_fresh=shown or (age_s is not None and age_s <= FRESH_S),
        halted=halted,
        idle=halted is None and idles(held, age_s, lag, (now_ms - batch_ms) / 1000),
        definition=(stats.definition or None) if stats else None,
        failing=failing,
        waits=waits,
    )


def idles(held: bool, stats_age_s: float | None, lag: int, batch_age_s: float) -> bool:
    """Whether a shard's learner runs and has nothing to do: by the ages of its statistics and its batch."""
    runs = held and stats_age_s is not None and stats_age_s <= SILENT_S
    return runs and lag == 0 and batch_age_s >= IDLE_S


def newest(kind: str, alert: ConsumerRecord | None, *others: ConsumerRecord | None) -> str | None:
    """Why a shard stands still, if its newest alert is of this type and nothing was written for it since.

    A shard that goes on writes statistics as its first act. Records are compared by when they were written.
    """
    if alert is None or any(other is not None and other.timestamp > alert.timestamp for other in others):
        return None
    decoded = alert_of(alert)
    return str(decoded.evidence.get("reason", decoded.message)) if decoded and decoded.type == kind else None


def failing(
    alert: ConsumerRecord | None, newest: ConsumerRecord | None, journal: Journaled | None
) -> str | None:
    """What a shard fails at repeatedly, if it has committed no batch since.

    A repeated attempt is its own witness; failures that no record caused stand in an alert alone.
    """
    tries = isinstance(journal, AttemptRecord)
    if isinstance(journal, AttemptRecord) and journal.attempt > 1:
        at = "{}@{}".format(*journal.record) if journal.record else f"{journal.records} records"
        return f"attempt {journal.attempt} at {at} after batch {journal.epoch}:{journal.seq}"
    if alert is None or newest is None or (newest.timestamp > alert.timestamp and not tries):
        return None
    decoded = alert_of(alert)
    return decoded.message if decoded and decoded.type == "shard-failing" else None


def alert_of(record: ConsumerRecord) -> Alert | None:
    """An alert, None for what is not one: anybody may write to the topic."""
    try:
        return ALERT.decode(record.value or b"")
    except msgspec.MsgspecError:
        return None
