"""The records that `produce` would write, without a broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from stream_app.cli.produce.reading import Reading
from stream_app.client.checks import encoded, encoded_key, event_value, label_value
from topics.envelope import EVENT, LABEL, Record
from topics.placement import partition_for

NOW_MS = 1_767_225_600_000  # 2026: the same file gives the same records on any day


def records(reading: Reading, shards: int, now_ms: int = NOW_MS) -> Iterator[tuple[int, Record]]:
    """Each record with its shard, in the order of time."""
    offsets: Counter[tuple[int, int]] = Counter()
    for stamped in reading.schedule(now_ms):
        row = reading.rows[stamped.row]
        if stamped.is_label:
            found = reading.columns.label_of(stamped.row, row)
            if found is None:
                continue
            entity, event_id, label = found
            rank, value = LABEL, label_value(event_id, label)
        else:
            entity, features, event_id, inline = reading.columns.event_of(stamped.row, row)
            rank, value = EVENT, event_value(event_id, features, inline)
        key = encoded_key(entity)
        shard = partition_for(key, shards)
        offset = offsets[shard, rank]
        offsets[shard, rank] += 1
        yield shard, Record(rank, offset, stamped.time_ms, key, encoded(value), None)
