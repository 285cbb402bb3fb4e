"""Small things that every command-line tool is expected to say."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_app.cli.main import app
from stream_app.cli.produce.progress import Progress, Sent
from stream_app.cli.produce.send import noted


def test_the_version_is_shown() -> None:
    """`stream-app --version`, without a command."""
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"stream-app {version('stream-app')}\n")


class Flushed:
    """A producer of which only `flush` is asked."""

    def flush(self) -> None:
        """Nothing is on its way."""


def test_an_interrupted_produce_says_how_much_it_sent_and_notes_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same call goes on from there; the exit stays that of Ctrl-C. Another file's call begins anew."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = tmp_path / "rows.csv"
    file.write_text("a\n1\n")
    progress, sent = Progress({"t": "1"}, file, ["k"]), Sent(7, 1_200, 5_000)
    assert progress.read() is None
    with pytest.raises(KeyboardInterrupt), noted({"events": 1_200, "labels": 0}, Flushed(), progress, sent):  # type: ignore[arg-type]
        raise KeyboardInterrupt
    said = capsys.readouterr().err
    assert "interrupted: sent 1,200 events and 0 labels. Run the same command again" in said
    assert Progress({"t": "1"}, file, ["k"]).read() == sent
    for other in (Progress({"t": "2"}, file, ["k"]), Progress({"t": "1"}, file, ["l"])):
        assert other.read() is None
    file.write_text("a\n1\n2\n")
    assert Progress({"t": "1"}, file, ["k"]).read() is None, "the file was changed"
