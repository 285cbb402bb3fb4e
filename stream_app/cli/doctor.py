"""`stream-app doctor [MODULE:APP]`: what is off, each with its fix.

Kafka does not report its time, so the broker's clock is not among the checks; the broker refuses the records
of a producer whose clock differs too much.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec
import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.cli.machine_checks import FAIL, OK, WARN, Check, failure, packages, storage
from stream_app.errors import StreamAppError

if TYPE_CHECKING:
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.application import Application
    from stream_app.settings import Settings
    from topics.records import Stats

app = typer.Typer()
MOST_SKEW_MS = 1_000
LONG_LAG = 100_000  # records; some seconds of work for a linear model, minutes for a forest


@app.command()
def doctor(
    target: str | None = typer.Argument(
        None, metavar="[MODULE:APP]", help="Its topics and lag are checked too."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON object per check."),
) -> None:
    """Check versions, servers, clock, topics and lag; exit 1 if a check fails."""
    failed = False
    for found in checks(target):
        failed = failed or found.state == FAIL
        if json:
            print_json(msgspec.structs.asdict(found))
            continue
        sys.stdout.write(f"{found.state:4}  {found.check}: {found.detail}\n")
        if found.fix:
            sys.stdout.write(f"      fix: {found.fix}\n")
    if failed:
        raise typer.Exit(1)


def checks(target: str | None) -> Iterator[Check]:
    """All of them, in the order in which a person would mend."""
    yield from packages()
    definition: Application | None = None
    if target:
        try:
            definition = load_app(target, models=False)
            yield Check("definition", OK, f"{definition.name}, {definition.shards} shards")
        except StreamAppError as error:
            yield failure("definition", error)
    yield from kafka(definition)
    yield from redis()


def kafka(definition: Application | None) -> Iterator[Check]:
    """The brokers, and what of the definition lies on them."""
    from stream_app.adapters.kafka_admin import TopicAdmin

    try:
        settings = settings_for()
        yield from storage(settings)
        with TopicAdmin(settings.kafka.kafka_python()) as admin:
            brokers = admin.brokers()
            yield replicas(settings, brokers)
            yield transactions(admin.transaction_version())
            if definition is not None:
                yield from topics(definition, settings, admin)
                yield lag(definition, admin)
                yield from bridge(definition, settings, admin)
                yield from running(definition, settings, admin)
    except StreamAppError as error:
        yield failure("kafka", error)


def replicas(settings: Settings, brokers: list[str]) -> Check:
    """Enough brokers for the replicas, and replicas enough to lose one."""
    detail = f"{len(brokers)} brokers: {', '.join(brokers)}"
    wanted = settings.kafka.replication
    if len(brokers) < wanted:
        return Check("kafka", FAIL, detail, f"Start {wanted} brokers, or lower STREAM_APP_KAFKA__REPLICATION")
    if len(brokers) > 1 and wanted == 1:
        fix = "Set STREAM_APP_KAFKA__REPLICATION=3 and MIN_INSYNC=2: one copy dies with its broker"
        return Check("kafka", WARN, detail, fix)
    return Check("kafka", OK, detail)


def transactions(version: int) -> Check:
    """How the brokers distinguish a late request from one of the open transaction (KIP-890)."""
    # Level 2 raises the producer's epoch with each transaction, for clients that can; librdkafka 2.16 cannot.
    detail = f"transaction.version {version}"
    if version < 1:
        fix = "Upgrade to Kafka 4.0 or later, then `kafka-features upgrade --feature transaction.version=2`"
        return Check("transactions", WARN, f"{detail}: a record that comes late may block its partition", fix)
    return Check("transactions", OK, f"{detail}; a learner takes a new producer after a lost connection")


def topics(definition: Application, settings: Settings, admin: TopicAdmin) -> Iterator[Check]:
    """Each difference between the topics and their declaration, and what is wrong with the user's own."""
    from stream_app.wiring.topics import all_topics

    catalog = all_topics(definition, settings)
    found = list(admin.check(catalog))
    if definition.inputs is not None:
        found += [one for _, faults in admin.check_inputs(definition.inputs.names).values() for one in faults]
    if definition.outputs is not None:
        name = definition.outputs.predictions.name
        found += admin.check_outputs([name])[name]
    for mismatch in found:
        state = FAIL if mismatch.grave else WARN
        yield Check("topics", state, f"{mismatch.topic}: {mismatch.what}", mismatch.fix)
    if not found:
        yield Check("topics", OK, f"{len(catalog)} as declared")


