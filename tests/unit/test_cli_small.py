"""Small things that every command-line tool is expected to say."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from stream_app.cli.main import app
from stream_app.cli.produce.command import counted


def test_the_version_is_shown() -> None:
    """`stream-app --version`, without a command."""
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"stream-app {version('stream-app')}\n")


def test_an_interrupted_produce_says_how_much_it_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """And that the same call may be made again; the exit stays that of Ctrl-C."""
    counts = {"events": 1_200, "labels": 0}
    with pytest.raises(KeyboardInterrupt), counted(counts):
        raise KeyboardInterrupt
    said = capsys.readouterr().err
    assert "interrupted: sent 1,200 events and 0 labels. Run the same command again" in said
