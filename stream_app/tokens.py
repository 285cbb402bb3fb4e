"""Tokens for SASL OAUTHBEARER, from a function of the user's or from AWS, for every Kafka client alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from stream_app.errors import UsageError

RENEW_AT = 0.8  # of a token's life
LIFE_S = 300.0  # of a token whose function does not say how long it is good
MSK = "AWS_MSK_IAM"

Source = Callable[[], Any]


class TokenProvider:
    """Gives a token that is still good; asks `source` again at 80 % of a token's life. Thread-safe.

    `source` gives a token, or a token and the moment at which it ends (epoch s). kafka-python takes it as it
    is, once it is registered with that client's `AbstractTokenProvider`.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lock = threading.Lock()
        self.current: tuple[str, float] | None = None
        self.renew_s = 0.0

    def token_and_end(self) -> tuple[str, float]:
        """A token and the moment at which it ends (epoch s).

        Raises:
            UsageError: the function gives something else.
        """
        with self.lock:
            now_s = time.time()  # noqa: TID251  a token ends by the wall clock
            if self.current is None or now_s >= self.renew_s:
                found = self.source()
                token, end_s = found if isinstance(found, tuple) else (found, now_s + LIFE_S)
                if not isinstance(token, str) or not isinstance(end_s, int | float):
                    raise UsageError(
                        "the function in sasl_token gave something else than a token",
                        "Return the token as text, or (token, epoch seconds at which it ends)",
                    )
                self.current = token, float(end_s)
                self.renew_s = now_s + RENEW_AT * max(0.0, end_s - now_s)
            return self.current

    def token(self) -> str:
        """A token."""
        return self.token_and_end()[0]

    def extensions(self) -> dict[str, str]:
        """What goes with the token: nothing."""
        return {}


def named_source(path: str) -> Source:
    """The function that `module:function` names.

    Raises:
        UsageError: there is none.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"sasl_token {path!r} cannot be loaded ({error})", "Write module:function, found on PYTHONPATH"
        ) from error
    if not callable(found):
        raise UsageError(f"sasl_token {path!r} is not a function", "Write module:function")
    source: Source = found
    return source


def msk_source(region: str) -> Source:
    """Tokens of AWS for MSK, from the credentials that boto3 finds.

    Raises:
        UsageError: the package that signs them is not installed.
    """
    try:
        signer = import_module("aws_msk_iam_sasl_signer").MSKAuthTokenProvider
    except ImportError as error:
        raise UsageError(
            f"{MSK} needs aws-msk-iam-sasl-signer-python", "pip install aws-msk-iam-sasl-signer-python"
        ) from error

    def sign() -> tuple[str, float]:
        token, end_ms = signer.generate_auth_token(region)
        return token, end_ms / 1000

    return sign
