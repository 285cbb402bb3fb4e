"""What a start does about processes of before; the servers are real processes with nothing to say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.embedded.bring import bring
from stream_app.embedded.process import CHILDREN, Running, alive, end, spawn, wait_until
from stream_app.embedded.state import State, read, write
from stream_app.errors import Refused

SLEEP = ["sleep", "60"]


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    before = set(CHILDREN)
    yield
    for pid in set(CHILDREN) - before:
        CHILDREN[pid].kill()
        CHILDREN.pop(pid).wait()


def test_a_server_that_dies_while_it_is_taken_over_is_started_again(tmp_path: Path) -> None:
    """SIGKILL and a start at once end with a new server, not with the old one's last words."""
    log = tmp_path / "log"
    old = spawn(SLEEP, log, 1)

    def ready(server: Running) -> None:
        if server == old:
            os.kill(old.pid, signal.SIGKILL)
            wait_until(lambda: False, server, log, 10.0, "server")

    new = bring(old, lambda: spawn(SLEEP, log, 1), ready, lambda: ())
    assert new.pid != old.pid
    assert alive(new)


def test_a_server_that_lives_but_is_silent_is_not_doubled(tmp_path: Path) -> None:
    """A frozen server is refused with a remedy; no second one is started beside it."""
    log = tmp_path / "log"
    old = spawn(SLEEP, log, 1)

    def launch() -> Running:
        raise AssertionError("a second server was started")

    with pytest.raises(Refused, match="does not answer"):
        bring(old, launch, lambda server: wait_until(lambda: False, server, log, 0.1, "server"), lambda: ())
    assert alive(old)


def test_one_directory_holds_one_living_server(tmp_path: Path) -> None:
    """A server whose state file was lost keeps a second one off its data until it ends."""
    log = tmp_path / "log"
    old = spawn(SLEEP, log, 1)
    with pytest.raises(Refused, match=f"process {old.pid} still works") as caught:
        spawn(SLEEP, log, 1)
    assert f"kill {old.pid}" in caught.value.remedy
    end(old, 0.0)
    assert alive(spawn(SLEEP, log, 1))


def test_a_recycled_pid_is_no_server_of_ours(tmp_path: Path) -> None:
    """Another process under a remembered pid is neither taken for the server nor ended."""
    stranger = spawn(SLEEP, tmp_path / "log", 1)
    remembered = Running(stranger.pid, "1", 1)
    assert not alive(remembered)
    end(remembered, 0.0)
    assert alive(stranger)


def test_processes_of_another_boot_are_forgotten(tmp_path: Path) -> None:
    """Start times count from the boot, so that a state of before it names nobody; ports stay."""
    write(tmp_path, State(kafka_port=1, kafka=Running(os.getpid(), "1", 1)))
    file = tmp_path / "services.json"
    assert read(tmp_path).kafka is not None
    file.write_text(file.read_text().replace(read(tmp_path).boot, "an-earlier-boot"))
    assert read(tmp_path).kafka is None
    assert read(tmp_path).kafka_port == 1


def test_a_server_outlives_its_starter_and_holds_none_of_its_pipes(tmp_path: Path) -> None:
    """A starter's output ends with the starter, and the server runs on in a session of its own."""
    code = (
        "import sys; from pathlib import Path; from stream_app.embedded.process import spawn;"
        "s = spawn(['sleep', '60'], Path(sys.argv[1]), 1); print(s.pid, s.started)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    server = Running(int(shown[0]), shown[1], 1)
    assert alive(server)
    assert os.getsid(server.pid) == server.pid
    end(server, 0.0)
