"""kafka-python: creates topics as declared and tells every difference, each with its fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from stream_app.errors import Refused
from topics.catalog import Catalog


class Mismatch(msgspec.Struct):
    """One difference between a topic and its declaration; `grave` ones stop a learner."""

    topic: str
    what: str
    fix: str
    grave: bool


class TopicAdmin:
    """A context manager around kafka-python's admin client.

    Raises:
        Refused: the broker cannot be reached.
    """

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        try:
            self.client = KafkaAdminClient(**kafka)
        except KafkaError as error:
            raise Refused(
                f"no Kafka broker answers at {kafka.get('bootstrap_servers')} ({type(error).__name__})",
                "Start it (`stream-app services up`), or correct STREAM_APP_KAFKA__BOOTSTRAP_SERVERS",
            ) from error

    def __enter__(self) -> TopicAdmin:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def create(self, catalog: Catalog) -> list[str]:
        """Create what is missing and give the names; existing topics are left as they are."""
        present = set(self.client.list_topics())
        missing = {
            spec.name: {
                "num_partitions": spec.partitions, "replication_factor": spec.replication, "configs": dict(spec.config)
            }
            for spec in catalog
            if spec.name not in present
        }  # fmt: skip
        for name, options in missing.items():
            try:
                self.client.create_topics({name: options}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue  # another process created it between the look and the call
        return list(missing)

    def check(self, catalog: Catalog) -> list[Mismatch]:
        """Every difference; empty when all topics are as declared."""
        present = set(self.client.list_topics())
        found: list[Mismatch] = []
        names = []
        for spec in catalog:
            if spec.name in present:
                names.append(spec.name)
            else:
                found.append(Mismatch(spec.name, "is missing", "Run `stream-app topics create MODULE:APP`", True))
        described = {str(topic["name"]): topic for topic in self.client.describe_topics(names)} if names else {}
        configs = self.configs(names)
        for spec in catalog:
            if spec.name not in described:
                continue
            partitions = len(described[spec.name]["partitions"])
            if partitions != spec.partitions:
                found.append(
                    Mismatch(
                        spec.name, f"has {partitions} partitions, the definition says {spec.partitions}",
                        "Set shards= back: keys would move to other shards. A new count needs a new application name",
                        True,
                    )
                )  # fmt: skip
            for name, wanted in spec.config.items():
                actual = configs[spec.name].get(name)
                if actual != wanted:
                    fix = f"kafka-configs --alter --topic {spec.name} --add-config {name}={wanted}"
                    found.append(Mismatch(spec.name, f"{name} is {actual}, declared is {wanted}", fix, False))
        return found

    def configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        """topic → config name → value, defaults included."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answer = self.client.describe_configs(resources, config_filter="all")
        return flatten(answer)


def flatten(answer: Any) -> dict[str, dict[str, str]]:
    """The client's answer as plain name → value."""
    topics = answer["topic"] if isinstance(answer, Mapping) and "topic" in answer else answer
    flat: dict[str, dict[str, str]] = {}
    for topic, values in topics.items():
        flat[str(topic)] = {
            str(name): str(value["value"] if isinstance(value, Mapping) else value) for name, value in values.items()
        }
    return flat
