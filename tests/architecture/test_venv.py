"""The environment behind ./scripts: built once, remade when half-made or outdated, by one start at a time."""

from __future__ import annotations

import fcntl
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
DEPENDENCIES, OWN = "--require-hashes", "--editable"


class Checkout:
    """A checkout in a temporary directory whose pip is a note of what it was asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.fail_at: str | None = None
        (root / "scripts").mkdir()
        (root / "requirements").mkdir()
        (root / "scripts" / "_venv.py").write_bytes((ROOT / "scripts" / "_venv.py").read_bytes())
        (root / "requirements" / "all.lock").write_text("one==1\n")
        (root / "pyproject.toml").write_text("[project]\n")

    def start(self) -> list[str]:
        """Run the script's `main` and give what it installed."""
        self.asked.clear()
        module = runpy.run_path(str(self.root / "scripts" / "_venv.py"))
        main: Callable[[], None] = module["main"]
        main.__globals__.update(run=self.pip, venv=SimpleNamespace(create=self.create))
        main()
        return list(self.asked)

    def create(self, path: Path, **_: bool) -> None:
        """Stand in for `venv.create`: a Python that starts, without the seconds that its pip takes."""
        (path / "bin").mkdir(parents=True, exist_ok=True)
        (path / "bin" / "python").unlink(missing_ok=True)
        (path / "bin" / "python").symlink_to(sys.executable)

    def pip(self, _guard: int, *arguments: str) -> None:
        """Note the kind of installation; end as an interrupted pip does where the test says so."""
        kind = DEPENDENCIES if DEPENDENCIES in arguments else OWN
        if kind == self.fail_at:
            raise KeyboardInterrupt
        self.asked.append(kind)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout without an environment, and no Python named from outside."""
    monkeypatch.delenv("STREAM_APP_PYTHON", raising=False)
    return Checkout(tmp_path)


def test_a_second_start_installs_nothing(checkout: Checkout) -> None:
    """An environment is set up once."""
    assert checkout.start() == [DEPENDENCIES, OWN]
    assert checkout.start() == []


@pytest.mark.parametrize("at", [DEPENDENCIES, OWN])
def test_an_interrupted_set_up_is_done_again(checkout: Checkout, at: str) -> None:
    """Wherever a set-up was cut short, the next start begins afresh."""
    checkout.fail_at = at
    with pytest.raises(KeyboardInterrupt):
        checkout.start()
    checkout.fail_at = None
    assert checkout.start() == [DEPENDENCIES, OWN]


def test_only_what_changed_is_installed_again(checkout: Checkout) -> None:
    """Another lock remakes the environment; another pyproject.toml installs our own package alone."""
    checkout.start()
    (checkout.root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert checkout.start() == [OWN]
    (checkout.root / "requirements" / "all.lock").write_text("one==2\n")
    assert checkout.start() == [DEPENDENCIES, OWN]


def test_a_python_that_went_away_is_replaced(checkout: Checkout) -> None:
    """An environment whose Python was uninstalled is remade, however complete its stamp."""
    checkout.start()
    python = checkout.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout.root / "gone")
    assert checkout.start() == [DEPENDENCIES, OWN]


def test_a_start_waits_for_another(checkout: Checkout) -> None:
    """While one start sets the environment up, another installs nothing."""
    with (checkout.root / ".venv.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        second = threading.Thread(target=checkout.start)
        second.start()
        second.join(0.3)
        assert second.is_alive()
        assert checkout.asked == []
    second.join()
    assert checkout.asked == [DEPENDENCIES, OWN]


@pytest.mark.parametrize("verb", ["demo", "test", "check", "format", "lock"])
def test_without_a_python_the_remedy_is_named(verb: str, tmp_path: Path) -> None:
    """On a machine without a fit Python a verb exits with 3 and says what to install; stdout is empty."""
    environment = os.environ | {"STREAM_APP_PYTHON": str(tmp_path / "python")}
    command = ["bash", str(ROOT / "scripts" / verb)]
    result = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 3
    assert result.stdout == ""
    assert "python3-venv" in result.stderr
