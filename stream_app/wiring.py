"""The composition root: the only file that joins adapters to ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
import structlog

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.definition_hash import layout_of
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_log import KafkaLog
from stream_app.adapters.kafka_replay import KafkaReplay
from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.adapters.metrics import Metrics
from stream_app.adapters.model_shelf import RedisModelShelf
from stream_app.adapters.redis_view import RedisView
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.learner.daemon_pool import DaemonPool
from stream_app.learner.fingerprint import fingerprint
from stream_app.learner.loop import Learner
from stream_app.learner.outside import Outside, Tuning
from stream_app.learner.upgrade import Plan, open_epoch, prepare
from stream_app.learner.verify import drain
from stream_app.settings import Settings
from stream_app.wiring_topics import catalog_for
from topics.catalog import Catalog
from topics.life import life_of

HELPERS_PER_SHARD = 3  # a commit, a view write and a publication may block at the same time


def input_topics(topics: Catalog) -> tuple[str, ...]:
    """By rank: commands, events, labels."""
    return (topics.commands.name, topics.events.name, topics.labels.name)


def output_topics(topics: Catalog) -> dict[str, str]:
    """What a shard's transaction writes, by the catalog's attribute."""
    return {
        "commands": topics.commands.name,  # a learner's own orders go through the log, as everybody's do
        "predictions": topics.predictions.name, "alerts": topics.alerts.name, "models": topics.models.name,
        "stats": topics.stats.name, "dead_letters": topics.dead_letters.name, "journal": topics.journal.name,
    }  # fmt: skip


def outside_for(
    app: Application, settings: Settings, instance_id: str | None = None, life: str = ""
) -> Outside:
    """Every door of a learner process."""
    topics = catalog_for(app, settings)
    inputs = input_topics(topics)
    kafka = settings.kafka.confluent()
    names = output_topics(topics)
    tuning = settings.learner
    member: dict[str, Any] = {"session.timeout.ms": tuning.session_timeout_ms}
    if instance_id:
        member["group.instance.id"] = instance_id
    client = redis.Redis.from_url(settings.redis.url.get_secret_value(), **settings.redis.client_kwargs())
    layout, clock = layout_of(app), SystemClock()
    metrics = Metrics(app.name, app.shards, clock)
    if tuning.metrics_port is not None:
        metrics.serve(tuning.metrics_port, tuning.metrics_host)
    return Outside(
        app=app,
        input_topics=inputs,
        log=KafkaLog(kafka, app.name, inputs, **member),
        open_writer=lambda shard: KafkaWriter(
            kafka, f"{app.name}.{shard}", shard, names, inputs, tuning.transaction_timeout_ms
        ),
        open_source=source_opener(app, settings),
        open_view=lambda shard: RedisView(client, app.name, shard, app.ttl_ms, layout, life),
        open_store=store_opener(app, settings, life),
        open_shelf=lambda shard: RedisModelShelf(
            client, settings.snapshots.url, app.name, shard, settings.signing.raw()[0], life
        ),
        clock=clock,
        telemetry=metrics,
        pool=ThreadPoolExecutor(
            max_workers=max(4, HELPERS_PER_SHARD * app.shards), thread_name_prefix="helper"
        ),
        store_pool=DaemonPool(),
        tuning=Tuning(
            tuning.batch_ms,
            tuning.batch_records,
            tuning.watchdog_s,
            f"{socket.gethostname()}:{os.getpid()}",
            tuning.publish_s,
            tuning.loop_watchdog_s,
        ),
    )


def source_opener(app: Application, settings: Settings) -> Callable[[int], KafkaReplay]:
    """Opens a shard's journal and inputs for a replay."""
    topics = catalog_for(app, settings)
    return lambda shard: KafkaReplay(
        settings.kafka.confluent(), app.name, shard, topics.journal.name, input_topics(topics)
    )


def store_opener(app: Application, settings: Settings, life: str = "") -> Callable[[int], FileSnapshots]:
    """Opens a shard's snapshots, those of one life where that is named.

    Raises:
        Refused: no place or no key is set.
    """
    if not settings.snapshots.url:
        raise Refused(
            "no place for snapshots is set", "Set STREAM_APP_SNAPSHOTS__URL to a directory or fsspec URL"
        )
    keys = settings.signing.raw()
    return lambda shard: FileSnapshots(settings.snapshots.url, app.name, shard, keys, app.modules, life)


def fingerprint_for(app: Application, settings: Settings) -> dict[str, Any]:
    """Who may append to the application's journal.

    Raises:
        Refused: as `TopicAdmin.require`.
    """
    topics = catalog_for(app, settings)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        ids = admin.require(topics)
    return fingerprint(app, {name: ids[name] for name in input_topics(topics)})


def upgrade(app: Application, settings: Settings, *, dry_run: bool) -> Iterator[Plan]:
    """Take every shard into a new epoch, or say what that would do.

    Raises:
        Refused: a learner runs, or a shard cannot be upgraded as it is.
    """
    topics = catalog_for(app, settings)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        if not dry_run and admin.group(app.name).members:
            raise Refused("a learner of this application is running", "Stop every learner (SIGTERM) first")
    current, inputs, kafka = fingerprint_for(app, settings), input_topics(topics), settings.kafka.confluent()
    for shard in range(app.shards):
        store = store_opener(app, settings, life_of(current["topics"]))(shard)
        source = source_opener(app, settings)(shard)
        try:
            prepared = drain(prepare(app, shard, current, source, store))
        finally:
            source.close()
        if prepared is None:
            continue
        if prepared.plan.changed and not dry_run:
            writer = KafkaWriter(kafka, f"{app.name}.{shard}", shard, output_topics(topics), inputs)
            try:
                writer.fence()
                open_epoch(app, prepared, current, inputs, writer, store)
            finally:
                writer.close()
        yield prepared.plan


def learner(
    app: Application,
    settings: Settings,
    *,
    exit_when_idle_s: float | None = None,
    instance_id: str | None = None,
) -> Learner:
    """A learner process's loop, ready to run."""
    structlog.contextvars.bind_contextvars(app=app.name)
    store_opener(app, settings)(0)  # a missing key or directory is told before the group is joined
    prints = fingerprint_for(app, settings)
    outside = outside_for(app, settings, instance_id, life_of(prints["topics"]))
    return Learner(outside, prints, exit_when_idle_s)
