"""What ops reads and acknowledges: every record, none before its changes are written, none beyond a gap."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import Assignment
from faust.types import TP

from stream_app.ops.faust_app import CommittedConsumer, CommittedThread, DurableTable


def table(*changes: asyncio.Future[None]) -> DurableTable:
    """A table with these changes on their way; nothing else of it is used."""
    made = DurableTable.__new__(DurableTable)
    made.unwritten = [*changes]  # type: ignore[list-item]  # Faust's futures are asyncio's
    return made


def test_each_caller_waits_for_changes_that_another_waits_for() -> None:
    """Two agents share a table: the second may not go on before the first one's changes are written."""

    async def case() -> None:
        change = asyncio.get_running_loop().create_future()
        kept = table(change)
        callers = [asyncio.create_task(kept.flushed()) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert [caller.done() for caller in callers] == [False, False]
        change.set_result(None)
        await asyncio.gather(*callers)
        assert kept.unwritten == []

    asyncio.run(case())


def test_a_change_that_came_meanwhile_is_still_waited_for() -> None:
    """It is not forgotten with those before it."""

    async def case() -> None:
        first, later = (asyncio.get_running_loop().create_future() for _ in range(2))
        kept = table(first)
        caller = asyncio.create_task(kept.flushed())
        await asyncio.sleep(0)
        kept.unwritten.append(later)  # type: ignore[arg-type]
        first.set_result(None)
        await caller
        assert kept.unwritten == [later]

    asyncio.run(case())


def test_every_caller_hears_of_a_failed_write() -> None:
    """None of them acknowledges anything."""

    async def case() -> None:
        change = asyncio.get_running_loop().create_future()
        kept = table(change)
        callers = [asyncio.create_task(kept.flushed()) for _ in range(2)]
        await asyncio.sleep(0)
        change.set_exception(ConnectionError("gone"))
        for caller in callers:
            with pytest.raises(ConnectionError):
                await caller

    asyncio.run(case())


PARTITION = TP("app.models", 0)


class Record:
    """What a consumer delivers, as far as it looks at it."""

    def __init__(self, offset: int) -> None:
        self.tp, self.offset = PARTITION, offset


def consumer(read: list[int], acked: list[int], committed: int | None) -> Any:
    """A consumer that delivered these records and has these acknowledged; it has no client."""
    made: Any = CommittedConsumer.__new__(CommittedConsumer)
    made.first, made._unacked_messages = {}, set()
    made._on_message_in = lambda *_: None
    for offset in read:
        made.track_message(Record(offset))
    made._unacked_messages = {one for one in made._unacked_messages if one.offset not in acked}
    made._acked = defaultdict(list, {PARTITION: list(acked)})
    made._acked_index = defaultdict(set, {PARTITION: set(acked)})
    made._gap = defaultdict(lambda: None)
    made._committed_offset = defaultdict(lambda: None, {PARTITION: committed})
    return made


@pytest.mark.parametrize(
    ("read", "acked", "committed", "offset"),
    [
        ([0, 1, 2], [0, 1], None, 2),
        ([0, 1, 2], [1, 2], None, None),
        ([0, 1, 2], [2], None, None),
        ([7, 8], [7, 8], None, 9),  # what was before is deleted
        ([5, 6, 7], [7], 5, None),
        ([5, 6, 7], [6, 7], 5, None),
        ([5, 6, 7], [5, 6], 5, 7),
        ([6, 7], [6, 7], 5, 8),  # 5 ends a transaction and is delivered to nobody
    ],
)
def test_no_offset_beyond_a_gap_is_committed(
    read: list[int], acked: list[int], committed: int | None, offset: int | None
) -> None:
    """Also before the first commit: what lies before an acknowledged record may not have been taken."""
    assert consumer(read, acked, committed)._new_offset(PARTITION) == offset


def test_what_outlived_a_seek_holds_no_commit_up() -> None:
    """A record below the committed offset is done, whoever still has it in hand."""
    made = consumer([3, 5, 6], [5, 6], 5)
    assert made._new_offset(PARTITION) == 7


def test_nothing_is_read_between_the_seek_and_the_emptied_queues() -> None:
    """Faust empties the agents' queues after the seek: a record put there meanwhile would be lost."""
    made = consumer([], [], None)
    made.can_resume_flow, made.suspend_flow = asyncio.Event(), asyncio.Event()
    made._read_offset = {}
    seen = []

    async def seek_to_committed() -> dict[TP, int]:
        seen.append(made.flow_active)
        return {PARTITION: 5}

    made.seek_to_committed = seek_to_committed
    made.resume_flow()
    asyncio.run(made.perform_seek())
    assert seen == [False]
    assert not made.flow_active
    assert made._committed_offset[PARTITION] == 5


def test_a_seek_goes_to_the_beginning_where_nothing_is_committed() -> None:
    """Without that, such a partition stays behind what was fetched and thrown away during recovery."""
    begun: list[TP] = []
    changelog = TP("group-alerts-changelog", 0)

    class Client:
        async def seek_to_committed(self) -> dict[TP, int | None]:
            return {PARTITION: None, TP("app.models", 1): 0, TP("app.models", 2): 7, changelog: None}

        async def seek_to_beginning(self, *partitions: TP) -> None:
            begun.extend(partitions)

    thread: Any = CommittedThread.__new__(CommittedThread)
    thread._ensure_consumer = Client
    thread.consumer = SimpleNamespace(
        app=SimpleNamespace(tables=SimpleNamespace(changelog_topics={changelog.topic}))
    )
    asyncio.run(thread.rewind())
    assert begun == [PARTITION, TP("app.models", 1)]


@pytest.mark.parametrize("place", ["no position yet", "not assigned", "no assignment"])
def test_a_partition_that_cannot_be_judged_does_not_end_the_process(place: str) -> None:
    """Faust's look at stuck partitions passes over one that aiokafka has no position of."""

    async def look() -> None:
        kept = [] if place == "not assigned" else [TopicPartition(*PARTITION)]
        assignment = None if place == "no assignment" else Assignment(kept)
        subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        thread: Any = CommittedThread.__new__(CommittedThread)
        thread._ensure_consumer = lambda: SimpleNamespace(
            _fetcher=SimpleNamespace(_subscriptions=subscriptions)
        )
        thread.time_started = 0.0
        app = SimpleNamespace(monitor=object(), topics=SimpleNamespace(acks_enabled_for=bool))
        thread.consumer = SimpleNamespace(app=app)
        thread.verify_event_path(1.0, PARTITION)

    asyncio.run(look())
