"""What all tests share: one Kafka and Valkey for the run, and how the tests are divided among workers."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from stream_app.embedded import services as embedded
from tests.lengths import FORM
from tests.sharing import Sharing, place_of

ELSEWHERE = ("KAFKA__BOOTSTRAP_SERVERS", "REDIS__URL", "CONFIG", "SERVICES_DIR")
SERVERS = pytest.StashKey[Path]()

# How long an example takes says how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share tests out as ours ask for."""
    return Sharing(config, log)


def pytest_collection_finish() -> None:
    """What was collected lives as long as the run: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Import no file for a longer form in which no test has one: each worker would import all of them."""
    is_file = FORM != "test" and collection_path.name.startswith("test_")
    return True if is_file and "soak" not in collection_path.read_text() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests of this form, those that take long first."""
    left_out = [item for item in items if not is_of_this_form(item)]
    config.hook.pytest_deselected(items=left_out)
    kept = [item for item in items if item not in left_out]
    items[:] = sorted(kept, key=lambda item: place_of(item.nodeid))


def is_of_this_form(item: pytest.Item) -> bool:
    """Whether the test belongs to `scripts/test`, or to `scripts/soak`, whichever this is."""
    soak = item.get_closest_marker("soak")
    if FORM == "test":
        return soak is None or not soak.kwargs.get("only")
    return soak is not None and (FORM == "long" or not soak.kwargs.get("long"))


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> embedded.Endpoints:
    """The run's Kafka and Valkey, started by the first test that needs them; topics are unique."""
    return embedded.up(pytestconfig.stash[SERVERS])
