"""`stream-app` as a person calls it, in this process: arguments in, exit code, stdout and stderr out."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import orjson
import pytest

from stream_app.cli.main import main
from stream_app.embedded.services import Endpoints

DEFINITION = """
from river import naive_bayes
from stream_app.application import Application
app = Application(
    name={name!r}, task="binary", shards={shards}, champion=lambda seed: naive_bayes.GaussianNB()
)
"""


SERVERS = {"learn", "bridge", "serve", "ops"}


class Done(msgspec.Struct):
    """What a call left behind."""

    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """Stdout, one JSON object per line."""
        return [orjson.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """Calls against these servers; each test has an application name of its own."""

    def __init__(self, services: Endpoints, directory: Path, **environment: str) -> None:
        self.services, self.directory = services, directory
        self.environment = {
            "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": services.bootstrap_servers,
            "STREAM_APP_REDIS__URL": services.redis_url,
            "XDG_STATE_HOME": str(directory / "state"),
            **environment,
        }
        self.name = f"t{uuid4().hex[:10]}"
        self.target = self.define(shards=2)

    def define(self, shards: int) -> str:
        """Write the definition and give its TARGET."""
        file = self.directory / f"{self.name}_{shards}.py"
        file.write_text(DEFINITION.format(name=self.name, shards=shards))
        return f"{file}:app"

    def file(self, name: str, text: str) -> str:
        """Write a file and give its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def __call__(self, *arguments: str) -> Done:
        assert arguments[0] not in SERVERS, "it sets up the logs of its process, which would be this one"
        raw, err = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(raw, "utf-8")
        code = 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["stream-app", *arguments])
            for name, value in self.environment.items():
                patch.setenv(name, value)
            try:
                main()
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else int(error.code is not None)
        out.flush()
        return Done(code, raw.getvalue().decode(), err.getvalue())
