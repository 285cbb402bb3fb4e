"""What all tests share: one Kafka and Valkey for the run, and how the tests are divided among workers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from stream_app.embedded import services as embedded
from tests.lengths import FORM

ELSEWHERE = ("KAFKA__BOOTSTRAP_SERVERS", "REDIS__URL", "CONFIG", "SERVICES_DIR")
TESTS = Path(__file__).parent
TOGETHER = {"browser"}  # its tests share a scene that takes a minute to set
SERVERS = pytest.StashKey[Path]()


def is_worker(config: pytest.Config) -> bool:
    """Whether this is one of pytest-xdist's workers, not the process that a person has started."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Give all workers one directory for the run's own servers: none that the user has named is touched."""
    for name in ELSEWHERE:
        os.environ.pop(f"STREAM_APP_{name}", None)
    told = config.workerinput["servers"] if is_worker(config) else mkdtemp(prefix="stream-app-tests-")  # type: ignore[attr-defined]
    config.stash[SERVERS] = Path(told)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the servers are."""
    node.workerinput["servers"] = str(node.config.stash[SERVERS])


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers after the last worker."""
    if not is_worker(config):
        embedded.down(config.stash[SERVERS])
        shutil.rmtree(config.stash[SERVERS], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests of this form. A file's tests, and the browser's, which share a scene, stay together."""
    left_out = [item for item in items if not is_of_this_form(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        file = item.path.relative_to(TESTS)
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(
                pytest.mark.xdist_group(file.parts[0] if file.parts[0] in TOGETHER else str(file))
            )


def is_of_this_form(item: pytest.Item) -> bool:
    """Whether the test belongs to `scripts/test`, or to `scripts/soak`, whichever this is."""
    soak = item.get_closest_marker("soak")
    return soak is not None if FORM != "test" else soak is None or not soak.kwargs.get("only")


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> embedded.Endpoints:
    """The run's Kafka and Valkey, started by the first test that needs them; topics are unique."""
    return embedded.up(pytestconfig.stash[SERVERS])
