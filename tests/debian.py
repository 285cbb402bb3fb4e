"""Programs that no Python package brings, from Debian's packages, without root: Prometheus, a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stream_app.embedded.guard import locked

UPDATE_S, FETCH_S, UNPACK_S = 120, 300, 120
SCRATCH = ".fetch-"


def binary(name: str, *packages: str) -> Path:
    """A program on PATH, else the one in the packages (default: of its own name)."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    path = unpacked(*(packages or (name,))) / "usr" / "bin" / name
    if not path.exists():
        pytest.fail(
            f"{packages or name} of Debian hold no usr/bin/{name}; install {name} so that it is on PATH"
        )
    return path


def unpacked(*packages: str) -> Path:
    """A directory with the files of the packages, and of all that they need and this machine lacks.

    It lies in the user's cache directory (XDG_CACHE_HOME); a second call finds it there. Libraries are in
    usr/lib/<architecture>, which a program that needs them wants in LD_LIBRARY_PATH.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
    folder = cache / "stream-app" / "debian"
    root = folder / "_".join(sorted(packages))
    if root.exists():
        return root
    with locked(folder):
        if not root.exists():
            for left in folder.glob(f"{SCRATCH}*"):  # by a run that was killed while it fetched
                shutil.rmtree(left, ignore_errors=True)
            with TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
                fetch(packages, Path(scratch))
                (Path(scratch) / "root").rename(root)
    return root


def fetch(packages: tuple[str, ...], scratch: Path) -> None:
    """Download the packages into `scratch` and unpack them into its `root`."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.fail(f"there is no apt-get; install {' and '.join(packages)} so that they are on PATH")
    archives = scratch / "cache" / "archives"
    for needed in (scratch / "state" / "lists" / "partial", archives / "partial", scratch / "root"):
        needed.mkdir(parents=True)
    apt = [
        "apt-get",
        "-q",
        "-y",
        "-o",
        f"Dir::State={scratch}/state",
        "-o",
        "Dir::State::status=/var/lib/dpkg/status",
        "-o",
        f"Dir::Cache={scratch}/cache",
        "-o",
        "Debug::NoLocking=true",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Acquire::Retries=2",
        "-o",
        "Acquire::http::Timeout=20",
        "-o",
        "Acquire::https::Timeout=20",
        "-o",
        "Acquire::Languages=none",
    ]
    # A source that does not answer is no obstacle as long as another has the packages.
    run([*apt, "update"], UPDATE_S, check=False)
    run([*apt, "install", "--download-only", "--no-install-recommends", "--reinstall", *packages], FETCH_S)
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg-deb", "-x", str(archive), str(scratch / "root")], UNPACK_S)


def run(command: list[str], within_s: float, *, check: bool = True) -> None:
    """One step; a failure names what to do instead."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=within_s
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{command[0]} took over {within_s:.0f} s; install the programs so that they are on PATH")
    if check and done.returncode:
        told = " ".join(done.stderr.split())[-1_500:]
        pytest.fail(f"{' '.join(command[-6:])} failed; install the programs so that they are on PATH: {told}")
