"""The judge: a program of its own on kafka-python that recomputes a run and never asks the learner.

    python -m tests.faults.judge BOOTSTRAP_SERVERS DEFINITION.py:APP [--redis URL] [--running]

Reads all topics read_committed and checks I1 to I6: one prediction per valid event, in order, equal to bare
River's to the bit; each label learned, dead or expired once; a gapless journal whose counts are the inputs';
committed offsets at its tail; counters that add up; and, with --redis, a view equal to the journal's last
batch. Prints one JSON object; exit 1 if anything is violated. `--running`: the learner has not caught up, so
inputs may go on past the tail. Nobody may write meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import redis

from tests.faults.chain import follow
from tests.faults.committed import EVENTS, INPUTS, Stored, group_offsets, letters_of, read_application
from tests.faults.recount import Recount

SHOWN = 50  # violations printed; all are counted
COUNTED = (
    "events", "predictions", "cold", "labels", "labels_learned", "labels_expired", "labels_skipped",
    "labels_held", "duplicate_events", "duplicate_labels", "commands", "dead_events", "dead_labels",
    "dead_commands",
)  # fmt: skip


class Report(msgspec.Struct):
    """What was found; `counts` are the judge's own, over all shards."""

    app: str
    shards: int
    batches: int = 0
    committed_offsets: int = 0
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    violations: list[str] = msgspec.field(default_factory=list)


class ShardJudge:
    """One shard, from its records."""

    def __init__(self, app: Any, shard: int, records: dict[str, list[Stored]], report: Report) -> None:
        self.app, self.shard, self.records, self.report = app, shard, records, report
        letters = letters_of(app.name, shard, records["dead-letters"], self.complain)
        self.dead = len(letters)
        self.recount = Recount(app, shard, letters, self.complain)
        self.tail: list[int] | None = None
        self.seq, self.digest = 0, ""  # of the newest batch
        self.told: dict[int, list[dict[str, Any]]] = {}  # stats by seq
        for record in records["stats"]:
            stats = json.loads(record.value or b"{}")
            self.told.setdefault(stats["seq"], []).append(stats)

    def complain(self, text: str) -> None:
        self.report.violations.append(f"shard {self.shard}: {text}")

    def judge(self, running: bool) -> None:
        """Follow the journal and compare what came out."""
        served = self.served()
        inputs = [self.records[name] for name in INPUTS]
        recount = self.recount
        for batch in follow(self.records["journal"], inputs, self.complain):
            for rank, record in batch.records:
                expected = recount.apply(rank, record)
                if rank == EVENTS:
                    self.compare(record, expected, served.pop(record.offset, None))
            if recount.log_time_ms != batch.log_time_ms:
                self.complain(
                    f"seq {batch.seq}: log time {batch.log_time_ms}, it must be {recount.log_time_ms}"
                )
            for stats in self.told.pop(batch.seq, []):
                self.check_stats(stats, batch.to)
            self.tail, self.seq, self.digest = batch.to, batch.seq, batch.digest
            self.report.batches += 1
        for offset in served:
            self.complain(f"prediction of events@{offset}, which is no event of the journal")
        for (rank, offset), reason in recount.letters.items():
            self.complain(f"{INPUTS[rank]}@{offset} is dead ({reason}), and nothing refuses it")
        for seq in [seq for seq in self.told if seq]:
            self.complain(f"stats of seq {seq}, which the journal does not have")
        if not running:
            self.check_end(inputs)
        self.check_sum()

    def served(self) -> dict[int, tuple[Stored, dict[str, Any]]]:
        """Predictions by their event's offset; order and singularity are judged here."""
        found: dict[int, tuple[Stored, dict[str, Any]]] = {}
        last = -1
        for record in self.records["predictions"]:
            value = json.loads(record.value or b"{}")
            offset = value["offset"]
            if offset in found:
                self.complain(f"events@{offset} ({value['event_id']}) has a second prediction")
            elif offset < last:
                self.complain(f"the prediction of events@{offset} comes after that of @{last}")
            last = max(last, offset)
            found[offset] = (record, value)
        return found

    def compare(
        self, event: Stored, expected: dict[str, Any] | None, found: tuple[Stored, dict[str, Any]] | None
    ) -> None:
        """One event's prediction, to the bit: floats are written so that they read back exactly."""
        where = f"events@{event.offset}"
        if expected is None or found is None:
            if expected is not None:
                self.complain(f"{where} ({expected['event_id']}) has no prediction")
            elif found is not None:
                self.complain(f"{where} is refused or a duplicate, and has a prediction")
            return
        record, value = found
        due = as_read(expected)
        differing = [
            f"{name} {value.get(name)!r} for {due.get(name)!r}"
            for name in sorted(value.keys() | due.keys())
            if repr(value.get(name)) != repr(due.get(name))
        ]
        if differing:
            self.complain(f"{where} was served {', '.join(differing)}")
        if (record.key, record.time_ms) != (event.key, expected["time_ms"] or 1):
            self.complain(f"{where}: its prediction is stamped {record.key!r} {record.time_ms}")

    def check_stats(self, stats: dict[str, Any], to: list[int]) -> None:
        """The learner's own counters as of this batch, against the recount."""
        for name in COUNTED:
            said, counted = stats["counts"][name], self.recount.counts[name]
            if said != counted:
                self.complain(f"seq {stats['seq']}: {name} is told as {said}, counted {counted}")
        waiting = {"pending": len(self.recount.pending), "parked": len(self.recount.parked)}
        if stats["waiting"] != waiting:
            self.complain(f"seq {stats['seq']}: waiting are told as {stats['waiting']}, counted {waiting}")
        if [stats["positions"][name] for name in INPUTS] != to:
            self.complain(f"seq {stats['seq']}: positions {stats['positions']} are not the journal's {to}")

    def check_end(self, inputs: list[list[Stored]]) -> None:
        """Nothing of the inputs is left over."""
        for rank, records in enumerate(inputs):
            past = -1 if self.tail is None else self.tail[rank]
            if records and records[-1].offset >= past:
                self.complain(f"{INPUTS[rank]} go on to {records[-1].offset}, the journal ends at {past}")

    def check_sum(self) -> None:
        """I5 and the labels' part of I2: whatever came in went out somewhere, once."""
        counts, recount = self.recount.counts, self.recount
        if counts["events"] != counts["predictions"] + counts["dead_events"] + counts["duplicate_events"]:
            self.complain(f"events do not add up: {dict(counts)}")
        judged = counts["labels_learned"] + counts["labels_skipped"] + counts["labels_held"]
        if recount.app.labels.on_timeout != "label" and counts["labels"] != (
            judged - recount.inline + counts["dead_labels"] + counts["duplicate_labels"] + len(recount.parked)
        ):
            self.complain(f"labels do not add up: {dict(counts)}")
        if self.dead != sum(counts[f"dead_{name}"] for name in INPUTS):
            self.complain(f"{self.dead} dead letters, counted {dict(counts)}")

    def check_group(self, offsets: dict[tuple[str, int], int]) -> None:
        """I4: where the broker has the group's offset, it is the journal's tail."""
        for rank, name in enumerate(INPUTS):
            stored = offsets.get((f"{self.app.name}.{name}", self.shard))
            if stored is None or self.tail is None:
                continue
            self.report.committed_offsets += 1
            if stored != self.tail[rank]:
                self.complain(
                    f"{name}: the group's offset is {stored}, the journal ends at {self.tail[rank]}"
                )

    @property
    def stamp(self) -> str:
        """What a view that shows the newest batch must say."""
        return f"0:{self.seq}#{self.digest[:8]}"

    def check_view(self, client: Any) -> None:
        """I6 of a view that has caught up: stamp and blobs are those of the journal's tail."""
        tag = f"{{{self.app.name}:{self.shard}}}"
        stamp, _, _life = (client.get(f"{tag}:s") or b"").decode().rpartition(":")
        if stamp != self.stamp:
            self.complain(f"the view is stamped {stamp!r}, the journal ends at {self.stamp}")
        wanted = {key: list(entity) for key, entity in self.recount.entities.items()}
        keys = [key.decode() for key in client.scan_iter(f"{tag}:f:*", count=1_000)]
        blobs = {key.removeprefix(f"{tag}:f:"): json.loads(client.get(key)) for key in keys}
        found = {key: blob[:-1] for key, blob in blobs.items()}
        layouts = {str(blob[-1]) for blob in blobs.values()}
        if any(len(layout) != 8 for layout in layouts) or len(layouts) > 1:
            self.complain(f"blobs of one definition's features are of {sorted(layouts)}")
        for entity in sorted(wanted.keys() | found.keys()):
            if found.get(entity) != wanted.get(entity):
                shown, due_blob = found.get(entity), wanted.get(entity)
                self.complain(f"the view shows {entity} as {shown}, it must be {due_blob}")


