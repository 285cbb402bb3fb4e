"""Joins what writes a backup: a replay of each shard, readers of topics, and the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from stream_app.adapters.backup_folder import FORMAT, BackupWriter, Manifest, ShardEntry
from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_copy import TopicCopy
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.application import Application
from stream_app.definition.digest import definition_hash, own_sources
from stream_app.errors import Refused
from stream_app.learner.history.backup import (
    ClosedJournal,
    ShardAtEnd,
    journal_since,
    keep_state,
    newest_receipts,
    state_at_end,
    writable,
)
from stream_app.settings import Settings
from stream_app.wiring.learner import signing_key
from stream_app.wiring.past import PastOpener, past_opener
from stream_app.wiring.topics import all_topics, catalog_for
from topics.envelope import RANK_NAMES, RANKS, Record
from topics.life import life_of

NO_INPUT = -1  # the rank of a record that is of no input
Say = Callable[[str], None]


class Ends(NamedTuple):
    """Where topics ended when the backup began, by partition; of the inputs by rank."""

    journal: list[int]
    inputs: list[list[int]]
    models: list[int]


def backup(app: Application, settings: Settings, folder: Path, say: Say) -> Manifest:
    """Write a backup of every shard; nothing of the application is written, joined or fenced.

    Raises:
        Refused: the folder is not empty, a key is missing, another definition runs here, or a shard cannot be
            replayed.
        ShardFailed: Kafka does not answer.
    """
    private = signing_key(settings)
    opener, catalog = past_opener(app, settings), catalog_for(app, settings)
    with BackupWriter(folder) as writer:
        with TopicAdmin(settings.kafka.kafka_python()) as admin:
            topics = admin.specs([spec.name for spec in all_topics(app, settings)])
            # The journal first: the records that it names are then below the inputs' ends.
            ends = Ends(
                admin.ends(catalog.journal.name, app.shards),
                [admin.ends(name, app.shards) for name in catalog.inputs],
                admin.ends(catalog.models.name, app.shards),
            )
        manifest = Manifest(
            FORMAT,
            token_hex(8),
            app.name,
            SystemClock().now_ms(),
            definition_hash(app),
            opener.fingerprint,
            topics,
            [],
        )
        for label, data in own_sources(app).items():
            writer.write(f"definition/{label}", data)
        copy = TopicCopy(settings.kafka.confluent(), app.name)
        try:
            for shard in range(app.shards):
                made = ShardBackup(opener, settings, ends, writer, copy, manifest.backup_id, shard)
                manifest.shards.append(made.write(say, catalog.models.name))
        finally:
            copy.close()
        say("signing")
        writer.finish(manifest, private)
    return manifest


class ShardBackup:
    """Writes one shard's part."""

    def __init__(
        self,
        opener: PastOpener,
        settings: Settings,
        ends: Ends,
        writer: BackupWriter,
        copy: TopicCopy,
        backup_id: str,
        shard: int,
    ) -> None:
        self.opener, self.ends, self.writer, self.copy = opener, ends, writer, copy
        self.backup_id, self.shard = backup_id, shard
        life, keys = life_of(opener.fingerprint["topics"]), settings.signing.private_bytes()
        app = opener.app
        self.kept = FileSnapshots(writer.snapshots, app.name, shard, keys, app.modules, life)

    def write(self, say: Say, models_topic: str) -> ShardEntry:
        """Replay, and write what there is."""
        shard = self.shard
        with self.opener.open(shard) as opened:
            past = opened._replace(
                source=ClosedJournal(opened.source, self.ends.journal[shard]),
                progress=lambda seq, _counted: say(f"shard {shard}: batch {seq:,}"),
            )
            found = state_at_end(past)
            say(f"shard {shard}: state")
            size = keep_state(past.app, found, past.fingerprint, self.kept, self.backup_id)
            entries = journal_since(past.source, found.began)
            records = (Record(NO_INPUT, entry.offset, 0, None, entry.value) for entry in entries)
            journal = self.writer.write_records(f"shard-{shard}/journal.jsonl", records)
        say(f"shard {shard}: receipts")
        low, _ = self.copy.span(models_topic, shard)
        receipts = self.copy.read(models_topic, shard, NO_INPUT, low, self.ends.models[shard])
        n = self.writer.write_records(
            f"shard-{shard}/models.jsonl", newest_receipts(receipts, found.processor.seq)
        )
        return self.entry(found, size, journal, n, self.unread(found, say))

    def unread(self, found: ShardAtEnd, say: Say) -> dict[str, int]:
        """Write the records of the inputs that no batch has read; count them by input."""
        counts: dict[str, int] = {}
        for rank in RANKS:
            name, topic = RANK_NAMES[rank], self.opener.topics[rank]
            say(f"shard {self.shard}: unread {name}")
            low, _ = self.copy.span(topic, self.shard)
            start = found.processor.positions[rank]
            if 0 <= start < low:
                raise Refused(
                    f"shard {self.shard}: {name} {start} to {low - 1} were deleted before they were read",
                    "Run `stream-app upgrade MODULE:APP`: it goes on behind them. Then back up",
                )
            records = self.copy.read(
                topic, self.shard, rank, max(start, low), self.ends.inputs[rank][self.shard]
            )
            counts[name] = self.writer.write_records(
                f"shard-{self.shard}/{name}.jsonl", map(writable, records)
            )
        return counts

    def entry(
        self, found: ShardAtEnd, size: int, journal: int, receipts: int, unread: dict[str, int]
    ) -> ShardEntry:
        """What the manifest says of it."""
        processor = found.processor
        counters = processor.core.state.counters
        return ShardEntry(
            self.shard,
            processor.epoch,
            processor.seq,
            processor.digest,
            found.newest,
            dict(zip(RANK_NAMES, processor.positions, strict=True)),
            size,
            journal,
            receipts,
            unread,
            {
                **counters.as_dict(),
                "waiting_rows": len(processor.core.state.pending),
                "parked_labels": len(processor.core.state.parked),
            },
        )
