"""Where each model of a shard stands, joined from its receipts and the shard's newest statistics.

A receipt says what became of a model at one moment. That it is gone since without a receipt (an upgrade left
it behind), or serves again, the statistics show, where they are not older than the receipt.
"""

from __future__ import annotations

from typing import Any

import msgspec

from topics.batch_id import BatchId
from topics.records import DriftStats, ModelReceipt, Stats

BLEND = "blend"  # a slot of the statistics that is no model
ORDER = ("serving", "challenger", "candidate", "retired")
LEFT_BEHIND = "it is not there any more: an upgrade left it behind"


class ShardReceipts(msgspec.Struct):
    """One shard's newest receipt of each version, and the newest of a model that began to serve.

    `history` are all that the topic still holds, oldest first: compaction removes replaced ones later.
    """

    shard: int
    champion: ModelReceipt | None = None
    versions: dict[int, ModelReceipt] = {}
    history: list[ModelReceipt] = []


class Standing(msgspec.Struct):
    """One model. `status`: serving, challenger (the champion of before too), candidate or retired.

    `since_ms` is the event time at which it began to be that, null where it is not known and 0 before the
    first event. `learned`, `rolling` and `failed` are of the newest statistics, null where the model is not
    in them. `why` is the receipt's. `weight` is its part in a blend, null where the champion answers.
    """

    shard: int
    version: int
    slot: str
    kind: str
    status: str
    parent: int | None
    since_ms: int | None
    learned: int | None
    rolling: dict[str, float] | None
    failed: str | None
    why: str
    weight: float | None = None

    @property
    def role(self) -> str:
        """The status as a person reads it: in a blend no model serves alone."""
        leads = self.status == "serving" and self.weight is not None and self.slot != BLEND
        return "leading" if leads else self.status


class Shard(msgspec.Struct):
    """One shard's models in the order of `ORDER`; `ran`: some learner has sent statistics of it.

    `alarms` are the newest of each slot's losses, as the newest statistics hold them. `blend` is what answers
    where all models answer as one. `history` are the receipts that the topic still holds, oldest first.
    """

    shard: int
    ran: bool
    models: list[Standing]
    receipts: dict[int, ModelReceipt]
    alarms: list[DriftStats] = []
    blend: Standing | None = None
    history: list[ModelReceipt] = []

    def serving(self) -> Standing | None:
        """The model that answers."""
        return next((model for model in self.models if model.status == "serving"), None)

    def of(self, version: int) -> Standing | None:
        """The model of a version."""
        return next((model for model in self.models if model.version == version), None)

    def living(self) -> list[Standing]:
        """All but the retired."""
        return [model for model in self.models if model.status != "retired"]


def shard_of(receipts: ShardReceipts, stats: Stats | None) -> Shard:
    """One shard's parts, joined."""
    serving = serving_version(receipts, stats)
    models = [standing(receipts, stats, version, serving) for version in sorted(receipts.versions)]
    models.sort(key=lambda model: ORDER.index(model.status))
    alarms = [one for one in stats.drift if one.signal == "loss"] if stats is not None else []
    blend = blend_of(stats)
    return Shard(
        receipts.shard, stats is not None, models, receipts.versions, alarms, blend, receipts.history
    )


def blend_of(stats: Stats | None) -> Standing | None:
    """What the statistics say of a blend, None without one."""
    slots = stats.slots if stats is not None else []
    found = next((slot for slot in slots if slot.name == BLEND and slot.weight), None)
    if stats is None or found is None:
        return None
    return Standing(
        shard=stats.shard,
        version=found.version,
        slot=BLEND,
        kind=BLEND,
        status="serving",
        parent=None,
        since_ms=None,
        learned=found.learned,
        rolling=found.scores.get("rolling"),
        failed=None,
        why="the mean of all models by their weights",
        weight=found.weight,
    )


def serving_version(receipts: ShardReceipts, stats: Stats | None) -> int | None:
    """Which version answers, or leads a blend: the newest that began to serve, unless younger statistics name
    another.
    """
    champion = receipts.champion
    blended = stats is not None and any(slot.weight is not None for slot in stats.slots)
    if stats is not None and not blended and (champion is None or shows(stats, champion)):
        named = next((slot.version for slot in stats.slots if slot.name == stats.serving), None)
        if named in receipts.versions:
            return named
    return champion.version if champion is not None else None


def standing(receipts: ShardReceipts, stats: Stats | None, version: int, serving: int | None) -> Standing:
    """One model of the shard."""
    receipt = receipts.versions[version]
    slots = [slot for slot in stats.slots if slot.name != BLEND] if stats else []
    slot_stats = next((slot for slot in slots if slot.version == version), None)
    since: int | None = receipt.time_ms
    if version == serving:
        status = "serving"
    elif receipt.status == "retired":
        status, slot_stats = "retired", None
    elif stats is not None and slot_stats is None and shows(stats, receipt):
        status, since = "retired", None
    elif receipt.status == "serving":  # the previous champion; its receipt says when it began to serve
        successor = receipts.versions.get(serving) if serving is not None else None
        status = "challenger"
        since = successor.time_ms if successor is not None and successor.parent == version else None
    else:
        status = receipt.status if receipt.status in ORDER else "challenger"
    return Standing(
        shard=receipts.shard,
        version=version,
        slot=receipt.slot,
        kind=receipt.kind,
        status=status,
        parent=receipt.parent,
        since_ms=since,
        learned=slot_stats.learned if slot_stats else None,
        rolling=slot_stats.scores.get("rolling") if slot_stats else None,
        failed=slot_stats.failed if slot_stats else None,
        why=LEFT_BEHIND if status == "retired" != receipt.status else receipt.why,
        weight=slot_stats.weight if slot_stats else None,
    )


def shows(stats: Stats, receipt: ModelReceipt) -> bool:
    """Whether the statistics are of the receipt's batch, or of a later one."""
    batch = written_in(receipt)
    return batch is not None and (stats.epoch, stats.seq) >= batch


def written_in(receipt: ModelReceipt) -> BatchId | None:
    """The batch that wrote a receipt; None where it does not say."""
    batch: dict[str, Any] = receipt.fingerprint or {}
    epoch, seq = batch.get("epoch"), batch.get("seq")
    return BatchId(epoch, seq) if isinstance(epoch, int) and isinstance(seq, int) else None


def ended_in(shard: Shard, version: int) -> BatchId | None:
    """The batch in which a version was retired; None while it lives, or where an upgrade left it behind."""
    receipt = shard.receipts.get(version)
    return written_in(receipt) if receipt is not None and receipt.status == "retired" else None


def replaced_in(shard: Shard, version: int) -> BatchId | None:
    """The batch in which another model last began to serve in place of a version; None where none did."""
    found: BatchId | None = None
    for receipt in shard.history:
        successor = receipt.status == "serving" and receipt.parent == version
        itself = receipt.version == version and receipt.status == "challenger" and receipt.trained_through
        if successor or itself:
            found = written_in(receipt)
    return found


def begun_in(shard: Shard, version: int) -> BatchId | None:
    """The batch that made a version; None where its first receipt is no longer there."""
    first = next((receipt for receipt in shard.history if receipt.version == version), None)
    if first is None or first.trained_through is not None or first.status == "retired":
        return None
    return written_in(first)
