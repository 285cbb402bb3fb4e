"""Fixtures of tests that call the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine


@pytest.fixture
def stream_app(services: Endpoints, tmp_path: Path) -> CommandLine:
    """The command line, on the session's servers, with a definition of two shards; no topics yet."""
    return CommandLine(services, tmp_path)


@pytest.fixture
def created(stream_app: CommandLine) -> CommandLine:
    """The same, its topics created."""
    assert stream_app("topics", "create", stream_app.target).code == 0
    return stream_app
