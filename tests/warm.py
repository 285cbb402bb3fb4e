"""Processes of this project that start at once: forked from a server that has done the imports.

A fresh Python takes two seconds of CPU to import River, Kafka's clients and Faust; the tests spent most of
their time on that. A `WarmProcess` is a `subprocess.Popen` in every other way: a process with its own
arguments, environment, directory and streams, which can be killed. Tests of how a program itself starts
(`python -m`, its imports, the pin of the hash seed) use a plain `Popen`.

    python -m tests.warm FD    is the server; its requests come over that socket
"""

from __future__ import annotations

import atexit
import gc
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
# What roles import when they start; imported only, nothing of it runs in the server.
IMPORTS = """
stream_app.cli.main stream_app.cli.learn stream_app.cli.verify stream_app.cli.upgrade stream_app.cli.status
stream_app.cli.condition stream_app.learner.history.verify
stream_app.wiring.learner stream_app.wiring.predictor stream_app.wiring.ops
river.anomaly river.ensemble river.forest river.linear_model river.naive_bayes river.preprocessing river.tree
kafka rich.live rich.table uvicorn uvicorn.protocols.http.httptools_impl
""".split()  # noqa: SIM905  readable at this length


class Server:
    """The server of this process, started with its first request, ended with this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.socket: socket.socket | None = None

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> int:
        """The pid of a new process that runs the request with these stdin, stdout, stderr and status pipe."""
        with self.lock:
            if self.socket is None:
                self.start()
            assert self.socket is not None
            body = orjson.dumps(request)
            socket.send_fds(self.socket, [len(body).to_bytes(4, "big")], list(descriptors))
            self.socket.sendall(body)
            answer = self.socket.recv(8, socket.MSG_WAITALL)
        if len(answer) < 8:
            raise RuntimeError("the server of warm processes has died; its last words are above")
        return int.from_bytes(answer, "big")

    def start(self) -> None:
        """Start the server and wait for nothing: it answers once its imports are done."""
        self.socket, other = socket.socketpair()
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STREAM_APP_", "FAULTS_"))
        }
        with other:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(other.fileno())],
                cwd=ROOT,
                env={**environment, "PYTHONHASHSEED": "0"},
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.end, process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Hang up, upon which the server ends."""
        assert self.socket is not None
        self.socket.close()
        process.wait(10)


SERVER = Server()


class WarmProcess(subprocess.Popen[Any]):
    """`python -m MODULE ARGUMENTS…` as `subprocess.Popen` starts it, but forked from the warm server.

    It needs an environment that pins the hash seed to 0, under which the server runs.
    """

    def __init__(self, module: str, *arguments: str, env: dict[str, str], **options: Any) -> None:
        if env.get("PYTHONHASHSEED") != "0":
            raise ValueError("a warm process has PYTHONHASHSEED=0")
        self.module, self.status = module, -1
        super().__init__([sys.executable, "-m", module, *arguments], env=env, **options)

    def _execute_child(self, args: Any, *more: Any) -> None:
        """Have the server fork, where `Popen` forks and executes."""
        _executable, _preexec, _close, _pass, cwd, env = more[:6]
        pipes = more[9:15]
        child_in, _, _, child_out, _, child_err = pipes
        streams = [
            given if given != -1 else ours
            for given, ours in zip((child_in, child_out, child_err), (0, 1, 2), strict=True)
        ]
        self.status, theirs = os.pipe()
        request = {"module": self.module, "argv": args[3:], "env": env, "cwd": str(cwd or Path.cwd())}
        try:
            self.pid = SERVER.fork(request, [*streams, theirs])
            self._child_created = True
        finally:
            os.close(theirs)
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _wait(self, timeout: float | None) -> int:
        """Its exit code, which its keeper writes into the status pipe."""
        if self.returncode is None:
            readable, _, _ = select.select([self.status], [], [], timeout)
            if not readable:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            told = os.read(self.status, 16)
            os.close(self.status)
            self.returncode = int(told) if told else -signal.SIGKILL
        return self.returncode

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        """Its exit code, None while it runs."""
        try:
            return self._wait(0.0)
        except subprocess.TimeoutExpired:
            return None


def run(module: str, *arguments: str, timeout: float, **options: Any) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run` with captured output and no check, in a warm process."""
    pipe = subprocess.PIPE
    with WarmProcess(module, *arguments, stdout=pipe, stderr=pipe, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until the other side hangs up; in a forked process, give its request."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are not waited for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and they hang up
    while True:
        head, descriptors, _, _ = socket.recv_fds(requests, 4, 4)
        if len(head) < 4:
            return None
        request = orjson.loads(requests.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
        if os.fork() == 0:
            return keep(requests, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def keep(requests: socket.socket, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """The parent of one process: it sends the pid, waits, and writes the exit code into the status pipe."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = descriptors
    pid = os.fork()
    if pid:
        requests.sendall(pid.to_bytes(8, "big"))
        requests.close()
        for descriptor in {0, 1, 2, *streams}:
            os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(BrokenPipeError):  # the process that started it is gone
            os.write(status, str(code).encode())
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    requests.close()
    os.close(status)
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
    for stream in set(streams) - {0, 1, 2}:
        os.close(stream)
    return request


def become(request: dict[str, Any]) -> None:
    """Run the module as `python -m` does, in its directory, under its environment."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = request["cwd"]
    sys.argv = [request["module"], *request["argv"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as peer:
        for name in IMPORTS:
            import_module(name)
        gc.freeze()  # else each process copies all of it when it collects, at its end at the latest
        asked = serve(peer)
    if asked is not None:
        become(asked)
