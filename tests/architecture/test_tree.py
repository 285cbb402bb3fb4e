"""What the tree itself promises: files of a readable size, no trace of one machine, every entry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("stream_app", "topics", "drift")
LONGEST = 300
VERBS = ("demo", "test", "soak", "check", "format", "lock")
ENTRIES = (
    "pyproject.toml", "README.md", "CHANGELOG.md", "docker-compose.yml", ".ci/run",
    "stream_app", "topics", "drift", "tests", "scripts",
)  # fmt: skip
# Homes and work directories of a machine, written so that this file does not hold one itself.
MACHINE_PATH = re.compile(rb"/(?:" + b"|".join((b"work", b"root", b"home")) + rb")/")


def tracked() -> list[Path]:
    """Every file git knows or would add, so that a new one is judged before its commit."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    """No Python file of the three packages is over 300 lines."""
    lengths = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_every_directory_of_code_is_a_package() -> None:
    """Each directory with Python in it has an `__init__.py`: the import fences cannot see into others."""
    directories = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [str(path) for path in directories if not (path / "__init__.py").exists()] == []


def test_no_tracked_file_names_a_place_on_one_machine() -> None:
    """A checkout works anywhere: no file holds an absolute path of the machine it was written on."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_the_lock_pins_each_package_and_names_no_index() -> None:
    """Each requirement of a lock is pinned with a hash; where it comes from is the installer's business."""
    pinned = re.compile(r"[a-z0-9-]+(\[.*\])?==\S+.*--hash=sha256:", re.DOTALL)
    for lock in (ROOT / "requirements").glob("*.lock"):
        requirements = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", lock.read_text()).strip())
        assert len(requirements) > (5 if lock.stem == "build" else 50), lock
        assert [requirement for requirement in requirements if not pinned.match(requirement)] == []
        assert "://" not in lock.read_text()


def test_records_for_people_are_not_empty() -> None:
    """Every decision record and the change log say something beyond their title."""
    for path in [ROOT / "CHANGELOG.md", *(ROOT / "docs" / "adr").glob("*.md")]:
        assert len(path.read_text().strip().splitlines()) > 2, path


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_top_level_is_complete(entry: str) -> None:
    """What a newcomer, a packager or a build looks for first is where they look."""
    assert (ROOT / entry).exists()


@pytest.mark.parametrize("script", [*(f"scripts/{verb}" for verb in VERBS), ".ci/run"])
def test_scripts_can_be_started(script: str) -> None:
    """Each verb is executable as checked out, and is a few lines that a person reads before running them."""
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert len(path.read_text().splitlines()) <= 15
