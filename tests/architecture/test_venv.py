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
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FETCH, FILL, FILL_BY_PIP, OWN, OWN_BY_PIP = "fetch uv", "uv: lock", "pip: lock", "uv: ours", "pip: ours"
LOCK = """\
one==1 \\
    --hash=sha256:00
    # via stream-app
uv==2 \\
    --hash=sha256:11 \\
    --hash=sha256:22
    # via stream-app
"""


class Checkout:
    """A checkout in a temporary directory whose installers are a note of what they were asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.interrupt_at: str | None = None
        self.failing: set[str] = set()
        (root / "scripts").mkdir()
        (root / "requirements").mkdir()
        (root / "scripts" / "_venv.py").write_bytes((ROOT / "scripts" / "_venv.py").read_bytes())
        (root / "requirements" / "all.lock").write_text(LOCK)
        (root / "pyproject.toml").write_text("[project]\n")

    def module(self) -> dict[str, Any]:
        """The script's names, as it lies in this checkout."""
        return runpy.run_path(str(self.root / "scripts" / "_venv.py"))

    def start(self) -> list[str]:
        """Run the script's `main` and give what it installed."""
        self.asked.clear()
        module = self.module()
        main: Callable[[], None] = module["main"]
        self.failed = module["InstallError"]
        main.__globals__.update(run=self.run, venv=SimpleNamespace(create=self.create))
        main()
        return list(self.asked)

    def ready(self) -> bool:
        """Whether a start could go on at once, as `_env` asks first."""
        command = [sys.executable, "-IS", str(self.root / "scripts" / "_venv.py"), "--ready"]
        return subprocess.run(command, check=False).returncode == 0

    def create(self, path: Path, **_: bool) -> None:
        """Stand in for `venv.create`: a Python that starts, without the seconds that its pip takes."""
        (path / "bin").mkdir(parents=True, exist_ok=True)
        (path / "bin" / "python").unlink(missing_ok=True)
        (path / "bin" / "python").symlink_to(sys.executable)

    def run(self, _guard: int, *command: str) -> None:
        """Note the kind of installation; end as an interrupted or a failing one where the test says so."""
        by_uv = command[0].endswith("/uv")
        if "--editable" in command:
            kind = OWN if by_uv else OWN_BY_PIP
        elif "--python" in command:
            assert Path(command[-1]).read_text().splitlines()[0].startswith("uv==2")
            kind = FETCH
        else:
            kind = FILL if by_uv else FILL_BY_PIP
        assert kind in (OWN, OWN_BY_PIP) or "--require-hashes" in command
        self.asked.append(kind)
        if kind == self.interrupt_at:
            raise KeyboardInterrupt
        if kind in self.failing:
            raise self.failed(1)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout without an environment, and no Python named from outside."""
    monkeypatch.delenv("STREAM_APP_PYTHON", raising=False)
    return Checkout(tmp_path)


def test_a_second_start_installs_nothing(checkout: Checkout) -> None:
    """An environment is set up once; then the quick question at each start says that it is ready."""
    assert not checkout.ready()
    assert checkout.start() == [FETCH, FILL, OWN]
    assert checkout.start() == []
    assert checkout.ready()


@pytest.mark.parametrize("at", [FETCH, FILL, OWN])
def test_an_interrupted_set_up_is_done_again(checkout: Checkout, at: str) -> None:
    """Wherever a set-up was cut short, the next start begins afresh."""
    checkout.interrupt_at = at
    with pytest.raises(KeyboardInterrupt):
        checkout.start()
    assert not checkout.ready()
    checkout.interrupt_at = None
    assert checkout.start() == [FETCH, FILL, OWN]


@pytest.mark.parametrize("at", [FETCH, FILL, OWN])
def test_where_uv_cannot_install_pip_does(checkout: Checkout, at: str) -> None:
    """Whatever fails on the way with uv, pip installs the same lock by the same hashes."""
    checkout.failing = {at}
    assert checkout.start()[-2:] == [FILL_BY_PIP, OWN_BY_PIP]
    assert checkout.ready()


def test_where_neither_can_install_the_remedy_is_named(checkout: Checkout) -> None:
    """The set-up ends with the fix, and is not taken for complete."""
    checkout.failing = {FILL, FILL_BY_PIP}
    with pytest.raises(SystemExit, match="is the package index reachable"):
        checkout.start()
    assert not checkout.ready()


def test_the_environment_of_another_checkout_is_not_emptied(checkout: Checkout, tmp_path: Path) -> None:
    """A link to one is refused, with the fix."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").touch()
    (checkout.root / ".venv").symlink_to(theirs)
    with pytest.raises(SystemExit, match="remove the link"):
        checkout.start()
    assert (theirs / "precious").exists()


def test_only_what_changed_is_installed_again(checkout: Checkout) -> None:
    """Another lock remakes the environment; another pyproject.toml installs our own package alone."""
    checkout.start()
    (checkout.root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert not checkout.ready()
    assert checkout.start() == [OWN]
    (checkout.root / "requirements" / "all.lock").write_text(LOCK.replace("one==1", "one==2"))
    assert not checkout.ready()
    assert checkout.start() == [FETCH, FILL, OWN]


def test_a_python_that_went_away_is_replaced(checkout: Checkout) -> None:
    """An environment whose Python was uninstalled is remade, however complete its stamp."""
    checkout.start()
    python = checkout.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout.root / "gone")
    assert not checkout.ready()
    assert checkout.start() == [FETCH, FILL, OWN]


def test_pips_settings_hold_for_uv(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index, certificate and proxy set for pip are used by uv; what is set for uv itself wins."""
    config = checkout.root / "pip.conf"
    links = checkout.root / "wheels"
    links.mkdir()
    config.write_text(
        f"""[global]
index-url = https://overruled.invalid/simple
extra-index-url =
    https://one.invalid/simple
    https://two.invalid/simple
proxy = http://proxy.invalid:3128
[install]
find-links = {links} {checkout.root / "gone"} https://links.invalid
"""
    )
    for name in ("PIP_FIND_LINKS", "PIP_CERT", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.invalid/simple")
    monkeypatch.setenv("PIP_CERT", "pip.pem")
    monkeypatch.setenv("UV_INDEX", "https://uv.invalid/simple")
    found = checkout.module()["uv_environment"]()
    assert found["UV_DEFAULT_INDEX"] == "https://mirror.invalid/simple"
    assert found["UV_INDEX"] == "https://uv.invalid/simple"
    assert found["UV_FIND_LINKS"] == f"{links},https://links.invalid"
    assert found["SSL_CERT_FILE"] == "pip.pem"
    assert found["ALL_PROXY"] == "http://proxy.invalid:3128"
    monkeypatch.delenv("UV_INDEX")
    extra = checkout.module()["uv_environment"]()["UV_INDEX"]
    assert extra.split() == ["https://one.invalid/simple", "https://two.invalid/simple"]


def test_a_slow_installer_shows_signs_of_life(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it says nothing, a line comes at each interval; its failure is an error with its exit code."""
    module = checkout.module()
    run: Callable[..., None] = module["run"]
    run.__globals__["LIFE_SIGN_S"] = 0.1
    command = (sys.executable, "-c", "import sys, time; time.sleep(1); sys.exit(7)")
    with (checkout.root / "guard").open("w") as guard, (checkout.root / "err").open("w") as err:
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(module["InstallError"], match="7"):
            run(guard.fileno(), *command)
    assert (checkout.root / "err").read_text().count("…") > 2


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
    assert checkout.asked == [FETCH, FILL, OWN]


@pytest.mark.parametrize("verb", ["demo", "test", "soak", "check", "format", "lock"])
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
