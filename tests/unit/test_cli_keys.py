"""`stream-app keys`: what it prints can be set as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_app.adapters.signing import public_key
from stream_app.cli.keys import app
from stream_app.settings import load_settings


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings and no embedded services of the person who tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_APP_SERVICES_DIR", str(tmp_path))
    for name in ("KEYS", "PUBLIC_KEYS"):
        monkeypatch.delenv(f"STREAM_APP_SIGNING__{name}", raising=False)


def test_a_new_pair_is_set_as_printed_and_belongs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines of an environment file; each call makes another pair."""
    printed, other = (CliRunner().invoke(app, ["new"]).stdout for _ in range(2))
    assert printed != other
    for line in printed.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    signing = load_settings().signing
    assert [*map(public_key, signing.private_bytes())] == signing.public_bytes()


def test_public_keys_are_printed_once_each_in_the_form_of_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of private keys and of those that only verify, and nothing secret."""
    private = "1a" * 32
    monkeypatch.setenv("STREAM_APP_SIGNING__KEYS", f"{private},{'2b' * 32}")
    monkeypatch.setenv("STREAM_APP_SIGNING__PUBLIC_KEYS", f"ed25519:{'3c' * 32}")
    printed = CliRunner().invoke(app, ["public"]).stdout.strip()
    monkeypatch.setenv("STREAM_APP_SIGNING__PUBLIC_KEYS", printed)
    assert len(load_settings().signing.public_keys) == 3
    assert private not in printed
    assert CliRunner().invoke(app, ["public"]).stdout.strip() == printed


def test_without_a_key_it_says_how_to_make_one() -> None:
    """Not an empty line, which would be set as no key."""
    result = CliRunner().invoke(app, ["public"])
    assert "stream-app keys new" in str(result.exception)
