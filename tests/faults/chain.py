"""The journal of one shard, checked as a chain and followed as an order of records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.faults.committed import INPUTS, Stored

ORDER = re.compile(r"(?:[cel](?:[2-9]|[1-9]\d+)?)*")
RUN = re.compile(r"([cel])(\d*)")
DIGEST = re.compile(r"[0-9a-f]{32}")


class Batch(msgspec.Struct):
    """One journal record with the input records that it covers, in the order it tells; `to` by rank."""

    seq: int
    digest: str
    log_time_ms: int
    records: list[tuple[int, Stored]]
    to: list[int]


def follow(
    journal: list[Stored], inputs: list[list[Stored]], complain: Callable[[str], None]
) -> Iterator[Batch]:
    """Each batch in turn; what breaks the chain is told, and the rest followed as far as it makes sense."""
    if not journal:
        return
    first = json.loads(journal[0].value or b"{}")
    if (first.get("type"), first.get("epoch"), first.get("seq")) != ("epoch", 0, 0):
        complain(f"the journal begins with {first.get('type')} {first.get('epoch')}:{first.get('seq')}")
        return
    positions = [first["positions"][name] for name in INPUTS]
    read = [
        sum(record.offset < start for record in records)
        for records, start in zip(inputs, positions, strict=True)
    ]
    seq, digest, log_time_ms = 0, first["digest"], 0
    for stored in journal[1:]:
        batch: dict[str, Any] = json.loads(stored.value or b"{}")
        if batch.get("type") == "attempt":
            if (batch["epoch"], batch["seq"], batch["digest"]) != (0, seq, digest):
                complain(f"journal@{stored.offset}: an attempt after {batch['seq']} follows {seq}")
            continue
        if batch.get("type") != "batch":
            complain(f"journal@{stored.offset} is {batch.get('type')}, which this judge cannot follow")
            return
        seq += 1
        if (batch["epoch"], batch["seq"]) != (0, seq):
            complain(f"journal@{stored.offset} is {batch['epoch']}:{batch['seq']} where 0:{seq} is due")
            seq = batch["seq"]
        if not DIGEST.fullmatch(batch["digest"]) or batch["digest"] == digest:
            complain(f"seq {seq}: digest {batch['digest']} continues nothing")
        if batch["log_time"] < log_time_ms:
            complain(f"seq {seq}: log time goes back to {batch['log_time']}")
        digest, log_time_ms = batch["digest"], batch["log_time"]
        taken: list[list[Stored]] = []
        for rank, name in enumerate(INPUTS):
            start, end, n = batch["inputs"][name]
            if start != positions[rank] or end < start:
                complain(
                    f"seq {seq}: {name} go from {start} to {end}, the last batch ended at {positions[rank]}"
                )
            until = read[rank]
            while until < len(inputs[rank]) and inputs[rank][until].offset < end:
                until += 1
            if until - read[rank] != n:
                held = until - read[rank]
                complain(f"seq {seq}: {name} hold {held} records from {start} to {end}, told are {n}")
            taken.append(inputs[rank][read[rank] : until])
            positions[rank], read[rank] = end, until
        in_turn = in_order(batch["order"], seq, taken, complain)
        yield Batch(seq, batch["digest"], log_time_ms, in_turn, list(positions))


def in_order(
    order: str, seq: int, taken: list[list[Stored]], complain: Callable[[str], None]
) -> list[tuple[int, Stored]]:
    """The inputs' records as the packed run lengths order them."""
    if not ORDER.fullmatch(order):
        complain(f"seq {seq}: order {order[:60]!r} is no run lengths")
        return []
    records: list[tuple[int, Stored]] = []
    used = [0] * len(taken)
    for letter, length in RUN.findall(order):
        rank, n = "cel".index(letter), int(length or 1)
        records += [(rank, record) for record in taken[rank][used[rank] : used[rank] + n]]
        used[rank] += n
    held = [len(of_input) for of_input in taken]
    if used != held:
        complain(f"seq {seq}: order {order[:60]!r} adds up to {used}, the inputs hold {held}")
    return records
