"""Jars from a repository of this test's own, served over real HTTP on the loopback."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from stream_app.embedded import jars
from stream_app.errors import Refused

CONTENT = b"what the lock names"


@dataclass
class Repository:
    """A folder that is served, with every path that was asked for."""

    folder: Path
    asked: list[str] = field(default_factory=list)

    def offer(self, name: str, content: bytes = CONTENT) -> jars.Jar:
        """A jar whose lock names CONTENT, whatever is served."""
        path = f"org/example/{name}/1.0/{name}-1.0.jar"
        (self.folder / path).parent.mkdir(parents=True)
        (self.folder / path).write_bytes(content)
        return jars.Jar(sha256(CONTENT).hexdigest(), len(CONTENT), path)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """An empty one, named in the settings."""
    made = Repository(tmp_path / "repository")
    made.folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's own name
            made.asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(made.folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(jars.REPOSITORY_VARIABLE, f"http://127.0.0.1:{server.server_port}")
        yield made
        server.shutdown()
        thread.join()


def test_what_is_missing_is_fetched_once(repository: Repository, tmp_path: Path) -> None:
    """The named repository is asked for each missing jar, and for none that is in the cache."""
    wanted = [repository.offer(name) for name in ("a", "b")]
    paths = jars.ensure(tmp_path / "cache", wanted)
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT]
    assert sorted(repository.asked) == [f"/{jar.path}" for jar in wanted]
    jars.ensure(tmp_path / "cache", wanted)
    assert len(repository.asked) == 2


@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT[:-1] + b"x"], ids=["torn", "same size"])
def test_a_damaged_jar_in_the_cache_is_fetched_again(
    repository: Repository, tmp_path: Path, damaged: bytes
) -> None:
    """Neither a torn jar nor one of the right size and other content is ever used."""
    wanted = [repository.offer("a")]
    (path,) = jars.ensure(tmp_path / "cache", wanted)
    path.write_bytes(damaged)
    jars.ensure(tmp_path / "cache", wanted)
    assert path.read_bytes() == CONTENT


def test_a_jar_that_the_lock_does_not_name_never_enters_the_cache(
    repository: Repository, tmp_path: Path
) -> None:
    """A repository that serves another file is refused, and nothing of it stays."""
    wanted = [repository.offer("a", CONTENT[::-1])]
    with pytest.raises(Refused, match="SHA-256"):
        jars.ensure(tmp_path / "cache", wanted)
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_a_repository_that_cannot_be_reached_is_told_with_each_remedy(
    repository: Repository, tmp_path: Path
) -> None:
    """A missing file is refused, its connection closed; the remedy names both variables."""
    jar = repository.offer("a")
    (repository.folder / jar.path).unlink()
    with pytest.raises(Refused) as caught:
        jars.ensure(tmp_path / "cache", [jar])
    assert jars.REPOSITORY_VARIABLE in caught.value.remedy
    assert "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS" in caught.value.remedy
    del caught
    gc.collect()  # what is still open now warns, which is an error


def test_credentials_of_a_mirror_show_in_no_error(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address may carry a password, which its failure does not tell."""
    monkeypatch.setenv(jars.REPOSITORY_VARIABLE, "http://user:canary-5309@127.0.0.1:1/maven")
    with pytest.raises(Refused) as caught:
        jars.ensure(tmp_path / "cache", [repository.offer("a")])
    assert "canary-5309" not in str(caught.value)
