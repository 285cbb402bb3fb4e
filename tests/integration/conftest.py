"""Fixtures of tests that call the command line, or need a server of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.embedded import services as embedded
from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey for this file alone, for tests that cut connections or change its settings."""
    directory = tmp_path_factory.mktemp("valkey")
    try:
        yield f"redis://127.0.0.1:{embedded.start_valkey(directory).port}/0"
    finally:
        embedded.down(directory)


@pytest.fixture
def stream_app(services: Endpoints, tmp_path: Path) -> CommandLine:
    """The command line, on the session's servers, with a definition of two shards; no topics yet."""
    return CommandLine(services, tmp_path)


@pytest.fixture
def created(stream_app: CommandLine) -> CommandLine:
    """The same, its topics created."""
    assert stream_app("topics", "create", stream_app.target).code == 0
    return stream_app
