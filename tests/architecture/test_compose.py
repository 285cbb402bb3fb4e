"""The compose file as a person meets it: settings that exist, ports on the loopback, no secret of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.settings import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def services() -> dict[str, Any]:
    """Its services, with the anchors merged."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_every_port_is_published_on_the_loopback_only(services: dict[str, Any]) -> None:
    """Nothing that `docker compose up` starts can be reached from another machine."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("role", ["learner", "topics", "predictor", "ops"])
def test_its_settings_exist(role: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that a role gets is accepted, and names the servers and the volume of the same file."""
    for name, value in services[role]["environment"].items():
        monkeypatch.setenv(name, "0123456789abcdef0123456789abcdef" if value.startswith("${") else value)
    settings = load_settings()
    assert settings.kafka.bootstrap_servers.split(":")[0] in services
    assert settings.redis.url.get_secret_value().split("/")[2].split(":")[0] in services
    assert f"snapshots:{settings.snapshots.url}" in services["learner"]["volumes"]


def test_the_signing_key_has_no_default(services: dict[str, Any]) -> None:
    """Without a key of the operator's own the start is refused, with the remedy in the message."""
    assert services["learner"]["environment"]["STREAM_APP_SIGNING__KEYS"].startswith(
        "${STREAM_APP_SIGNING__KEYS:?set"
    )
