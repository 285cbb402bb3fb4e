"""A shard behind the ports, for every contract test of a port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.port_bench import Bench, FakeBench, KafkaBench


@pytest.fixture(params=["fake", "kafka"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A shard without any record, behind the ports: the fake of the scenarios, and the real one."""
    fake = request.param == "fake"
    found = FakeBench() if fake else KafkaBench(request.getfixturevalue("services").bootstrap_servers)
    yield found
    found.close()
