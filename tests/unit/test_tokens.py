"""stream_app/tokens.py: tokens for SASL OAUTHBEARER, and the settings that ask for them."""

from __future__ import annotations

import asyncio
import sys
import time
from types import ModuleType
from typing import Any

import pytest
from kafka.net.sasl.oauth import AbstractTokenProvider

import stream_app.client  # noqa: F401  registers the provider
from stream_app.errors import UsageError
from stream_app.ops.faust_app import credentials
from stream_app.settings.kafka import Kafka
from stream_app.tokens import TokenProvider, named_source


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's; `give` is its function."""
    made = ModuleType("token_module_of_a_test")
    made.__dict__["give"] = lambda: ("secret", time.time() + 60)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_a_token_is_asked_for_again_before_it_ends() -> None:
    """Not for each connection, and not only when it is too late."""
    asked = []

    def source() -> tuple[str, float]:
        asked.append(1)
        return f"t{len(asked)}", time.time() + 10

    provider = TokenProvider(source)
    assert [provider.token() for _ in range(3)] == ["t1"] * 3
    provider.renew_s = time.time() - 1
    assert provider.token() == "t2"
    assert time.time() + 7 < provider.renew_s < time.time() + 9


def test_a_function_that_says_no_end_is_asked_again_within_minutes() -> None:
    """A token alone is taken to be good for five minutes."""
    token, end_s = TokenProvider(lambda: "alone").token_and_end()
    assert (token, 290 < end_s - time.time() <= 300) == ("alone", True)


@pytest.mark.parametrize("given", [None, 7, ("t", "soon"), b"bytes"])
def test_what_is_no_token_is_refused(given: Any) -> None:
    """With what to return."""
    with pytest.raises(UsageError, match="something else than a token"):
        TokenProvider(lambda: given).token()


@pytest.mark.parametrize("path", ["no_such_module:give", "json:no_such", "json", "json:decoder"])
def test_a_path_that_leads_to_no_function_is_refused(path: str) -> None:
    """With the form that it should have."""
    with pytest.raises(UsageError, match="module:function"):
        named_source(path)


def test_all_three_clients_get_the_tokens(module: ModuleType) -> None:
    """Each in its own words; the mechanism is OAUTHBEARER for all."""
    kafka = Kafka(
        bootstrap_servers="b:1",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_token=f"{module.__name__}:give",
    )
    confluent = kafka.confluent()
    assert (confluent["sasl.mechanism"], confluent["oauth_cb"]("")[0]) == ("OAUTHBEARER", "secret")
    provider = kafka.kafka_python()["sasl_oauth_token_provider"]
    assert isinstance(provider, AbstractTokenProvider)
    assert (provider.token(), provider.extensions()) == ("secret", {})
    faust = credentials(kafka.faust())
    assert asyncio.run(faust.oauth_cb.token()) == "secret"


def test_msk_takes_tokens_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed by AWS's own package for a region; where it is missing, its name is given."""
    kafka = Kafka(security_protocol="SASL_SSL", sasl_mechanism="AWS_MSK_IAM", aws_region="eu-west-1")
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(UsageError, match="pip install aws-msk-iam-sasl-signer-python"):
        kafka.confluent()
    signer: Any = ModuleType("aws_msk_iam_sasl_signer")

    class MSKAuthTokenProvider:
        @staticmethod
        def generate_auth_token(region: str) -> tuple[str, int]:
            return f"signed for {region}", 2_000_000_000_000

    signer.MSKAuthTokenProvider = MSKAuthTokenProvider
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", signer)
    confluent = kafka.confluent()
    assert confluent["sasl.mechanism"] == "OAUTHBEARER"
    assert confluent["oauth_cb"]("") == ("signed for eu-west-1", 2_000_000_000.0)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"sasl_mechanism": "OAUTHBEARER"}, "needs sasl_token"),
        ({"sasl_mechanism": "AWS_MSK_IAM"}, "needs aws_region"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "me"}, "needs sasl_password"),
    ],
)
def test_what_a_mechanism_needs_is_named(given: dict[str, Any], missing: str) -> None:
    """Before any client is made."""
    with pytest.raises(ValueError, match=missing):
        Kafka(security_protocol="SASL_SSL", **given)
