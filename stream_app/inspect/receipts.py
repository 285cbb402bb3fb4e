"""What shards report of their models: `<app>.models` under `<shard>/<version>` and `<shard>/champion`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from stream_app.client.connect import Kafka
from stream_app.client.consumer import CommittedReader
from stream_app.inspect.model_status import ShardReceipts
from topics.records import ModelReceipt

RECEIPT = msgspec.json.Decoder(ModelReceipt)


def newest_receipts(app: str, kafka: Kafka) -> dict[int, ShardReceipts]:
    """By shard, where there is any; all that is committed now.

    Raises:
        Refused: no broker answers, or there is no models topic.
    """
    with CommittedReader(kafka, f"{app}.models", until_end=True) as reader:
        return receipts_of(reader)


def receipts_of(records: Iterable[Any]) -> dict[int, ShardReceipts]:
    """The newest of each key, and all that are still there. Outcomes of commands are passed over, and what no
    shard could have written.
    """
    found: dict[int, ShardReceipts] = {}
    for record in records:
        shard, _, name = (record.key or b"").decode(errors="replace").partition("/")
        if shard != str(record.partition) or not (name == "champion" or name.isdecimal()):
            continue
        try:
            receipt = RECEIPT.decode(record.value or b"")
        except msgspec.MsgspecError:
            continue  # anybody may write to the topic
        if receipt.shard != record.partition or name not in ("champion", str(receipt.version)):
            continue
        kept = found.setdefault(receipt.shard, ShardReceipts(receipt.shard))
        if name == "champion":
            kept.champion = receipt
        else:
            kept.versions[receipt.version] = receipt
            kept.history.append(receipt)
    return found
