"""maven-artifact: the broker's jars, each checked against its SHA-256 before it is used."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import stamina

from stream_app.embedded.guard import locked
from stream_app.errors import Refused

LOCK = "kafka-4.3.1.lock"
THREADS = 8
TRIES = 3
CONNECT_S, READ_S = 10.0, 60.0
REPOSITORY_VARIABLE = "STREAM_APP_MAVEN_REPOSITORY"  # a mirror's base address; the library knows the default
SCRATCH = ".fetch-"


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
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache.absolute() / "stream-app" / LOCK.removesuffix(".lock")


def pinned() -> list[Jar]:
    """The lines of the lock."""
    rows = (line.split() for line in (files("stream_app.embedded") / LOCK).read_text().splitlines())
    return [Jar(digest, int(size), path) for digest, size, path in rows]


def is_whole(path: Path, jar: Jar) -> bool:
    """Whether the file is the one that the lock names, byte for byte."""
    if not path.is_file() or path.stat().st_size != jar.size:
        return False
    return sha256(path.read_bytes()).hexdigest() == jar.sha256


def ensure(folder: Path | None = None, jars: Iterable[Jar] | None = None) -> list[Path]:
    """Every jar in place and verified; what is missing or damaged is fetched again.

    Raises:
        Refused: a jar cannot be had, or what came is not what the lock names.
    """
    folder = folder or cache_dir()
    wanted = list(pinned() if jars is None else jars)
    with locked(folder):
        missing = [jar for jar in wanted if not is_whole(folder / jar.name, jar)]
        if missing:
            fetch_all(missing, folder)
    return [folder / jar.name for jar in wanted]


def fetch_all(jars: list[Jar], folder: Path) -> None:
    """Fetch side by side, with progress on stderr; the first failure stops the rest.

    Raises:
        Refused: as `ensure`.
    """
    try:
        import maven_artifact  # noqa: F401, PLC0415  comes with the extra `embedded` only
    except ImportError as error:
        raise Refused(
            f"{len(jars)} of Kafka's jars are not here yet, and what fetches them is not installed",
            "pip install 'stream-app[embedded]' (where it has no wheels: pip install maven-artifact), "
            "or name a broker in STREAM_APP_KAFKA__BOOTSTRAP_SERVERS",
        ) from error
    from rich.console import Console  # noqa: PLC0415  slow to import, and almost every start has all jars
    from rich.progress import track  # noqa: PLC0415  as above

    for left in folder.glob(f"{SCRATCH}*"):  # by a process that was killed while it fetched
        shutil.rmtree(left, ignore_errors=True)
    console = Console(file=sys.stderr)
    with (
        contextlib.redirect_stdout(io.StringIO()),  # the library prints there, which belongs to `--json`
        TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        work = [pool.submit(fetch, jar, folder, Path(scratch)) for jar in jars]
        try:
            for done in track(
                as_completed(work), "fetching Kafka", len(work), console=console, transient=True
            ):
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def fetch(jar: Jar, folder: Path, scratch: Path) -> None:
    """Download one jar, verify it, and only then give it its name in the cache.

    Raises:
        Refused: as `ensure`.
    """
    from maven_artifact import Artifact  # noqa: PLC0415  comes with the extra `embedded` only
    from maven_artifact.requestor import RequestException  # noqa: PLC0415  as above

    *group, artifact, version, file = jar.path.split("/")
    classifier = file.removesuffix(".jar").removeprefix(f"{artifact}-{version}").removeprefix("-")
    coordinate = Artifact(".".join(group), artifact, version, classifier or None)
    fetched = scratch / jar.name
    try:
        for attempt in stamina.retry_context(
            on=(RequestException, OSError), attempts=TRIES, wait_initial=0.2
        ):
            with attempt:
                fetched.unlink(missing_ok=True)  # the library asks for another hash of a file that is there
                downloader().download(coordinate, filename=str(fetched))
        if not is_whole(fetched, jar):
            raise Refused(
                f"{jar.name} is not what the lock names (another SHA-256)",
                f"Try again; if it stays, the repository serves another file: see {REPOSITORY_VARIABLE}",
            )
        fetched.replace(folder / jar.name)
    except (RequestException, OSError) as error:
        raise Refused(
            f"{jar.name} cannot be fetched ({' '.join(str(error).split())})",
            f"Check the network, name a Maven mirror in {REPOSITORY_VARIABLE}, "
            "or name your own broker in STREAM_APP_KAFKA__BOOTSTRAP_SERVERS",
        ) from error


def downloader() -> Any:
    """maven-artifact's downloader for the default repository or the named mirror.

    Credentials leave the mirror's address here, so that no error can show them.
    """
    from maven_artifact import Downloader  # noqa: PLC0415  comes with the extra `embedded` only

    made = Downloader()
    if base := os.environ.get(REPOSITORY_VARIABLE):
        parts = urlsplit(base)
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        made = Downloader(plain, unquote(parts.username or "") or None, unquote(parts.password or "") or None)
    ask = made.requestor.request

    def request(url: str, failed: Callable[[str, Exception], None], *rest: Any, **more: Any) -> Any:
        """As the library's, which by itself waits without end and leaves the answer of a refusal open."""

        def close(url: str, error: Exception) -> None:
            if (answer := getattr(error, "response", None)) is not None:
                answer.close()
            failed(url, error)

        return ask(url, close, *rest, timeout=(CONNECT_S, READ_S), **more)

    made.requestor.request = request
    return made
