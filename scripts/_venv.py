"""Make `.venv` match the lock: build it if it is missing, rebuild it if it is partial or outdated.

uv installs the lock, ten times faster than pip. pip fetches uv, and installs everything where uv cannot.
Standard library only, since it runs before anything is installed. All output goes to stderr: stdout is the
caller's. The stamp is written last: an interrupted run leaves none, and the next one starts again.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV_PIP = (str(VENV / "bin" / "uv"), "pip")
LOCK = ROOT / "requirements" / "all.lock"
STAMP = ROOT / ".venv.stamp"
GUARD = ROOT / ".venv.lock"
PIP = ("-m", "pip", "--disable-pip-version-check")
INSTALL = ("install", "--quiet", "--no-deps")
HASHES = ("--require-hashes", "--requirement")
LIFE_SIGN_S = 5.0
# A person's own settings for where packages go would put them elsewhere than `.venv`.
ELSEWHERE = {
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "UV_TARGET",
    "UV_PREFIX",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "PYTHONHOME",
    "PYTHONPATH",
}
# What pip is told of indexes and of the way to them, in uv's words.
IN_UV_WORDS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


class InstallError(Exception):
    """An installer ended with this exit code; its own message is on stderr."""


def stamp(version: str) -> list[str]:
    """Two hashes of what `.venv` is made from: the dependencies, and our own package.

    The first includes the path, since the scripts of a moved checkout point nowhere, and the Python version.
    """
    dependencies = f"{version}\n{VENV}\n".encode() + LOCK.read_bytes()
    own = (ROOT / "pyproject.toml").read_bytes()
    return [hashlib.sha256(part).hexdigest() for part in (dependencies, own)]


def recorded() -> list[str]:
    """The stamp of the last set-up that was completed; empty if there is none."""
    return STAMP.read_text().split() if STAMP.exists() and PYTHON.exists() else []


def wanted_version() -> str:
    """The named Python's version, else the one that `.venv` has, so that no PATH can flip it."""
    if os.environ.get("STREAM_APP_PYTHON") or not os.access(PYTHON, os.X_OK):
        return sys.version
    ask = [str(PYTHON), "-c", "import sys; print(sys.version)"]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or sys.version


def say(line: str) -> None:
    """Write a line for the person who waits."""
    print(line, file=sys.stderr, flush=True)


def run(guard: int, *command: str) -> None:
    """Run an installer, with a sign of life every five seconds.

    It inherits the guard, so an orphaned installer still keeps others out.

    Raises:
        InstallError: it failed.
    """
    settings = uv_environment() if command[: len(UV_PIP)] == UV_PIP else os.environ
    environment = {name: value for name, value in settings.items() if name not in ELSEWHERE}
    with subprocess.Popen(command, stdout=sys.stderr, env=environment, pass_fds=[guard]) as process:
        seconds = 0.0
        while True:
            try:
                code = process.wait(LIFE_SIGN_S)
                break
            except subprocess.TimeoutExpired:
                seconds += LIFE_SIGN_S
                say(f"  … {seconds:.0f} s")
    if code:
        raise InstallError(code)


def uv_environment() -> dict[str, str]:
    """The environment for uv: pip's configuration in uv's words. What is set for uv itself wins."""
    ask = [sys.executable, *PIP, "config", "list"]
    listed = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines()
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # in the order in which pip lets one overrule another
        for line in listed:
            name, _, value = line.removeprefix(section).partition("=")
            if line.startswith(section) and name in IN_UV_WORDS:
                found[IN_UV_WORDS[name]] = str(ast.literal_eval(value))
    if "UV_FIND_LINKS" in found:  # uv refuses a directory that is not there, which pip passes over
        links = [link for link in found["UV_FIND_LINKS"].split() if "://" in link or Path(link).is_dir()]
        found["UV_FIND_LINKS"] = ",".join(links)
    # Every file is held to its hash, so it does not matter which index it comes from.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **found, **os.environ, "VIRTUAL_ENV": str(VENV)}


def packages(lock: str) -> list[str]:
    """The requirements of a lock, each with its hashes."""
    return re.findall(r"(?m)^\S+==.*\n(?:[ ]+--hash=.*\n)+", lock)


def fill_with_uv(guard: int) -> None:
    """Make `.venv` without pip, which alone would take seconds, and install the lock with uv.

    Raises:
        InstallError: pip could not fetch uv, or uv could not install the lock.
    """
    venv.create(VENV, clear=True, with_pip=False, symlinks=True)
    # If a Python of `.venv` itself runs this, only the one that it was made from still has pip.
    inside = VENV in Path(sys.executable).parents
    python = str(getattr(sys, "_base_executable", sys.executable)) if inside else sys.executable
    wanted = packages(LOCK.read_text())
    only_uv = VENV / "uv.txt"
    only_uv.write_text(next(text for text in wanted if text.startswith("uv==")))
    say("fetching uv, which installs the rest")
    run(guard, python, *PIP, "--python", str(PYTHON), *INSTALL, "--no-compile", *HASHES, str(only_uv))
    say(f"installing {len(wanted)} packages")
    run(guard, *UV_PIP, *INSTALL, *HASHES, str(LOCK))


def fill_with_pip(guard: int) -> None:
    """Make `.venv` with pip, and install the lock with it.

    Raises:
        InstallError: pip failed.
    """
    venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    say(f"installing {len(packages(LOCK.read_text()))} packages with pip, which may take minutes")
    run(guard, str(PYTHON), *PIP, *INSTALL, *HASHES, str(LOCK))


def install(guard: int, *, dependencies: bool) -> None:
    """Install the lock, if `dependencies`, and our own package as a checkout that can be edited."""
    ours = (*INSTALL, "--no-build-isolation", "--editable", str(ROOT))  # its build backend is in the lock
    try:
        try:
            if dependencies:
                fill_with_uv(guard)
            run(guard, *UV_PIP, *ours)
        except (InstallError, OSError):
            say("uv cannot install here, so pip does")
            fill_with_pip(guard)
            run(guard, str(PYTHON), *PIP, *ours)
    except InstallError as error:
        sys.exit(
            f"error: setting up .venv failed with exit code {error}; fix: see pip's message above "
            "(is the package index reachable? pip's own settings, a mirror or a proxy say, are honoured), "
            "then start again"
        )


def main() -> None:
    """Bring `.venv` up to date under an exclusive guard; do nothing if it is."""
    with GUARD.open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is setting up .venv; waiting for it")
            fcntl.flock(guard, fcntl.LOCK_EX)
        have, wanted = recorded(), stamp(wanted_version())
        if have == wanted:
            return
        if VENV.is_symlink():
            sys.exit("error: .venv is a link, and what it leads to would be emptied; fix: remove the link")
        STAMP.unlink(missing_ok=True)
        if have[:1] != wanted[:1]:
            say("setting up .venv (once; half a minute)")
        install(guard.fileno(), dependencies=have[:1] != wanted[:1])
        STAMP.write_text("\n".join(stamp(wanted_version())))


if __name__ == "__main__":
    if sys.argv[1:] == ["--ready"]:
        sys.exit(recorded() != stamp(sys.version))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