def lag(definition: Application, admin: TopicAdmin) -> Check:
    """What the learners have not read yet, and whether there is one."""
    group = admin.group(definition.name)
    behind = 0
    described = admin.describe([f"{definition.name}.{name}" for name in ("events", "labels", "commands")])
    for topic, found in described.items():
        for partition, end in enumerate(admin.ends(topic, len(found["partitions"]))):
            behind += max(0, end - group.positions.get((topic, partition), 0))
    detail = f"{behind:,} records behind, {group.members} learners"
    if behind and not group.members:
        return Check("lag", WARN, detail, "Start one: `stream-app learn MODULE:APP`")
    if behind > LONG_LAG:
        return Check(
            "lag", WARN, detail, "Start more learners, up to one per shard; or wait while it catches up"
        )
    return Check("lag", OK, detail)


def bridge(definition: Application, settings: Settings, admin: TopicAdmin) -> Iterator[Check]:
    """Whether somebody copies from and to the user's topics, and how far it is behind."""
    from stream_app.inspect.bridge_condition import bridge_condition

    found = bridge_condition(definition, admin, settings.kafka.kafka_python())
    if found is None:
        return
    detail = f"{found.lag:,} records are not copied yet, {found.members} bridges"
    if found.lost:
        fix = "Raise the topic's retention.ms; docs/inputs.md says how to go on without them"
        yield Check("bridge", FAIL, f"{found.lost:,} records were deleted before they were copied", fix)
    if not found.members:
        yield Check("bridge", WARN, detail, "Start one: `stream-app bridge MODULE:APP`")
    else:
        yield Check("bridge", WARN if found.lag > LONG_LAG else OK, detail)


def running(definition: Application, settings: Settings, admin: TopicAdmin) -> Iterator[Check]:
    """Whether the definition on disk is the one that the newest statistics are of."""
    from stream_app.cli.condition import STATS
    from stream_app.cli.status import DIFFERS_FIX
    from stream_app.definition.digest import definition_hash
    from stream_app.inspect.tail_reader import TailReader
    from stream_app.wiring.topics import catalog_for

    topic = catalog_for(definition, settings).stats.name
    described = admin.describe([topic]).get(topic)
    if described is None or len(described["partitions"]) != definition.shards:
        return  # another check says so
    with TailReader(settings.kafka.kafka_python(), [topic]) as peek:
        records = peek.newest(topic, definition.shards)
    newest = {shard: STATS.decode(record.value) for shard, record in records.items()}
    runs = {stats.definition for stats in newest.values() if stats.definition}
    if runs and runs != {definition_hash(definition)}:
        detail = "the file on disk differs from what the newest statistics are of"
        yield Check("running", WARN, detail, DIFFERS_FIX)
    elif runs:
        yield Check("running", OK, "the definition on disk is the one that ran last")
    yield from forgotten(newest)


def forgotten(newest_stats: Mapping[int, Stats]) -> Iterator[Check]:
    """Bounds that weaken what is promised, as the newest statistics show."""
    for what, bound, promise in (("ids", "max_ids", "dedupe"), ("entities", "max_entities", "ttl")):
        counts = {shard: n for shard, stats in newest_stats.items() if (n := stats.forgotten.get(what, 0))}
        if counts:
            shards = ", ".join(map(str, counts))
            detail = f"{sum(counts.values()):,} {what} were forgotten within {promise} (shard {shards})"
            yield Check(
                "bounds", WARN, detail, f"Raise limits=Limits({bound}=…) or shorten {promise}, upgrade"
            )


def redis() -> Iterator[Check]:
    """The view's server: it answers, evicts nothing, and its clock agrees with ours."""
    from stream_app.adapters.redis_admin import redis_facts

    try:
        settings = settings_for(kafka=False, redis=True).redis
        facts = redis_facts(settings.url.get_secret_value(), settings.client_kwargs())
    except StreamAppError as error:
        yield failure("redis", error)
        return
    if facts.role in {"slave", "replica"}:
        fix = "Name the primary in STREAM_APP_REDIS__URL; predictors may read from a replica"
        yield Check("redis", WARN, "a replica: a learner cannot write to it", fix)
    else:
        yield Check("redis", OK, f"{facts.version}, {facts.round_trip_ms:.1f} ms away")
    if facts.eviction.startswith("allkeys"):
        fix = "CONFIG SET maxmemory-policy noeviction: stamps and models must never be evicted"
        yield Check("eviction", FAIL, facts.eviction, fix)
    else:
        yield Check("eviction", OK, facts.eviction or "unknown")
    skew = f"Redis is {facts.skew_ms:+.0f} ms from this machine"
    if abs(facts.skew_ms) > MOST_SKEW_MS:
        yield Check("clock", WARN, skew, "Run NTP on both: staleness and lag in seconds would be wrong")
    else:
        yield Check("clock", OK, skew)
