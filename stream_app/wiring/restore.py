"""Joins what puts a backup into an empty cluster: folder, topics, snapshot store, and one writer a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stream_app.adapters.backup_folder import BackupFolder, Manifest
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_copy import TopicCopy
from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.adapters.signing import public_key
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.adapters.write_test import try_writing
from stream_app.application import Application
from stream_app.definition.admission import sample_run
from stream_app.errors import Refused, ShardFailed
from stream_app.learner.history.epoch import journal_epoch
from stream_app.learner.history.restore import (
    AGAIN,
    NOT_EMPTY,
    Backed,
    check_same_definition,
    has_entered,
    is_placed,
    left_to_write,
    place,
)
from stream_app.learner.history.verify import drain
from stream_app.learner.recovery.fingerprint import fingerprint
from stream_app.settings import Settings
from stream_app.wiring.learner import output_topics, signing_key, source_opener, store_opener
from stream_app.wiring.topics import all_topics, catalog_for
from topics.envelope import RANK_NAMES, RANKS
from topics.life import life_of
from topics.specs import TopicSpec

OF_THE_CLUSTER = {"min.insync.replicas"}  # goes with the replicas, which the settings name
NO_INPUT = -1
Say = Callable[[str], None]


class Restored(msgspec.Struct):
    """A shard that was restored: its epoch, and what was written; `entered`: an earlier call had done it."""

    shard: int
    epoch: int
    seq: int
    entered: bool
    receipts: int = 0
    unread: dict[str, int] = {}


def restore(app: Application, settings: Settings, folder: Path, say: Say) -> Iterator[Restored]:
    """Check the backup and the cluster, then restore shard by shard; a refusal leaves all as it was.

    Raises:
        Refused: the backup is damaged or of another definition, or the cluster is not empty.
        ShardFailed: it was cut off: run it again.
    """
    signing_key(settings)
    keys = [*map(public_key, settings.signing.private_bytes()), *settings.signing.public_bytes()]
    found = BackupFolder(folder, keys)
    if found.manifest.app != app.name:
        raise Refused(
            f"the backup in {folder} is of the application {found.manifest.app}, not of {app.name}",
            "Name the definition that it is of",
        )
    prints = fingerprint(app, {}, sample_run(app))
    check_same_definition(found.manifest.fingerprint, prints)
    found.check(say)
    backed = [backed_shard(app, found, shard, keys) for shard in range(app.shards)]
    store_opener(app, settings)(0)
    try:
        yield from NewPlace(app, settings, found, backed, prints, say).restore()
    except ShardFailed as failed:
        raise ShardFailed(failed.message, AGAIN) from failed


def backed_shard(app: Application, found: BackupFolder, shard: int, keys: list[bytes]) -> Backed:
    """The state of one shard in a backup.

    Raises:
        Refused: there is none, or it is signed by another key.
    """
    store = FileSnapshots(found.snapshots, app.name, shard, [], app.modules, public=keys)
    entry = found.manifest.shards[shard]
    for header, load in store.load():
        if (header["epoch"], header["seq"], header["digest"]) == (entry.epoch, entry.seq, entry.digest):
            return Backed(shard, found.manifest.backup_id, header, load)
    raise Refused(
        f"the state of shard {shard} in the backup is signed by none of our keys",
        "Set STREAM_APP_SIGNING__KEYS to that of the learners that it is of, here and for the new learners; "
        "with embedded servers it is in the file signing.key of the old ones' folder",
    )


class NewPlace:
    """The cluster and the snapshot store that a backup goes into."""

    def __init__(
        self,
        app: Application,
        settings: Settings,
        found: BackupFolder,
        backed: list[Backed],
        prints: dict[str, Any],
        say: Say,
    ) -> None:
        self.app, self.settings, self.found, self.backed, self.say = app, settings, found, backed, say
        self.prints = prints
        self.catalog = catalog_for(app, settings)
        self.copy = TopicCopy(settings.kafka.confluent(), app.name)
        self.open_source = source_opener(app, settings)

    def restore(self) -> Iterator[Restored]:
        """Restore every shard."""
        try:
            with TopicAdmin(self.settings.kafka.kafka_python()) as admin:
                self.check(admin)
                try_writing(self.settings.snapshots.url, self.app.name)
                self.say("topics")
                self.create(admin)
            for backed in self.backed:
                self.say(f"shard {backed.shard}: state")
                self.place(backed)
            for backed in self.backed:
                yield self.restore_shard(backed)
        finally:
            self.copy.close()

    def create(self, admin: TopicAdmin) -> None:
        """Create what is missing, the journal last, when every snapshot is saved: a learner that waits for
        the topics must find its snapshot, or it would begin from nothing.
        """
        specs, journal = list(self.specs(self.found.manifest)), self.catalog.journal.name
        admin.create(spec for spec in specs if spec.name in self.catalog.inputs)
        ids, _ = admin.look(specs)
        self.know(ids)
        for backed in self.backed if journal not in ids else ():
            self.say(f"shard {backed.shard}: state")
            positions = [self.copy.span(topic, backed.shard)[0] for topic in self.catalog.inputs]
            store = self.open_store(backed.shard)
            place(self.app, backed, self.prints, positions, self.catalog.inputs, store, 0)
        admin.create(sorted(specs, key=lambda spec: spec.name == journal))
        self.know(admin.require(self.catalog))

    def know(self, ids: dict[str, str]) -> None:
        """Take note of the input topics that are there now."""
        self.prints = {**self.prints, "topics": {name: ids[name] for name in self.catalog.inputs}}

    @property
    def life(self) -> str:
        """The life of these input topics."""
        return life_of(self.prints["topics"])

    def open_store(self, shard: int) -> FileSnapshots:
        """The snapshots of these topics."""
        return store_opener(self.app, self.settings, self.life)(shard)

    def check(self, admin: TopicAdmin) -> None:
        """Check that nothing is there, or only what an earlier call for this backup has left.

        Raises:
            Refused: a learner runs, or a topic holds records of something else.
        """
        if admin.group(self.app.name).members:
            raise Refused("a learner of this application is running", "Stop every learner (SIGTERM) first")
        ids, differences = admin.look(all_topics(self.app, self.settings))
        for mismatch in differences:
            if mismatch.grave and mismatch.topic in ids:
                raise Refused(f"topic {mismatch.topic}: {mismatch.what}", mismatch.fix)
        if set(self.catalog.inputs) <= set(ids):
            self.know(ids)
            placed = [is_placed(self.open_store(each.shard), each, self.life) for each in self.backed]
            if any(placed):
                return
        for spec in admin.specs(list(ids)):
            if any(low != end for low, end in (self.copy.span(spec.name, n) for n in range(spec.partitions))):
                raise Refused(f"the topic {spec.name} holds records", NOT_EMPTY)

    def specs(self, manifest: Manifest) -> Iterator[TopicSpec]:
        """The topics as the backup has them, with the replicas that the settings name here."""
        known = {spec.name: spec.config for spec in manifest.topics}
        for spec in all_topics(self.app, self.settings):
            own = {
                name: value for name, value in known.get(spec.name, {}).items() if name not in OF_THE_CLUSTER
            }
            yield TopicSpec(spec.name, spec.partitions, spec.replication, {**spec.config, **own}, spec.key)

    def place(self, backed: Backed, journal_offset: int | None = None) -> int | None:
        """Save a shard's snapshot where that is missing; the epoch's offset where it is open already."""
        source = self.open_source(backed.shard)
        try:
            entered = drain(has_entered(source, backed)) if journal_offset is None else journal_offset
            _, end = self.copy.span(self.catalog.journal.name, backed.shard)
            place(
                self.app,
                backed,
                self.prints,
                source.earliest(),
                self.catalog.inputs,
                self.open_store(backed.shard),
                end if entered is None else entered,
            )
        finally:
            source.close()
        return entered

    def restore_shard(self, backed: Backed) -> Restored:
        """Write a shard's receipts and unread inputs, then open its epoch."""
        shard, topics = backed.shard, self.catalog
        done = Restored(shard, backed.header["epoch"] + 1, backed.header["seq"], entered=True)
        source = self.open_source(shard)
        writer = KafkaWriter(
            self.settings.kafka.confluent(),
            f"{self.app.name}.{shard}",
            shard,
            output_topics(topics),
            topics.inputs,
            life=self.life,
        )
        try:
            if drain(has_entered(source, backed)) is not None:
                return done
            writer.fence()
            self.write("models", topics.models.name, shard, NO_INPUT)
            for rank in RANKS:
                self.write(RANK_NAMES[rank], topics.inputs[rank], shard, rank)
            entry = self.found.manifest.shards[shard]
            done.entered, done.receipts, done.unread = False, entry.receipts, entry.unread
            self.say(f"shard {shard}: epoch")
            record = backed.epoch_record(self.prints, source.earliest())
            offset = journal_epoch(shard, record, writer, source)
        finally:
            source.close()
            writer.close()
        self.place(backed, offset)  # where an earlier attempt was aborted, it lies further than was known
        return done

    def write(self, name: str, topic: str, shard: int, rank: int) -> None:
        """Write the records of one file, those that an earlier call has not written."""
        self.say(f"shard {shard}: {name}")
        low, end = self.copy.span(topic, shard)
        kept = self.found.records(f"shard-{shard}/{name}.jsonl", rank)
        written = self.copy.read(topic, shard, rank, low, end)
        self.copy.write(topic, shard, left_to_write(f"{topic}[{shard}]", written, kept))
