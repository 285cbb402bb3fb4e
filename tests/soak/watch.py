"""When the predictions of each shard became visible: how long a fault was felt."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError


class Watch(threading.Thread):
    """Reads committed predictions on a thread; `seen_s[shard]` are the moments at which some came."""

    def __init__(self, servers: str, topic: str, shards: int) -> None:
        super().__init__(name="watch", daemon=True)
        self.servers, self.topic, self.shards = servers, topic, shards
        self.seen_s: dict[int, list[float]] = defaultdict(list)
        self.ending = threading.Event()

    def run(self) -> None:
        """Until `ending`; a broker that is away is waited for."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=5_000,
            fetch_max_wait_ms=50,
        )
        consumer.assign([TopicPartition(self.topic, number) for number in range(self.shards)])
        while not self.ending.is_set():
            try:
                polled = consumer.poll(timeout_ms=100)
            except KafkaError:
                continue
            now_s = time.monotonic()
            for place in polled:
                self.seen_s[place.partition].append(now_s)
        consumer.close()

    def recovered_s(self, since_s: float, within_s: float) -> float | None:
        """Seconds from a moment until every shard had a prediction that came after it; None: not in time."""
        while time.monotonic() - since_s < within_s:
            firsts = [self.first_s(shard, since_s) for shard in range(self.shards)]
            found = [first for first in firsts if first is not None]
            if len(found) == self.shards:
                return max(found) - since_s
            time.sleep(0.05)
        return None

    def first_s(self, shard: int, since_s: float) -> float | None:
        """When the shard's first prediction after a moment was seen."""
        return next((at_s for at_s in self.seen_s[shard] if at_s > since_s), None)
