"""The records that `produce` would write, without a broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from stream_app.cli.produce.reading import Reading
from stream_app.cli.produce.schedule import Stamped
from stream_app.client.checks import encoded, encoded_key, event_value, label_value
from topics.envelope import EVENT, LABEL, Record
from topics.placement import partition_for

NOW_MS = 1_767_225_600_000  # 2026: the same file gives the same records on any day


def records(reading: Reading, shards: int, now_ms: int = NOW_MS) -> Iterator[tuple[int, Record]]:
    """Each record with its shard, in the order of time."""
    offsets: Counter[tuple[int, int]] = Counter()
    for stamped in reading.schedule(now_ms):
        found = record_of(reading, stamped)
        if found is None:
            continue
        key, record = found
        shard = partition_for(key, shards)
        offset = offsets[shard, record.rank]
        offsets[shard, record.rank] += 1
        yield shard, Record(record.rank, offset, record.time_ms, key, record.value, None)


def record_of(reading: Reading, stamped: Stamped) -> tuple[bytes, Record] | None:
    """The event or the label of a row, without a place, and its key; None for a row that has no label."""
    row = reading.rows[stamped.row]
    if stamped.is_label:
        found = reading.columns.label_of(stamped.row, row)
        if found is None:
            return None
        entity, event_id, label = found
        rank, value = LABEL, label_value(event_id, label)
    else:
        entity, features, event_id, inline = reading.columns.event_of(stamped.row, row)
        rank, value = EVENT, event_value(event_id, features, inline)
    key = encoded_key(entity)
    return key, Record(rank, 0, stamped.time_ms, key, encoded(value), None)