def as_read(expected: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: keys sorted, numpy's numbers plain."""
    text = json.dumps(expected, sort_keys=True, default=lambda number: number.item())
    read: dict[str, Any] = json.loads(text)
    return read


def judge(
    app: Any,
    topics: dict[str, list[list[Stored]]],
    offsets: dict[tuple[str, int], int],
    client: Any = None,
    running: bool = False,
) -> Report:
    """Judge all shards from what was read; `client` reads the view."""
    report = Report(app.name, app.shards)
    alerts: Counter[bytes | None] = Counter()
    for shard in range(app.shards):
        of_shard = ShardJudge(app, shard, {name: topics[name][shard] for name in topics}, report)
        of_shard.judge(running)
        of_shard.check_group(offsets)
        if client is not None:
            of_shard.check_view(client)
        report.counts += of_shard.recount.counts
        alerts.update(record.key for record in topics["alerts"][shard])
    report.violations += [f"alert {key!r} was written {n} times" for key, n in alerts.items() if n > 1]
    return report


def definition(target: str) -> Any:
    """The definition that `path.py:attribute` names: the facts of the run, no part of the learner."""
    path, _, attribute = target.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{target} is no path.py:attribute")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, attribute)


def main() -> None:
    """The command line above."""
    if (
        os.environ.get("PYTHONHASHSEED") != "0"
    ):  # trees with string classes depend on it, as the contract says
        command = [sys.executable, "-m", "tests.faults.judge", *sys.argv[1:]]
        pinned = {**os.environ, "PYTHONHASHSEED": "0"}
        raise SystemExit(subprocess.run(command, env=pinned, check=False).returncode)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers")
    parser.add_argument("target")
    parser.add_argument("--redis")
    parser.add_argument("--running", action="store_true")
    given = parser.parse_args()
    app = definition(given.target)
    topics = read_application(given.servers, app.name, app.shards)
    offsets = group_offsets(given.servers, app.name)
    client = redis.Redis.from_url(given.redis) if given.redis else None
    report = judge(app, topics, offsets, client, given.running)
    if client is not None:
        client.close()
    told = msgspec.to_builtins(report)
    told |= {"violations": report.violations[:SHOWN], "violation_count": len(report.violations)}
    sys.stdout.write(json.dumps(told) + "\n")
    raise SystemExit(1 if report.violations else 0)


if __name__ == "__main__":
    main()
