"""The options of `stream-app what-if`, and definitions that are loaded beside each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.adapters.snapshot_store import round_trip
from stream_app.cli.whatif import definitions_of, exclusion_of, span_of
from stream_app.errors import UsageError

MODULE = "loaded_beside"
TWO = """
from river import linear_model
from stream_app.application import Application
class Own(linear_model.LogisticRegression): ...
app = Application(name="a", task="binary", champion=lambda seed: Own())
other = Application(name="b", task="binary", champion=lambda seed: Own())
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file with two definitions; its module is gone after the test."""
    path = tmp_path / f"{MODULE}.py"
    path.write_text(TWO)
    yield path
    sys.modules.pop(MODULE, None)


def test_two_definitions_of_one_file_share_its_classes(file: Path) -> None:
    """Run twice, the file would have other classes, and models of the first ones could not be stored."""
    for one in definitions_of([f"{file}:app", f"{file}:other"]):
        assert type(round_trip(one.champion(1), one.modules)) is sys.modules[MODULE].Own


def test_a_file_that_changed_or_failed_is_run_again(file: Path) -> None:
    """What is loaded is always what the file holds now."""
    assert definitions_of([f"{file}:app"])[0].name == "a"
    file.write_text(TWO.replace('name="a"', 'name="c"'))
    assert definitions_of([f"{file}:app"])[0].name == "c"
    file.write_text(f"{TWO}\n1 / 0\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="ZeroDivisionError"):
            definitions_of([f"{file}:app"])


def test_two_files_of_one_module_s_name_are_refused(file: Path, tmp_path: Path) -> None:
    """The second would take the first one's place, by which pickles find their classes."""
    (tmp_path / "new").mkdir()
    new = tmp_path / "new" / file.name
    new.write_text(TWO)
    with pytest.raises(UsageError, match=f"both the module {MODULE}") as caught:
        definitions_of([f"{file}:app", f"{new}:app"])
    assert caught.value.remedy == "Rename one of the files"


def test_what_is_excluded_is_read_from_the_options() -> None:
    """Keys as records hold them, times in epoch ms whatever their offset."""
    span = "2026-01-31T12:00:00.500+00:00..2026-01-31T14:00:01+02:00"
    found = exclusion_of(["ä"], [span])
    assert found.keys == {"ä".encode(): "--exclude-key ä"}
    assert found.spans == {(1_769_860_800_500, 1_769_860_801_000): f"--exclude-time {span}"}
    assert not found.is_empty
    assert exclusion_of([], []).is_empty


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T12:00:00..2026-01-31T13:00:00+00:00",
        "2026-01-31T12:00:00+00:00..2026-01-31T12:00:00+00:00",
        "yesterday..2026-01-31T12:00:00+00:00",
    ],
)
def test_a_stretch_needs_two_times_in_their_order(text: str) -> None:
    """Each with its offset from UTC; the remedy shows one."""
    with pytest.raises(UsageError, match="--exclude-time") as caught:
        span_of(text)
    assert "ISO 8601 with an offset" in caught.value.remedy
