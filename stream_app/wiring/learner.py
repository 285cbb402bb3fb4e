"""The composition root: the only file that joins adapters to ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_admin import DELETED, TopicAdmin, is_log
from stream_app.adapters.kafka_log import KafkaLog
from stream_app.adapters.kafka_replay import KafkaReplay
from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.adapters.metrics import Metrics
from stream_app.adapters.model_shelf import RedisModelShelf
from stream_app.adapters.redis_admin import client_for
from stream_app.adapters.redis_view import RedisView
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.adapters.write_test import try_writing
from stream_app.application import Application
from stream_app.definition.digest import layout_of
from stream_app.errors import NO_TOPIC_FIX, Halted, Refused
from stream_app.learner.daemon_pool import DaemonPool
from stream_app.learner.dependencies import Dependencies, Inspection, Tuning
from stream_app.learner.history.past import Past
from stream_app.learner.history.starts import Wish
from stream_app.learner.history.upgrade import Plan, upgrade_shard
from stream_app.learner.history.verify import drain
from stream_app.learner.loop import Learner
from stream_app.learner.recovery.fingerprint import fingerprint
from stream_app.learner.step_marks import StepMarks
from stream_app.settings import Settings
from stream_app.wiring.topics import catalog_for
from topics.catalog import Catalog
from topics.life import life_of

HELPERS_PER_SHARD = 3  # a commit, a view write and a publication may block at the same time


def input_topics(topics: Catalog) -> tuple[str, ...]:
    """Give the input topics by rank: commands, events, labels."""
    return topics.inputs


def output_topics(topics: Catalog) -> dict[str, str]:
    """What a shard's transaction writes, by the catalog's attribute."""
    return {
        "commands": topics.commands.name,  # a learner's own orders go through the log, as everybody's do
        "predictions": topics.predictions.name,
        "alerts": topics.alerts.name,
        "models": topics.models.name,
        "stats": topics.stats.name,
        "dead_letters": topics.dead_letters.name,
        "journal": topics.journal.name,
    }


def dependencies_for(
    app: Application,
    settings: Settings,
    instance_id: str | None = None,
    life: str = "",
    *,
    marks: StepMarks | None = None,
) -> Dependencies:
    """Every door of a learner process."""
    topics = catalog_for(app, settings)
    inputs = input_topics(topics)
    kafka = settings.kafka.confluent()
    names = output_topics(topics)
    tuning = settings.learner
    member: dict[str, Any] = {
        "session.timeout.ms": tuning.session_timeout_ms,
        "max.poll.interval.ms": max(tuning.rebalance_timeout_ms, tuning.session_timeout_ms),
    }
    if instance_id:
        member["group.instance.id"] = instance_id
    client = client_for(settings.redis.url.get_secret_value(), settings.redis.client_kwargs())
    layout, clock = layout_of(app), SystemClock()
    metrics = Metrics(app.name, app.shards, clock)
    if tuning.metrics_port is not None:
        metrics.serve(tuning.metrics_port, tuning.metrics_host)
    return Dependencies(
        app=app,
        input_topics=inputs,
        log=KafkaLog(kafka, app.name, inputs, **member),
        open_writer=lambda shard: KafkaWriter(
            kafka,
            f"{app.name}.{shard}",
            shard,
            names,
            inputs,
            tuning.transaction_timeout_ms,
            life,
            ("dead_letters",) if app.is_bridged else (),
        ),
        open_source=source_opener(app, settings, life),
        open_view=lambda shard: RedisView(client, app.name, shard, app.ttl_ms, layout, life),
        open_store=store_opener(app, settings, life),
        open_shelf=lambda shard: RedisModelShelf(
            client, settings.snapshots.url, app.name, shard, signing_key(settings), app.modules, life
        ),
        inspect=inspector(app, settings),
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
        marks=marks or StepMarks(),
    )


def inspector(app: Application, settings: Settings) -> Callable[[], Inspection]:
    """Ask the broker whether the topics are those of the first call, and whether their settings are safe.

    A broker that does not answer, or a topic that it does not know yet, is the next call's to judge: only a
    second answer of the same kind counts.
    """
    topics = catalog_for(app, settings)
    inputs = input_topics(topics)
    known: dict[str, str] = {}
    doubtful = False

    def inspect() -> Inspection:
        nonlocal doubtful
        try:
            with TopicAdmin(settings.kafka.kafka_python()) as admin:
                found, differences = admin.look(topics)
        except (Refused, OSError):
            return Inspection()
        unsafe = tuple(
            f"topic {m.topic}: {m.what}; fix: {m.fix}" for m in differences if m.grave and m.topic in found
        )
        if not known:
            known.update(found)
        missing = [name for name in known if name not in found]
        # An input that was created again is the loop's to judge: it looks at their ids by itself.
        logs = [name for name in found if is_log(name) and name not in inputs]
        other = [name for name in logs if known.get(name) != found[name]]
        certain, doubtful = doubtful and bool(missing or other), bool(missing or other)
        if not certain:
            return Inspection(None, unsafe)
        what = "was deleted" if missing else "was deleted and created again"
        fix = DELETED if other or any(map(is_log, missing)) else NO_TOPIC_FIX
        halted = Halted(f"topic {', '.join(missing or other)} {what} while the learner ran", fix)
        return Inspection(halted, unsafe)

    return inspect


def source_opener(app: Application, settings: Settings, life: str = "") -> Callable[[int], KafkaReplay]:
    """Opens a shard's journal and inputs for a replay; offsets count where they are of `life`, if named."""
    topics = catalog_for(app, settings)
    return lambda shard: KafkaReplay(
        settings.kafka.confluent(),
        app.name,
        shard,
        topics.journal.name,
        topics.predictions.name,
        input_topics(topics),
        life=life,
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
    keys, public = settings.signing.private_bytes(), settings.signing.public_bytes()
    place = settings.snapshots
    return lambda shard: FileSnapshots(
        place.url,
        app.name,
        shard,
        keys,
        app.modules,
        life,
        public=public,
        versions=place.versions,
        versions_days=place.versions_days,
    )


def signing_key(settings: Settings) -> bytes:
    """The private key that signs.

    Raises:
        Refused: none is set.
    """
    keys = settings.signing.private_bytes()
    if not keys:
        raise Refused(
            "no private signing key is set",
            "Set STREAM_APP_SIGNING__KEYS to that of the other learners; `stream-app keys new` makes a pair",
        )
    return keys[0]


def fingerprint_for(
    app: Application, settings: Settings, sample_run: str | None, *, learns: bool = False
) -> dict[str, Any]:
    """Who may append to the application's journal; `learns`: the topics' settings must allow that too.

    Raises:
        Refused: as `TopicAdmin.require`.
    """
    topics = catalog_for(app, settings)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        ids = admin.require(topics, settings=learns)
    return fingerprint(app, {name: ids[name] for name in input_topics(topics)}, sample_run)


def upgrade(
    app: Application,
    settings: Settings,
    agreed: Callable[[Plan], None],
    wish: Wish,
    sample_run: str | None,
    *,
    dry_run: bool,
    only: int | None = None,
) -> Iterator[Plan]:
    """Take every shard, or `only` one, into a new epoch, or say what that would do; see `upgrade_shard`.

    Raises:
        Refused: a learner runs, or a shard cannot be upgraded as it is.
        ShardFailed: a learner started meanwhile, or Kafka does not answer: run it again.
    """
    topics = catalog_for(app, settings)
    if not dry_run:
        signing_key(settings)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        if not dry_run and admin.group(app.name).members:
            raise Refused("a learner of this application is running", "Stop every learner (SIGTERM) first")
    current = fingerprint_for(app, settings, sample_run)
    inputs, kafka = input_topics(topics), settings.kafka.confluent()
    life = life_of(current["topics"])
    open_store, open_source = store_opener(app, settings, life), source_opener(app, settings, life)
    for shard in range(app.shards) if only is None else (only,):
        store, source = open_store(shard), open_source(shard)
        past = Past(app, shard, source, store, SystemClock(), current, inputs)
        writer = None
        if not dry_run:
            names = output_topics(topics)
            writer = KafkaWriter(kafka, f"{app.name}.{shard}", shard, names, inputs, life=life)
        try:
            plan = drain(upgrade_shard(past, writer, agreed, wish))
        finally:
            source.close()
            if writer is not None:
                writer.close()
        if plan is not None:
            yield plan


def learner(
    app: Application,
    settings: Settings,
    sample_run: Callable[[], str | None],
    *,
    exit_when_idle_s: float | None = None,
    instance_id: str | None = None,
    restarted: bool = False,
    marks: StepMarks | None = None,
) -> Learner:
    """A learner process's loop, ready to run; `sample_run` is asked last, since it may have to wait.

    Raises:
        Refused: a topic, a key or a place for snapshots is missing, a port is taken, …; before the group is
            joined. A store that does not answer a learner that was `restarted`, because the process before it
            died, is an alert of that one.
    """
    structlog.contextvars.bind_contextvars(app=app.name)
    store_opener(app, settings)(0)  # a missing key or directory raises before the group is joined
    signing_key(settings)
    if not restarted:
        try_writing(settings.snapshots.url, app.name)
    prints = fingerprint_for(app, settings, None, learns=True)
    deps = dependencies_for(app, settings, instance_id, life_of(prints["topics"]), marks=marks)
    return Learner(deps, {**prints, "sample_run": sample_run()}, exit_when_idle_s)
