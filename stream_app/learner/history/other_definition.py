"""What another definition would have served of the records that the live shard has learned.

It sees the records in the journal's order. With other models or features it starts fresh where the replay
does; where only policies differ, it goes on with the live models. An exclusion leaves records out, for the
other definitions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.definition.digest import definition_hashes
from stream_app.errors import UsageError
from stream_app.flow.core import Core
from stream_app.flow.read import read
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.lines import Storage
from stream_app.learner.history.past import Past
from stream_app.learner.history.variant import LAST, Outcome, Variant, scores
from stream_app.learner.history.whatif import beside, replay_beside
from stream_app.state.shard import ShardState
from topics.codec import Rejected
from topics.envelope import COMMAND, EVENT, LABEL, RANK_NAMES, Record

SERVED, FRESH, CARRIED = "as it was served", "from the beginning", "with the live models"
KEPT_PARTS = ("task", "slots", "features", "labels", "rest")  # if equal, the live models are the variant's


class Exclusion(msgspec.Struct, frozen=True):
    """Records that variants do not see: of these Kafka keys, or within spans of epoch ms, ends excluded.

    Each has the text that it was asked for with.
    """

    keys: Mapping[bytes, str] = {}
    spans: Mapping[tuple[int, int], str] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left out."""
        return not self.keys and not self.spans


class Compared(msgspec.Struct):
    """One row: what was served live, or what another definition would have served.

    `begins` is one of `SERVED`, `FRESH` and `CARRIED`; `skipped` counts records that were left out, and
    `skipped_by` those by the text of the exclusion that names them by their key or time. `gained` is the
    score less the live one's on the `compared` events that both answered and got a label for, `gained_last`
    that of the newest fourth of these.
    """

    outcome: Outcome
    begins: str
    skipped: int
    skipped_by: dict[str, int]
    dead_letters: dict[str, int]
    compared: int
    gained: dict[str, float]
    gained_last: dict[str, float]


class OtherDefinition(Variant):
    """A machine under another definition; it passes over what is excluded, and counts that.

    `earlier` are the events that waited for their labels where it begins, which it has not seen.
    """

    def __init__(
        self,
        name: str,
        processor: BatchProcessor,
        begins: str,
        exclusion: Exclusion,
        earlier: Iterable[str] = (),
    ) -> None:
        super().__init__(name, processor)
        self.begins, self.exclusion, self.earlier = begins, exclusion, set(earlier)
        self.skipped = 0
        self.skipped_by = dict.fromkeys((*exclusion.keys.values(), *exclusion.spans.values()), 0)
        self.unseen: set[str] = set()  # ids of events that were left out by their time

    def account_for(self, record: Record) -> None:
        """Step one record, unless it is left out.

        Raises:
            UsageError: a model raised, or answered, what a shard does not outlive.
        """
        if record.rank != COMMAND and self.leaves_out(record):
            self.skipped += 1
            return
        if record.rank == LABEL and self.earlier and event_id_of(record) in self.earlier:
            return
        try:
            super().account_for(record)
        except (RecursionError, OSError, ValueError) as error:
            place = f"{RANK_NAMES[record.rank]} offset {record.offset:,}"
            raise UsageError(
                f"{self.name} raised {type(error).__name__} at {place}: {error}",
                "Correct its models: a learner's shard would start again there, and give up the record",
            ) from error

    def leaves_out(self, record: Record) -> bool:
        """Whether an event or a label is excluded; the label of an event that was left out goes with it."""
        if record.key is not None and (text := self.exclusion.keys.get(record.key)) is not None:
            self.skipped_by[text] += 1
            return True
        for (start, end), text in self.exclusion.spans.items():
            if start <= record.time_ms < end:
                self.skipped_by[text] += 1
                if record.rank == EVENT and (event_id := event_id_of(record)) is not None:
                    self.unseen.add(event_id)
                return True
        return record.rank == LABEL and bool(self.unseen) and event_id_of(record) in self.unseen


def event_id_of(record: Record) -> str | None:
    """The id in an event or a label; None if the record is refused."""
    found = read(record)
    return None if isinstance(found, Rejected) else str(found[1].event_id)


