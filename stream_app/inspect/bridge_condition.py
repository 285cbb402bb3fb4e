"""Whether an application is bridged now, and what is not copied yet."""

from __future__ import annotations

import msgspec
from kafka.admin import OffsetSpec

from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.application import Application
from stream_app.bridge_port import WAITING_LABELS, bridged_topics
from stream_app.client.connect import Kafka
from stream_app.inspect.tail_reader import TailReader
from topics.catalog import bridge_topic


class BridgeCondition(msgspec.Struct):
    """`members` counts processes, of which one bridges; `behind` the records that are not copied, by topic.

    `lost` were deleted before they were copied; `waiting_labels` had no event at the newest commit.
    """

    members: int
    behind: dict[str, int]
    lost: int
    waiting_labels: int

    @property
    def lag(self) -> int:
        """Records of all topics."""
        return sum(self.behind.values())


def bridge_condition(app: Application, admin: TopicAdmin, kafka: Kafka) -> BridgeCondition | None:
    """What the broker knows of the bridge of an application; None where nothing is bridged.

    Raises:
        Refused: no broker answers.
    """
    if not app.is_bridged:
        return None
    own = bridge_topic(app.name).name
    group = admin.group(own)
    behind, lost = {}, 0
    for topic, described in admin.describe(bridged_topics(app)).items():
        partitions = len(described["partitions"])
        firsts, ends = admin.ends(topic, partitions, OffsetSpec.EARLIEST), admin.ends(topic, partitions)
        behind[topic] = 0
        for partition, (first, end) in enumerate(zip(firsts, ends, strict=True)):
            position = group.positions.get((topic, partition), first)
            lost += max(0, first - position)
            behind[topic] += max(0, end - max(first, position))
    return BridgeCondition(group.members, behind, lost, waiting_labels(kafka, own))


def waiting_labels(kafka: Kafka, own: str) -> int:
    """How many labels wait in the bridge for their event, as its newest note says."""
    with TailReader(kafka, [own]) as tail:
        newest = tail.newest(own, 1).get(0)
    noted = dict(newest.headers).get(WAITING_LABELS) if newest is not None else None
    return int(noted) if noted else 0
