"""The composition root of the ops role; beside `wiring`, which no part of Faust shall enter."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.ops_metrics import OpsMetrics
from stream_app.application import Application
from stream_app.bridge_port import bridged_topics
from stream_app.errors import Refused, UsageError
from stream_app.inspect.bridge_condition import BridgeCondition, bridge_condition
from stream_app.ops.agents import AgentContext, attach
from stream_app.ops.alert_store import TABLES, AlertStore, Tables
from stream_app.ops.bridges import BridgeWatch
from stream_app.ops.channels import channel_of
from stream_app.ops.dashboard import DashboardModel
from stream_app.ops.delivery import Delivery
from stream_app.ops.faust_app import DurableTable, faust_app, kept_table
from stream_app.ops.http import create_app
from stream_app.ops.intake import AlertIntake
from stream_app.ops.orders import orders
from stream_app.ops.process import OpsProcess, abort, flushed
from stream_app.ops.routing import RouteQueue
from stream_app.ops.silences import Silences, silencing
from stream_app.settings import Settings
from stream_app.web.guard import Guard
from stream_app.wiring.topics import catalog_for

MINUTES = 450  # of the history that outlives a restart
QUIETER = ("faust", "mode", "aiokafka", "httpx", "apprise", "kafka")


def compose(
    apps: Sequence[Application], settings: Settings, directory: Path
) -> tuple[OpsProcess, OpsMetrics]:
    """The Faust app with its agents, tables and routes, ready to run; Faust makes folders in `directory`.

    Raises:
        Refused, UsageError: a topic is missing, or a setting cannot be used; the fix is named.
    """
    names = [app.name for app in apps]
    if len(set(names)) < len(names):
        raise UsageError("an application is named twice", "Give each MODULE:APP once")
    ours, clock, metrics = settings.ops, SystemClock(), OpsMetrics()
    catalogs = {app.name: catalog_for(app, settings) for app in apps}
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        for topics in catalogs.values():
            admin.require([topics.alerts, topics.stats, topics.models, topics.dead_letters])
    app = faust_app(
        ours.group or f"{names[0]}.ops",
        settings.kafka.faust(),
        directory,
        replication=settings.kafka.replication,
        session_s=ours.session_timeout_s,
    )
    silenced = kept_table(app, "silences")
    silences = Silences(ours.silences, silenced)
    queues = [RouteQueue(route, silences.is_silenced) for route in ours.routes]
    kept = {name: [kept_table(app, f"{name}-{table}") for table in TABLES] for name in names}
    tables: list[DurableTable] = [silenced, *chain.from_iterable(kept.values())]
    durable = partial(flushed, tables)
    intakes: dict[str, AlertIntake] = {}
    for one in apps:
        board = DashboardModel(one.name, one.shards, one.task, loss=one.loss)
        store = AlertStore(
            Tables(*kept[one.name]),
            board.score,
            minutes=MINUTES,
            alerts=ours.keep_alerts,
            letters=ours.keep_letters,
        )
        intakes[one.name] = AlertIntake(board, store, queues, metrics)
    deliveries = [
        Delivery(queue, channel_of(queue.route), intakes, metrics, clock.now_ms, durable, ours.failing_s)
        for queue in queues
    ]
    context = AgentContext(durable, clock.now_ms, abort, metrics)
    for name, intake in intakes.items():
        attach(app, intake, catalogs[name], context)
    bridges = [
        BridgeWatch(intakes[one.name], partial(bridge_of, one, settings), ours.silent_s)
        for one in apps
        if one.is_bridged
    ]
    process = OpsProcess(app, intakes, deliveries, tables, silences, metrics, clock, ours.silent_s, bridges)
    return process, metrics


def bridge_of(app: Application, settings: Settings) -> BridgeCondition | None:
    """What the broker knows of an application's bridge now.

    Raises:
        Refused: this user may not see one of the bridged topics, or it is not there.
    """
    kafka = settings.kafka.kafka_python()
    with TopicAdmin(kafka) as admin:
        found = bridge_condition(app, admin, kafka)
    hidden = [] if found is None else sorted(set(bridged_topics(app)) - set(found.behind))
    if hidden:
        raise Refused(
            f"{', '.join(hidden)}: no such topic can be seen",
            "Let ops describe the topics that the bridge reads: docs/security.md",
        )
    return found


def ops(apps: Sequence[Application], settings: Settings, directory: Path) -> tuple[FastAPI, OpsProcess]:
    """What `stream-app ops` serves, and the process behind it."""
    process, metrics = compose(apps, settings, directory)
    guard = Guard(settings.ops.tokens(), settings.ops.requests_per_s)
    boards = {name: intake.board for name, intake in process.intakes.items()}
    order = orders(settings.kafka.kafka_python())

    def scrape() -> tuple[bytes, str]:
        following = Counter(dict.fromkeys(boards, 0))
        for (name, _), channel in http.state.feed.channels.items():
            following[name] += channel.listeners
        for name, n in following.items():
            metrics.followed(name, n)
        return metrics.render()

    http = create_app(boards, guard, order, scrape, process.lifespan, ready=lambda: process.ready)
    http.include_router(silencing(process.silences, guard, lambda: process.ready, process.flushed))
    return http, process


class Structured(logging.Handler):
    """Sends the lines of the standard library's loggers, such as Faust's, to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, record.getMessage(), **fields)


def structured_logs(level: int = logging.WARNING) -> None:
    """Send the standard library's loggers to structlog; the root logger keeps no other handler."""
    root = logging.getLogger()
    root.handlers[:] = [Structured()]
    root.setLevel(level)
    for name in QUIETER:
        logging.getLogger(name).setLevel(level)
