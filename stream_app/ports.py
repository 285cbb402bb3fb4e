"""Everything outside the learner, as Protocols; `wiring` joins the adapters to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from topics.envelope import Headers, Record
from topics.records import Stats

Positions = list[
    int
]  # next offset to read, by rank (commands, events, labels); −1: from the earliest retained


class Send(msgspec.Struct, gc=False):
    """One record to write; `topic` names a topic of the catalog by its attribute."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    time_ms: int = 0  # 0: the moment of writing


class Commit(msgspec.Struct):
    """One transaction: predictions (value, key, time in ms) in order, other records, journal, positions."""

    predictions: list[tuple[bytes, str, int]]
    others: list[Send]
    journal: bytes | None
    positions: Positions


class JournalEntry(msgspec.Struct):
    """A raw journal record and where it lies."""

    offset: int
    value: bytes


class ShardWriter(Protocol):
    """One transactional producer for one shard."""

    def fence(self) -> None:
        """Fence the previous owner and resolve its open transaction; blocks up to some seconds."""

    def commit(self, commit: Commit, group: bytes | None) -> int | None:
        """Write one transaction, give the journal record's offset; `group` None: no offsets.

        Raises:
            StaleGroup: the captured generation is old and the transaction aborted; capture again and resend.
            Fenced: another owner took the shard.
            ShardFailed: anything else; the shard's state is void.
        """

    def close(self) -> None: ...


class Polled(msgspec.Struct):
    """What one poll brought: records by (shard, rank) in order, and ends of partitions with positions."""

    records: dict[tuple[int, int], list[Record]]
    ends: dict[tuple[int, int], int]
    cut: dict[
        tuple[int, int], str
    ]  # inputs whose next offset is no longer retained, and what the client said


class InputLog(Protocol):
    """The group member: owns the subscription, reads the inputs of owned shards."""

    def subscribe(
        self, on_assign: Callable[[list[int]], None], on_revoke: Callable[[list[int], bool], None]
    ) -> None: ...
    def poll(self, limit: int, timeout_s: float) -> Polled: ...
    def group(self) -> bytes | None:
        """The group metadata under which a commit is sent now; None without a generation."""

    def start(self, shard: int, positions: Positions) -> None: ...
    def stop(self, shard: int) -> None: ...
    def pause(self, shard: int, rank: int) -> None: ...
    def resume(self, shard: int, rank: int) -> None: ...
    def topic_ids(self) -> dict[str, str]:
        """The broker's id of each input that exists now; for any thread.

        Raises:
            ShardFailed: the broker does not answer.
        """

    def ends(self, shard: int) -> list[int | None]:
        """Give by rank up to which offset an input is known to be written, without asking; None: unknown."""

    def close(self) -> None: ...


class ReplaySource(Protocol):
    """Reads one shard's journal and inputs from given positions, read_committed, outside the group."""

    def journal(self, from_offset: int) -> Iterable[JournalEntry | None]:
        """Journal records in order up to the end at the time of the call; None: nothing yet, come back."""

    def inputs(self, positions: Positions) -> None:
        """Read the inputs from these positions on."""

    def read_next(self, rank: int, n: int, end: int) -> list[Record] | None:
        """The next n records of an input, all below offset `end`; None: not all here yet, come back.

        Raises:
            Halted: the retained input has fewer or more records in that range.
        """

    def earliest(self) -> Positions: ...
    def committed(self) -> list[int | None]:
        """The group's stable committed offsets by rank; None where the broker has none."""

    def predicted(self) -> int | None:
        """The event offset of the newest committed prediction; None where the topic holds none."""

    def group(self) -> bytes:
        """Group metadata of a client that is not a member, for commits while no learner runs."""

    def close(self) -> None: ...


class View(Protocol):
    """The feature view of one shard in Redis."""

    def write(self, previous: str, stamp: str, blobs: Mapping[str, bytes | None]) -> str:
        """Write all blobs (None: delete) if the stored stamp is `previous`; ok, behind, fenced or down."""

    def rebuild(self, stamp: str, blobs: Mapping[str, bytes | None], done: bool) -> str:
        """Write a slice of a rebuild unless the stored stamp is newer; `done` seals it with `stamp`."""

    def keys(self) -> list[str] | None:
        """Every entity that has a blob; None when Redis is unreachable."""

    def stamp(self) -> str | None:
        """The stored stamp; None when missing, of another life, or Redis is unreachable."""

    def forget(self, stamp: str) -> None:
        """Let the view count as lost if this is its stamp still."""

    def wrote(self) -> str | None:
        """The life that wrote the view last; None where nothing is stored or Redis is unreachable."""


