"""The section ops, and Kafka's words for Faust."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import faust
import pytest

from stream_app.errors import UsageError
from stream_app.ops.faust_app import credentials, faust_app
from stream_app.settings import load_settings

SASL = {
    "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "u",
    "sasl_password": "canary-word",
}  # fmt: skip
SECRET = "a secret that both sides know"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no file of this machine is seen."""
    monkeypatch.chdir(tmp_path)


def words(**kafka: Any) -> dict[str, Any]:
    """What Faust is told."""
    return load_settings(kafka={"bootstrap_servers": "a:1, b:2", **kafka}).kafka.faust()


def test_faust_gets_brokers_and_credentials() -> None:
    """Plain, SASL, TLS, and both, as Faust's own classes and down to its consumer's settings."""
    assert words() == {"broker": ["kafka://a:1", "kafka://b:2"]}
    assert credentials(words()) is None
    made = credentials(words(**SASL))
    assert isinstance(made, faust.SASLCredentials)
    assert (made.username, made.password, made.mechanism.value) == ("u", "canary-word", "SCRAM-SHA-512")
    assert made.protocol.value == "SASL_PLAINTEXT"
    assert credentials(words(**{**SASL, "security_protocol": "SASL_SSL"})).protocol.value == "SASL_SSL"
    tls = credentials(words(security_protocol="SSL"))
    assert isinstance(tls, faust.SSLCredentials)
    assert isinstance(tls.context, ssl.SSLContext)
    assert tls.context.verify_mode == ssl.CERT_REQUIRED
    assert "canary-word" not in repr(made)


def test_the_app_knows_brokers_replication_and_group(tmp_path: Path) -> None:
    """Changelogs are made with the settings' replication; there is no web server of Faust."""
    app = faust_app("g.ops", words(**SASL), tmp_path, replication=3, session_s=6)
    assert [str(url) for url in app.conf.broker] == ["kafka://a:1", "kafka://b:2"]
    assert getattr(app.conf.broker_credentials, "username", None) == "u"
    assert (app.conf.id, app.conf.topic_replication_factor, app.conf.web_enabled) == ("g.ops", 3, False)


def test_routes_come_from_the_environment_and_show_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON; the name defaults to the channel's."""
    monkeypatch.setenv(
        "STREAM_APP_OPS__ROUTES",
        f'[{{"channel": "webhook", "url": "http://x/canary", "secret": "{SECRET}", "types": "drift"}}]',
    )
    (route,) = load_settings().ops.routes
    assert (route.name, route.types, route.url.get_secret_value()) == ("webhook", "drift", "http://x/canary")
    assert "canary" not in repr(route)
    assert SECRET not in repr(route)


@pytest.mark.parametrize(
    ("ops", "told"),
    [
        ({"routes": [{"channel": "webhook"}]}, "needs url"),
        ({"routes": [{"channel": "log"}, {"channel": "log"}]}, "two routes have one name"),
        ({"routes": [{"channel": "log", "secret": SECRET}]}, "for the channel webhook alone"),
        ({"routes": [{"channel": "webhook", "url": "x", "secret": "short"}]}, "openssl rand"),
        ({"routes": [{"channel": "pigeon"}]}, "routes.0.channel"),
        ({"tokens_admin": "short"}, "openssl rand"),
        ({"silences": [{"until": "2030-01-01T00:00:00", "reason": "no zone"}]}, "timezone"),
        ({"ssl_certfile": __file__}, "belong together"),
    ],
)
def test_what_cannot_be_meant_is_refused(ops: dict[str, Any], told: str) -> None:
    """Each with what is wrong, and without the value."""
    with pytest.raises(UsageError) as caught:
        load_settings(ops=ops)
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)
