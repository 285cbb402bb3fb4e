"""Joins what puts a learned history into an empty cluster: a backup is made of it, and restored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stream_app.adapters.backup_folder import FORMAT, BackupWriter, Manifest, ShardEntry
from stream_app.adapters.clock import SystemClock
from stream_app.adapters.pickled import dump, refill_sets
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application
from stream_app.definition.admission import sample_run
from stream_app.definition.digest import definition_hash, own_sources
from stream_app.learner.history.backup import ShardAtEnd, keep_state
from stream_app.learner.history.bootstrap import ShardHistory, learn_history
from stream_app.learner.history.lines import Storage
from stream_app.learner.history.mini_batch import Row
from stream_app.learner.recovery.fingerprint import fingerprint
from stream_app.settings import Settings
from stream_app.wiring.learner import signing_key
from stream_app.wiring.restore import Restored, Say, restore
from stream_app.wiring.topics import all_topics
from topics.envelope import RANK_NAMES, Record
from topics.life import life_of


def bootstrap(
    app: Application,
    settings: Settings,
    records: Sequence[tuple[int, Record | Row]],
    name: str,
    say: Say,
    mini_batch: int = 1,
) -> Iterator[tuple[ShardHistory, Restored]]:
    """Learn records, each with its shard, then let every shard begin behind them; rows among them are learned
    `mini_batch` at a time.

    `name` says what they are: called again with the same records and name, it goes on where it was cut off.

    Raises:
        Refused: a key is missing, or the cluster is not empty.
        UsageError: the definition, or a row, allows no mini-batches.
        ShardFailed: it was cut off: run it again.
    """
    signing_key(settings)
    storage = Storage(dump, lambda payload: unpickle(payload, app.modules), refill_sets)
    n = len(records)
    shards = learn_history(
        app, records, storage, lambda done: say(f"{done:,} of {n:,} records learned"), mini_batch
    )
    with tempfile.TemporaryDirectory(prefix="stream-app-bootstrap-") as folder:
        place = Path(folder) / "history"
        write(app, settings, shards, name, place)
        for done in restore(app, settings, place, say):
            yield shards[done.shard], done


def write(app: Application, settings: Settings, shards: list[ShardHistory], name: str, place: Path) -> None:
    """Write a backup of an application that has learned this history and has no journal."""
    prints = fingerprint(app, dict.fromkeys(("commands", "events", "labels"), ""), sample_run(app))
    manifest = Manifest(
        FORMAT,
        name,
        app.name,
        SystemClock().now_ms(),
        definition_hash(app),
        prints,
        list(all_topics(app, settings)),
        [],
    )
    with BackupWriter(place) as writer:
        for label, data in own_sources(app).items():
            writer.write(f"definition/{label}", data)
        for one in shards:
            processor, state = one.processor, one.processor.core.state
            kept = FileSnapshots(
                writer.snapshots,
                app.name,
                state.shard,
                settings.signing.private_bytes(),
                app.modules,
                life_of(prints["topics"]),
            )
            size = keep_state(app, ShardAtEnd(processor, 0, 0), prints, kept, name)
            receipts = writer.write_records(f"shard-{state.shard}/models.jsonl", one.receipts.values())
            for rank in RANK_NAMES:
                writer.write_records(f"shard-{state.shard}/{rank}.jsonl", ())
            manifest.shards.append(
                ShardEntry(
                    state.shard,
                    processor.epoch,
                    processor.seq,
                    processor.digest,
                    0,
                    dict(zip(RANK_NAMES, processor.positions, strict=True)),
                    size,
                    0,
                    receipts,
                    dict.fromkeys(RANK_NAMES, 0),
                    state.counters.as_dict(),
                )
            )
        writer.finish(manifest, settings.signing.private_bytes()[0])
