"""Dead letters are read as they are, whatever stands in their headers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stream_app.inspect.dead_letters import letter_of


def record(*headers: tuple[str, bytes | None]) -> SimpleNamespace:
    """A consumed record with these headers."""
    return SimpleNamespace(partition=1, offset=7, timestamp=5, key=b"k", value=b"\xff", headers=list(headers))


def test_a_letter_tells_why_and_where_from_and_keeps_the_record() -> None:
    """Our headers become fields, the producer's own stay as they came, duplicates included."""
    letter = letter_of(
        record(
            ("trace", b"1"),
            ("trace", None),
            ("__stream_app.errors.reason", b"malformed"),
            ("__stream_app.errors.message", b"not JSON"),
            ("__stream_app.errors.stage", b"validate"),
            ("__stream_app.errors.topic", b"a.events"),
            ("__stream_app.errors.partition", b"1"),
            ("__stream_app.errors.offset", b"42"),
            ("__stream_app.retry", b"2"),
            ("__stream_app.source", b"trips/3/9"),
        )
    )
    assert (letter.reason, letter.message, letter.stage) == ("malformed", "not JSON", "validate")
    assert (letter.source_topic, letter.source_partition, letter.source_offset) == ("a.events", 1, 42)
    assert (letter.retries, letter.place, letter.origin) == (2, "1:7", "trips/3/9")
    assert (letter.key, letter.value, letter.headers) == (b"k", b"\xff", [("trace", b"1"), ("trace", None)])


def test_the_learners_headers_win_over_forged_ones() -> None:
    """A producer may send any header; the learner appends its own, and the last counts."""
    letter = letter_of(
        record(("__stream_app.errors.topic", b"bank.transfers"), ("__stream_app.errors.topic", b"a.events"))
    )
    assert letter.source_topic == "a.events"


def test_a_cut_letter_says_so_and_a_forged_mark_does_not() -> None:
    """Size and hash are the learner's; headers of the same names that the producer sent are not believed."""
    errors = "__stream_app.errors."
    marks = [(f"{errors}cut", b"value"), (f"{errors}size", b"9"), (f"{errors}sha256", b"ab")]
    reason = ("__stream_app.errors.reason", b"too-large")
    cut = letter_of(record(reason, *marks))
    assert (cut.cut, cut.size, cut.sha256) == ("value", 9, "ab")
    whole = letter_of(record(*marks, reason))
    assert (whole.cut, whole.size, whole.sha256) == ("", -1, "")


@pytest.mark.parametrize(("stage", "settled"), [("learn", True), ("predict", False), ("validate", False)])
def test_a_letter_of_stage_learn_is_settled(stage: str, settled: bool) -> None:
    """Its event is answered and its label counts as come, so nothing is gained by a retry."""
    assert letter_of(record(("__stream_app.errors.stage", stage.encode()))).was_answered is settled


def test_headers_that_are_no_numbers_do_no_harm() -> None:
    """A forged or missing number reads as none."""
    letter = letter_of(record(("__stream_app.errors.offset", b"\xff"), ("__stream_app.retry", "²".encode())))
    assert (letter.source_offset, letter.retries, letter.source_topic) == (-1, 0, "")
