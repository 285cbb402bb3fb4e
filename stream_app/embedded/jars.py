"""maven-artifact: the broker's jars, each checked against its SHA-256 before it is used."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import msgspec

from stream_app.errors import Refused

LOCK = "kafka-4.3.1.lock"
THREADS = 8
REPOSITORY_VARIABLE = "STREAM_APP_MAVEN_REPOSITORY"  # a mirror's base address; the library knows the default


class Jar(msgspec.Struct, frozen=True):
    """One line of the lock: `path` is group/artifact/version/file within a Maven repository."""

    sha256: str
    size: int
    path: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[1]


def cache_dir() -> Path:
    """Below the user's cache directory (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stream-app" / "kafka-4.3.1"


def locked() -> list[Jar]:
    text = (files("stream_app.embedded") / LOCK).read_text()
    rows = (line.split() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [Jar(digest, int(size), path) for digest, size, path in rows]


def is_whole(path: Path, jar: Jar) -> bool:
    return path.is_file() and path.stat().st_size == jar.size and sha256(path.read_bytes()).hexdigest() == jar.sha256


def ensure(folder: Path | None = None) -> list[Path]:
    """Every jar in place and verified; what is missing or damaged is fetched again.

    Raises:
        Refused: a jar cannot be had, or what came is not what the lock names.
    """
    folder = folder or cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in locked() if not is_whole(folder / jar.name, jar)]
    if missing:
        from rich.console import Console
        from rich.progress import track

        console = Console(file=sys.stderr)
        # The library prints each file's name on stdout, which belongs to `--json`.
        with contextlib.redirect_stdout(io.StringIO()), ThreadPoolExecutor(THREADS) as pool:
            work = pool.map(lambda jar: fetch(jar, folder), missing)
            for _ in track(work, "fetching Kafka", total=len(missing), console=console, transient=True):
                pass
    return [folder / jar.name for jar in locked()]


def fetch(jar: Jar, folder: Path) -> None:
    """Download one jar under a temporary name, verify it, then give it its own."""
    try:
        from maven_artifact import Artifact, Downloader
    except ImportError as error:
        raise Refused("the embedded services are not installed", "pip install 'stream-app[embedded]'") from error
    *group, artifact, version, file = jar.path.split("/")
    classifier = file[len(artifact) + len(version) + 2 : -4] or None
    coordinate = Artifact(".".join(group), artifact, version, classifier)
    temporary = folder / f".{jar.name}.{os.getpid()}"
    base = os.environ.get(REPOSITORY_VARIABLE)
    try:
        downloader = Downloader(base=base) if base else Downloader()
        downloader.download(coordinate, filename=str(temporary))
        if not is_whole(temporary, jar):
            raise Refused(
                f"{jar.name} is not what the lock names (another SHA-256)",
                f"Try again; if it stays, check the mirror in {REPOSITORY_VARIABLE}",
            )
        temporary.replace(folder / jar.name)
    except Refused:
        raise
    except Exception as error:
        raise Refused(
            f"{jar.name} cannot be fetched ({error})",
            f"Check the network, name a Maven mirror in {REPOSITORY_VARIABLE}, "
            "or name your own broker in STREAM_APP_KAFKA__BOOTSTRAP_SERVERS",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
