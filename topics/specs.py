"""What a topic must look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TopicSpec:
    """A topic's name, partitions, replicas, configuration that the contract rests on, and what its keys are.

    With other partitions it cannot be used; with another configuration it keeps less than it promises.
    """

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)
    key: str = "none"
