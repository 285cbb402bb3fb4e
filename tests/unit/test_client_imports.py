"""The SDK is light enough to import into any service."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh process holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "stranger", ["river", "pydantic", "confluent_kafka", "redis", "faust", "typer", "rich", "numpy"]
)
def test_the_client_pulls_in_no_stranger(stranger: str, client_modules: set[str]) -> None:
    """Importing stream_app.client costs a producer nothing but kafka-python and the codecs."""
    assert stranger not in client_modules


@pytest.fixture(scope="module")
def client_modules() -> set[str]:
    """What the SDK brings."""
    found = modules_after("import stream_app.client")
    assert {"kafka", "msgspec", "orjson", "topics"} <= found
    return found