def check_comparable(app: Application, others: Mapping[str, Application]) -> None:
    """Refuse definitions that cannot be replayed over the application's history.

    Raises:
        UsageError: the application has no labels, or another definition has another task, shards or inputs.
    """
    if app.labels is None:
        raise UsageError(
            f"{app.name} learns without labels, so nothing can be scored", "Name one with labels="
        )
    for title, other in others.items():
        for part in ("task", "shards"):
            mine, its = getattr(app, part), getattr(other, part)
            if mine != its:
                raise UsageError(
                    f"{title} has {part}={its!r}, {app.name} has {part}={mine!r}",
                    f"Write {part}={mine!r} in {title}: the recorded events and labels are of that kind",
                )
        if roles_of(app) != roles_of(other):
            raise UsageError(
                f"{title} has other inputs= than {app.name}",
                f"Give {title} the inputs of {app.name}, imported from its module: the recorded events are "
                "what these made of your topics",
            )


def roles_of(app: Application) -> dict[str, Any] | None:
    """The topics that the definition names, by what they feed."""
    return None if app.inputs is None else app.inputs.roles


def replay_definitions(
    past: Past,
    others: Mapping[str, Application],
    exclusion: Exclusion,
    storage_of: Callable[[Application], Storage],
) -> list[Compared]:
    """Replay one shard from the earliest retained point; the live row comes first, then the others'.

    No row at all: nothing of the shard can be replayed.

    Raises:
        UsageError: another definition makes no model, or a model raised what no shard outlives.
        Refused, Halted: as `replay_beside`.
    """

    def begin(live: BatchProcessor) -> list[Variant]:
        made: list[Variant] = []
        for title, other in others.items():
            processor, begins = machine_of(past, title, other, live, storage_of(other))
            earlier = live.core.state.pending.items if begins == FRESH else ()
            made.append(OtherDefinition(title, processor, begins, exclusion, earlier))
        return made

    name, replayed = replay_beside(past, begin)
    return [compared(one, replayed[0], name) for one in replayed]


def machine_of(
    past: Past, title: str, other: Application, live: BatchProcessor, storage: Storage
) -> tuple[BatchProcessor, str]:
    """The other definition's machine at the live one's place, and how it begins.

    Raises:
        UsageError: a factory raised, or made something that is not a model.
    """
    try:
        begun = (live.epoch, live.seq) != (0, 0)
        if begun and keeps_models(past.app, other):
            return beside(live, other, past.store), CARRIED
        state = ShardState(other, live.core.state.shard)
    except UsageError as error:
        raise UsageError(f"{title}: {error.message}", error.remedy) from error
    return BatchProcessor(
        Core(other, state, storage.round_trip, storage.refill_sets),
        live.emitter.input_topics,
        epoch=live.epoch,
        seq=live.seq,
        digest=live.digest,
        positions=live.positions,
    ), FRESH


def keeps_models(app: Application, other: Application) -> bool:
    """Whether only the name, detectors, swap policies or the blend differ, so that the live models fit."""
    before = definition_hashes(app)
    after = definition_hashes(replace(other, name=app.name, serve=app.serve))
    return all(before[part] == after[part] for part in KEPT_PARTS)


def compared(one: Variant, live: Variant, source: str) -> Compared:
    """The row of a variant beside the live one."""
    state = one.processor.core.state
    known = {offset: loss for offset, loss in zip(live.offsets, live.losses, strict=True) if not isnan(loss)}
    pairs = [
        (loss, known[offset])
        for offset, loss in zip(one.offsets, one.losses, strict=True)
        if offset in known and not isnan(loss)
    ]
    newest = pairs[len(pairs) - len(pairs) // LAST :]
    begins, skipped, skipped_by = SERVED, 0, dict[str, int]()
    if isinstance(one, OtherDefinition):
        begins, skipped, skipped_by = one.begins, one.skipped, one.skipped_by
    dead = {reason: n - one.dead_before.get(reason, 0) for reason, n in state.dead_by_reason.items()}
    return Compared(
        one.outcome(source),
        begins,
        skipped,
        skipped_by,
        {reason: n for reason, n in dead.items() if n},
        len(pairs),
        gained(pairs, state.classify),
        gained(newest, state.classify),
    )


def gained(pairs: Sequence[tuple[float, float]], classify: bool) -> dict[str, float]:
    """Scores of the first losses less those of the second: of accuracy more is better, of errors less.

    >>> gained([(0.0, 1.0), (0.0, 0.0)], True)
    {'accuracy': 0.5}
    """
    own, others = (scores([pair[n] for pair in pairs], classify) for n in (0, 1))
    return {name: value - others[name] for name, value in own.items()}