class Dumped(Protocol):
    """A pickle, and the sets of its models: filled again, they are laid out as loading lays them out."""

    @property
    def layouts(self) -> Mapping[int, Any]:
        """What `stream_app.adapters.set_order.lay_out` fills again; empty where the models hold no sets."""

    @property
    def payload(self) -> bytes:
        """What `save` takes, or `seal`."""


class SnapshotStore(Protocol):
    """Signed snapshots of one shard and life, newest first.

    Where the store gives no answer, reads raise Unreachable: the file is neither absent nor damaged then.
    """

    folder: str

    def save(self, header: Mapping[str, Any], payload: bytes) -> int: ...
    def names(self) -> list[str]:
        """Names to `read`, newest first."""

    def left_over(self) -> list[str]:
        """Names of another life's files."""

    def tidy(self) -> None:
        """Remove what a writer left behind that died."""

    def read(self, name: str) -> tuple[dict[str, Any], Callable[[], Any]] | None:
        """(header, loader) of one file if its signature holds, else None; the loader may raise."""

    def load(self) -> Iterable[tuple[dict[str, Any], Callable[[], Any]]]:
        """`read` of every file, without None."""

    def dump(self, whole: Any, models: Iterable[Any]) -> Dumped:
        """Pickle what holds these models."""

    def refill_sets(self, models: Iterable[Any]) -> None:
        """Lay out the sets of live models as storing and loading would."""

    def copy(self, payload: bytes) -> Any:
        """What loading gives of a payload that `dump` made."""

    def round_trip(self, model: Any) -> Any:
        """What loading gives of what was stored; raises what either raises."""


class ModelShelf(Protocol):
    """Where one shard's champion is published for predictors."""

    def dump(self, whole: Any, models: Iterable[Any]) -> Dumped:
        """Pickle what holds these models."""

    def copy(self, payload: bytes) -> Any:
        """What loading gives of a payload that `dump` made."""

    def seal(self, header: Mapping[str, Any], payload: bytes) -> bytes:
        """Sign header and payload."""

    def put(self, stamp: str, at_ms: int, sealed: bytes) -> str:
        """Show a sealed champion from now on, unless a newer one is shown: ok, fenced or down."""

    def stamp(self) -> str | None:
        """The batch that is shown; None when none is, one of another life, or Redis is unreachable."""

    def forget(self, stamp: str) -> None:
        """Show none, if it is this one still."""

    def touch(self, stamp: str, at_ms: int) -> str:
        """Say that it was still the newest at `at_ms`: ok, behind (it is lost), fenced or down."""


class ServingView(Protocol):
    """What a predictor reads of the view; every read raises Unreachable within the server's timeout."""

    async def shown(self) -> list[tuple[str, int] | None]:
        """By shard, (stamp with its life, epoch ms at which that was the newest), None: none is published."""

    async def sealed(self, shard: int) -> bytes | None:
        """The published champion of a shard; None if it is gone meanwhile."""

    async def entities(self, keys: Sequence[tuple[int, str]]) -> list[bytes | None]:
        """The blobs of (shard, key), None where Redis has none; one round trip, and changes are reported."""

    def changes(self) -> AsyncGenerator[list[str] | None, None]:
        """First None: changes are reported from now on; then keys whose blobs changed, None: any may have.

        Ends when the connection is lost; begin again, and read nothing before that as if it were fresh.
        """

    async def close(self) -> None: ...


class ServingTelemetry(Protocol):
    """Where a predictor reports."""

    def answered(
        self,
        seconds: float,
        rows: int,
        *,
        stale: int,
        unknown: int,
        bad: int,
        broken: int,
        feature_age_s: float | None,
    ) -> None:
        """Count a request; so many of its rows are stale, of unknown entities, bad, or break their bounds.

        `feature_age_s` is of its first known entity.
        """

    def problem(self, status: int) -> None: ...
    def read(self, hits: int, misses: int) -> None: ...
    def refused(self, shard: int) -> None: ...
    def serves(self, shard: int, version: int, learned: int, at_ms: int) -> None: ...


class Clock(Protocol):
    """Wall clock in epoch ms, and a monotonic one in s for waiting."""

    def now_ms(self) -> int: ...
    def monotonic(self) -> float: ...


class Telemetry(Protocol):
    """Where the loop reports; the adapter turns it into metrics."""

    def stats(self, shard: int, stats: Stats) -> None: ...
    def phase(self, shard: int, phase: str) -> None:
        """Report the phase of a shard of this process; `dropped`: it is no longer one."""
