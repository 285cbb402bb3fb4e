"""Make `.venv` what the lock says: built when missing, remade when half-made or outdated, else left alone.

Standard library only, for it runs before anything is installed. All output goes to stderr: a caller's stdout
stays its own. The stamp is written last: an interrupted run leaves none, and the next one starts afresh.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements" / "all.lock"
STAMP = ROOT / ".venv.stamp"
GUARD = ROOT / ".venv.lock"


def stamp(version: str) -> list[str]:
    """What `.venv` is made from, as two hashes: its dependencies', and our own package's.

    The first takes in the path, since the scripts of a moved checkout point nowhere, and the Python version.
    """
    dependencies = f"{version}\n{VENV}\n".encode() + LOCK.read_bytes()
    own = (ROOT / "pyproject.toml").read_bytes()
    return [hashlib.sha256(part).hexdigest() for part in (dependencies, own)]


def version() -> str:
    """The version `.venv` should have: the named Python's, else what it has, so that no PATH can flip it."""
    if os.environ.get("STREAM_APP_PYTHON") or not os.access(PYTHON, os.X_OK):
        return sys.version
    ask = [str(PYTHON), "-c", "import sys; print(sys.version)"]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or sys.version


def run(guard: int, *arguments: str) -> None:
    """Run the environment's Python; it inherits the guard, so an orphaned pip still keeps others out."""
    # A person's own pip settings for where packages go would put them elsewhere than `.venv`.
    elsewhere = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    command = [str(PYTHON), *arguments]
    done = subprocess.run(command, stdout=sys.stderr, env=environment, pass_fds=[guard], check=False)
    if done.returncode:
        sys.exit(
            f"error: setting up .venv failed with exit code {done.returncode}; fix: see pip's message above "
            "(is the package index reachable? pip's own settings, a mirror or a proxy say, are honoured), "
            "then start again"
        )


def main() -> None:
    """Bring `.venv` up to date under an exclusive guard, and do nothing if it is."""
    with GUARD.open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another start is setting up .venv; waiting for it", file=sys.stderr)
            fcntl.flock(guard, fcntl.LOCK_EX)
        have = STAMP.read_text().split() if STAMP.exists() and PYTHON.exists() else []
        if have == stamp(version()):
            return
        STAMP.unlink(missing_ok=True)
        pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
        if have[:1] != stamp(version())[:1]:
            print("setting up .venv (once; about a minute)", file=sys.stderr)
            venv.create(VENV, clear=True, with_pip=True, symlinks=True)
            run(guard.fileno(), *pip, "--require-hashes", "--requirement", str(LOCK))
        run(guard.fileno(), *pip, "--no-build-isolation", "--editable", str(ROOT))
        STAMP.write_text("\n".join(stamp(version())))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
