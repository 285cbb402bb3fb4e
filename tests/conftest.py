"""Fixtures that several kinds of tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream_app.embedded import services as embedded

ELSEWHERE = ("KAFKA__BOOTSTRAP_SERVERS", "REDIS__URL", "CONFIG", "SERVICES_DIR")


@pytest.fixture(scope="session", autouse=True)
def _no_servers_of_this_machine() -> Iterator[None]:
    """Tests run on servers of their own, never on those that this machine's user has named."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ELSEWHERE:
            patch.delenv(f"STREAM_APP_{name}", raising=False)
        yield


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Endpoints]:
    """A fresh embedded Kafka and Valkey for the whole session; tests keep apart by their topics' names."""
    directory = tmp_path_factory.mktemp("services")
    try:
        yield embedded.up(directory)
    finally:
        embedded.down(directory)
