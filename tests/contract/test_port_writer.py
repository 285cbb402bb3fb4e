"""The contract of `ShardWriter`, for the fake and for Kafka."""

from __future__ import annotations

import pytest

from stream_app.errors import Fenced, ShardFailed, StaleGroup
from stream_app.ports import Commit, Send
from tests.contract.port_bench import Bench
from topics.sizes import CLIENT_BYTES, FRAME_BYTES, LARGEST_LETTER_BYTES

KEY = "entity"


def batch(name: str, *others: Send) -> Commit:
    """A prediction, a journal record, and what else is given."""
    value = f"prediction {name}".encode()
    return Commit([(value, KEY, 1)], list(others), f"journal {name}".encode(), [1, 2, 3])


def holds(bench: Bench, *names: str) -> bool:
    """Whether the committed predictions and journal records are those of these batches."""
    return all(
        bench.committed(f"{topic}s" if topic == "prediction" else topic)
        == [f"{topic} {name}".encode() for name in names]
        for topic in ("prediction", "journal")
    )


def test_a_commit_says_where_its_journal_record_lies(bench: Bench) -> None:
    """At that offset it is read again; a commit without one gives none."""
    writer, source = bench.writer(), bench.source()
    writer.fence()
    offsets = [writer.commit(batch(name), None) for name in ("one", "two")]
    read = [(entry.offset, entry.value) for entry in source.journal(-1) if entry is not None]
    assert read == list(zip(offsets, (b"journal one", b"journal two"), strict=True))
    assert writer.commit(Commit([], [Send("stats", b"0", b"{}")], None, [1, 2, 3]), None) is None
    assert bench.committed("stats") == [b"{}"]


def test_a_writer_that_was_not_fenced_first_commits_nothing(bench: Bench) -> None:
    """Its epoch is unknown."""
    with pytest.raises(ShardFailed):
        bench.writer().commit(batch("one"), None)
    assert holds(bench)


def test_of_two_writers_the_older_is_fenced(bench: Bench) -> None:
    """Whatever it still commits is refused whole, it can be closed, and the newer one goes on."""
    older, newer = bench.writer(), bench.writer()
    older.fence()
    older.commit(batch("one"), None)
    newer.fence()
    with pytest.raises(Fenced):
        older.commit(batch("two"), None)
    older.close()
    newer.commit(batch("three"), None)
    assert holds(bench, "one", "three")


def test_an_old_generation_aborts_and_the_same_outputs_can_be_sent_again(bench: Bench) -> None:
    """The transaction leaves nothing behind; under the group's own generation it is whole."""
    writer, log = bench.writer(), bench.log()
    writer.fence()
    with pytest.raises(StaleGroup):
        writer.commit(batch("one"), bench.other_generation())
    assert holds(bench)
    writer.commit(batch("one"), log.group())
    assert holds(bench, "one")


def dead_letter(size: int) -> Send:
    """A record of so many bytes, as the client counts them."""
    return Send("dead_letters", b"k", bytes(size - FRAME_BYTES - 1))


def test_a_record_beyond_the_client_s_bound_fails_its_whole_transaction(bench: Bench) -> None:
    """However well it compresses: nothing of it is written, and a later transaction is not harmed."""
    writer = bench.writer()
    writer.fence()
    with pytest.raises(ShardFailed):
        writer.commit(batch("one", dead_letter(CLIENT_BYTES + 1)), None)
    assert holds(bench)
    writer.commit(batch("two", dead_letter(LARGEST_LETTER_BYTES)), None)
    assert holds(bench, "two")
