"""kafka-python's admin client: creates, checks and configures topics; positions of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import sleep
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from kafka import IsolationLevel, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    InvalidReplicationFactorError,
    KafkaError,
    NotCoordinatorError,
    TopicAlreadyExistsError,
)
from kafka.net.sasl.oauth import AbstractTokenProvider

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.topic_check import Mismatch, differences, input_faults, output_faults
from stream_app.errors import NO_TOPIC_FIX, Refused, Unreachable
from stream_app.tokens import TokenProvider
from topics.specs import TopicSpec

T = TypeVar("T")
COORDINATOR_WITHIN_S = 15.0  # the first request for any group makes the broker create its offsets topic
COORDINATOR_RETRY_S = 0.2
LOG = ("commands", "events", "labels", "journal")  # a replay reads them: another topic is no substitute
DELETED = (
    "Stop every learner and find out who deleted it. Restore the topic from a backup, or start the "
    "application under a new name=; `topics create` would not bring its records back"
)


def is_log(topic: str) -> bool:
    """Whether a topic is an input or the journal."""
    return topic.rpartition(".")[2] in LOG


class Group(msgspec.Struct):
    """A consumer group: its members, the partitions they hold, and by partition the offset it reads next."""

    state: str
    members: int
    held: set[tuple[str, int]]
    positions: dict[tuple[str, int], int]


AbstractTokenProvider.register(TokenProvider)


class TopicAdmin:
    """A context manager around the admin client.

    Raises:
        Refused: the broker cannot be reached, or does not let us.
    """

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        try:
            self.client = KafkaAdminClient(**kafka)
        except (KafkaError, OSError) as error:
            servers = ",".join(kafka.get("bootstrap_servers", []))
            raise Unreachable(
                f"no Kafka broker answers at {servers} ({type(error).__name__})",
                "Start it (`stream-app services up`), or correct STREAM_APP_KAFKA__… (address, TLS, SASL)",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def create(self, catalog: Iterable[TopicSpec]) -> list[str]:
        """Create what is missing and give the names; existing topics are left as they are."""
        with explained():
            present = set(self.client.list_topics())
            missing = [spec for spec in catalog if spec.name not in present]
            return [spec.name for spec in missing if self.create_one(spec)]

    def create_one(self, spec: TopicSpec) -> bool:
        """Create one topic; False if another process was quicker."""
        options = {
            "num_partitions": spec.partitions,
            "replication_factor": spec.replication,
            "configs": dict(spec.config),
        }
        try:
            self.client.create_topics({spec.name: options}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return False
        return True

    def check(self, catalog: Iterable[TopicSpec]) -> list[Mismatch]:
        """Every difference; empty when all topics are as declared."""
        return self.look(catalog)[1]

    def look(self, catalog: Iterable[TopicSpec]) -> tuple[dict[str, str], list[Mismatch]]:
        """The broker's id of each topic that exists, and every difference from the declaration."""
        with explained():
            described = self.describe([spec.name for spec in catalog])
            configs = self.configs(list(described))
        found: list[Mismatch] = []
        for spec in catalog:
            if spec.name in described:
                found += differences(spec, described[spec.name], configs[spec.name])
            else:
                found.append(Mismatch(spec.name, "is missing", NO_TOPIC_FIX, grave=True))
        return ids_of(described), found

    def check_inputs(self, names: Sequence[str]) -> dict[str, tuple[int, list[Mismatch]]]:
        """By topic that `inputs=` names: how many partitions it has, and what can keep it from being read."""
        with explained():
            described = self.describe(names)
            configs = self.configs(list(described))
        return {
            name: (
                len(described[name]["partitions"]) if name in described else 0,
                input_faults(name, described.get(name), configs.get(name, {})),
            )
            for name in names
        }

    def check_outputs(self, names: Sequence[str]) -> dict[str, list[Mismatch]]:
        """By topic that `outputs=` names: what keeps it from being written."""
        with explained():
            described = self.describe(names)
        return {name: output_faults(name, exists=name in described) for name in names}

    def configure(self, catalog: Iterable[TopicSpec]) -> dict[str, dict[str, str]]:
        """Set every existing topic's settings to the declared ones; what was set, by topic."""
        with explained():
            described = self.describe([spec.name for spec in catalog])
            configs = self.configs(list(described))
            wrong = {
                spec.name: {k: v for k, v in spec.config.items() if configs[spec.name].get(k, v) != v}
                for spec in catalog
                if spec.name in described
            }
            wrong = {name: settings for name, settings in wrong.items() if settings}
            topic = ConfigResourceType.TOPIC
            self.client.alter_configs([ConfigResource(topic, name, configs=wrong[name]) for name in wrong])
        return wrong

    def require(self, specs: Iterable[TopicSpec], *, settings: bool = False) -> dict[str, str]:
        """Require topics that can be used; give the broker's id of each, by name.

        A topic that was deleted and created again has another id. `settings`: they are looked at too.

        Raises:
            Unreachable: topics are missing, or not yet known to a broker that has just started.
            Refused: one has another number of partitions, or a setting that endangers what is promised.
                Each error names the fix.
        """
        specs = list(specs)
        with explained():
            described = self.describe([spec.name for spec in specs])
        missing = [spec.name for spec in specs if spec.name not in described]
        if missing:
            lived = any(map(is_log, missing)) and self.has_journal(specs, described)
            raise Unreachable(
                f"there is no topic {', '.join(missing)}"
                + (", though its application has a journal" * lived),
                DELETED if lived else NO_TOPIC_FIX,
            )
        with explained():
            configs = self.configs(list(described)) if settings else {}
        for spec in specs:
            for mismatch in differences(spec, described[spec.name], configs.get(spec.name, {})):
                if mismatch.grave:
                    raise Refused(f"topic {spec.name}: {mismatch.what}", mismatch.fix)
        return ids_of(described)

    def has_journal(self, specs: Sequence[TopicSpec], described: Mapping[str, dict[str, Any]]) -> bool:
        """Whether a learner ever wrote for these topics: what is missing of them was deleted then."""
        journals = [spec for spec in specs if spec.name in described and spec.name.endswith(".journal")]
        return any(any(self.ends(spec.name, len(described[spec.name]["partitions"]))) for spec in journals)

    def describe(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Topic → its description, for those that exist."""
        described = self.client.describe_topics(list(names))
        return {str(topic["name"]): topic for topic in described if not topic["error_code"]}

    def specs(self, names: Sequence[str]) -> list[TopicSpec]:
        """Those of these topics that exist, as they are, with what was set for each of them."""
        with explained():
            described = self.describe(names)
            configs = self.configs(list(described), "modified")
        return [
            TopicSpec(
                name, len(found["partitions"]), len(found["partitions"][0]["replica_nodes"]), configs[name]
            )
            for name, found in described.items()
        ]

    def configs(self, names: list[str], which: str = "all") -> dict[str, dict[str, str]]:
        """Read by topic: config name → value, defaults included."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answer = self.client.describe_configs(resources, config_filter=which)["topic"]
        return {
            str(topic): {str(name): str(config["value"]) for name, config in values.items()}
            for topic, values in answer.items()
        }

    def group(self, name: str) -> Group:
        """A consumer group as the broker knows it; an unknown one has the state Dead."""
        with explained():
            described = asked_of_coordinator(lambda: self.client.describe_groups([name]))[name]
            offsets = asked_of_coordinator(lambda: self.client.list_group_offsets({name: None}))[name]
        positions = {(tp.topic, tp.partition): int(found.offset) for tp, found in offsets.items()}
        held = {
            (assigned["topic"], number)
            for member in described["members"]
            for assigned in (member["member_assignment"] or {}).get("assigned_partitions", ())
            for number in assigned["partitions"]
        }
        return Group(str(described["group_state"]), len(described["members"]), held, positions)

    def ends(self, topic: str, partitions: int, spec: OffsetSpec = OffsetSpec.LATEST) -> list[int]:
        """Read by partition where the next committed record will be; EARLIEST: the first retained record."""
        specs = {TopicPartition(topic, number): spec for number in range(partitions)}
        with explained():
            found = self.client.list_partition_offsets(specs, isolation_level=IsolationLevel.READ_COMMITTED)
        return [int(found[tp].offset) for tp in specs]

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Delete the records of partitions before an offset, for good."""
        with explained():
            self.client.delete_records({TopicPartition(topic, number): at for number, at in offsets.items()})

    def transaction_version(self) -> int:
        """The level of the cluster's feature `transaction.version`; 0 from brokers that do not know it."""
        with explained():
            features = self.client.describe_features()  # by name; its docstring says otherwise (3.0)
        return int(features.get("transaction.version", {}).get("finalized", (0, 0))[1])

    def brokers(self) -> list[str]:
        """The addresses of all brokers."""
        return [f"{broker['host']}:{broker['port']}" for broker in self.client.describe_cluster()["brokers"]]


def ids_of(described: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The broker's id of each described topic, by name."""
    return {name: str(topic["topic_id"]) for name, topic in described.items()}


def asked_of_coordinator(ask: Callable[[], T]) -> T:
    """The answer of a group's coordinator, which a broker finds only after the first that asks for it."""
    clock = SystemClock()
    deadline_s = clock.monotonic() + COORDINATOR_WITHIN_S
    while True:
        try:
            return ask()
        except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
            if clock.monotonic() > deadline_s:
                raise
        sleep(COORDINATOR_RETRY_S)


@contextmanager
def explained() -> Iterator[None]:
    """Say what a broker's refusal means and what to do about it.

    Raises:
        Refused: always in place of the client's error.
    """
    try:
        yield
    except InvalidReplicationFactorError as error:
        raise Refused(
            "there are fewer brokers than replicas", "Lower STREAM_APP_KAFKA__REPLICATION, or add brokers"
        ) from error
    except AuthorizationError as error:
        raise Refused(
            f"the broker does not allow it ({type(error).__name__})",
            "Grant this principal Create, Describe and DescribeConfigs on the application's topics",
        ) from error
    except KafkaError as error:
        raise Unreachable(
            f"the broker refused ({type(error).__name__}: {first_line(error)})", "See its log"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error, cut to a readable length."""
    return str(error).split("\n", 1)[0][:200]
