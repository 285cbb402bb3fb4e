"""`topics trim`: the part of a journal that no replay can use goes, and everything else still works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import TopicPartition

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine
from tests.integration.test_lives import Lives

LIVES, ROWS = 3, 20


@pytest.fixture
def lives(services: Endpoints, stream_app: CommandLine) -> Iterator[Lives]:
    """Three learners after each other: a snapshot and some batches of each."""
    made = Lives(services, stream_app.directory)
    made.lives(LIVES, ROWS, "run")
    yield made
    made.close()


def trim(lives: Lives, *flags: str) -> tuple[int, int, bool]:
    """Trim its shard; where the journal began, from where on it is needed, whether something was deleted."""
    done = lives.run("topics", "trim", lives.app.target, "--json", *flags)
    assert done.code == 0, done.err
    (told,) = done.lines()
    return told["begins"], told["needed_from"], told["deleted"]


def lose_inputs(lives: Lives, before: int) -> None:
    """Delete the events and labels before an offset, as a bound of their topics does."""
    topics = (f"{lives.app.name}.events", f"{lives.app.name}.labels")
    lives.admin.delete_records({TopicPartition(topic, 0): before for topic in topics})


@pytest.mark.soak(only=True)
def test_what_no_replay_can_use_goes_and_learners_and_verify_go_on(lives: Lives) -> None:
    """With the inputs of two lives gone their batches go; the rest is replayed, learned on and verified.
    Without a snapshot nothing goes, and the refusal says what to do.
    """
    assert trim(lives)[2] is False, "all inputs are there, so the journal is needed from its beginning"
    lose_inputs(lives, 2 * ROWS)
    planned = trim(lives, "--dry-run")
    assert planned[1] > planned[0] == 0
    assert not planned[2]
    assert trim(lives) == (*planned[:2], True)
    assert trim(lives) == (planned[1], planned[1], False)
    for file in sorted(lives.folder.glob("*.snapshot"))[-1:]:
        file.unlink()
    lives.lives(1, ROWS, "after")
    assert len(lives.committed(lives.app, "predictions")) == (LIVES + 1) * ROWS
    verified = lives.run("verify", lives.app.target)
    assert (verified.code, verified.out.count(" equal")) == (0, 2), verified.out + verified.err
    upgraded = lives.run("upgrade", lives.app.target, "--from-log", "--yes")
    assert upgraded.code == 0, upgraded.err
    lives.lives(1, ROWS, "more")
    assert len(lives.committed(lives.app, "predictions")) == (LIVES + 2) * ROWS
    for file in lives.folder.glob("*.snapshot"):
        file.unlink()
    done = lives.run("topics", "trim", lives.app.target)
    assert done.code == 3
    assert "confirms no snapshot" in done.err
    assert "restore the snapshots" in done.err
