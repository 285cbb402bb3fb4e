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
    assert len(ports) == 7
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("role", ["learner", "topics", "predictor", "ops"])
def test_its_settings_exist(role: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that a role gets is accepted, and names the servers and the volume of the same file."""
    for name, value in services[role]["environment"].items():
        secret = "ed25519:" * name.endswith("PUBLIC_KEYS") + "0123456789abcdef" * 4
        monkeypatch.setenv(name, secret if value.startswith("${") else value)
    settings = load_settings()
    assert settings.kafka.bootstrap_servers.split(":")[0] in services
    assert settings.redis.url.get_secret_value().split("/")[2].split(":")[0] in services
    assert f"snapshots:{settings.snapshots.url}" in services["learner"]["volumes"]


def test_the_signing_key_has_no_default(services: dict[str, Any]) -> None:
    """Without a key of the operator's own the start is refused, with the remedy in the message."""
    assert services["learner"]["environment"]["STREAM_APP_SIGNING__KEYS"].startswith(
        "${STREAM_APP_SIGNING__KEYS:?set"
    )


def test_only_the_learner_can_sign_and_write_to_redis(services: dict[str, Any]) -> None:
    """The predictor, which strangers ask, has the public key and a Redis user of its own."""
    given = {role: services[role]["environment"] for role in ("learner", "topics", "predictor", "ops")}
    assert [role for role, names in given.items() if "STREAM_APP_SIGNING__KEYS" in names] == ["learner"]
    users = {role: names.get("STREAM_APP_REDIS__USERNAME") for role, names in given.items()}
    assert users == {"learner": "learner", "topics": None, "predictor": "predictor", "ops": None}
    shipped = (ROOT / "deploy" / "valkey" / "users.acl").read_text().splitlines()
    assert [line.split()[1] for line in shipped] == ["default", "learner", "predictor"]
    server = services["valkey"]
    for user in ("LEARNER", "PREDICTOR"):
        assert server["environment"][f"VALKEY_{user}_PASSWORD"].startswith(f"${{VALKEY_{user}_PASSWORD:?set")
        assert f"s/{user}_PASSWORD/$$VALKEY_{user}_PASSWORD/" in server["command"][2]


def test_what_is_scraped_and_mounted_is_there(services: dict[str, Any]) -> None:
    """Prometheus scrapes services of this file where they listen; what is mounted lies in the tree."""
    scrapes = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    targets = [job["static_configs"][0]["targets"][0] for job in scrapes["scrape_configs"]]
    metrics = services["learner"]["environment"]["STREAM_APP_LEARNER__METRICS_PORT"]
    assert targets == [f"learner:{metrics}", "predictor:8000"]
    alertmanager = scrapes["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"][0]
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    for address in (alertmanager, source["datasources"][0]["url"].removeprefix("http://")):
        name, _, port = address.partition(":")
        assert services[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    ours = [ROOT / mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert len(ours) == 5
    assert [path for path in ours if not any(path.iterdir())] == []
    boards = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/stream-app.yml").read_text())
    shown = boards["providers"][0]["options"]["path"]
    assert f"./deploy/grafana:{shown}:ro" in services["grafana"]["volumes"]
