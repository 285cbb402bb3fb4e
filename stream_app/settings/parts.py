"""The sections of the settings, each mapped to the words of its client."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

SHORTEST_KEY = 16  # characters of a token
PUBLIC = "ed25519:"  # before a public key, so that the two kinds cannot be mistaken for each other
KEY_FORM = re.compile(r"[0-9a-fA-F]{64}")


def commas(value: Any) -> Any:
    """A list from a text with commas."""
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


def unguessable(secrets: list[SecretStr], what: str) -> list[SecretStr]:
    """The secrets, if each is long enough."""
    if any(len(secret.get_secret_value()) < SHORTEST_KEY for secret in secrets):
        raise ValueError(f"a {what} is under {SHORTEST_KEY} characters; make one with `openssl rand -hex 32`")
    return secrets


# Of a server's callers: commas in an environment variable, and none that can be guessed.
Tokens = Annotated[
    list[SecretStr],
    NoDecode,
    BeforeValidator(commas),
    AfterValidator(lambda tokens: unguessable(tokens, "token")),
]


class Part(BaseModel):
    """A section: unknown names are refused, and what was given is never shown in an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Redis(Part):
    """The feature view. Its URL may carry credentials and is a secret; an empty one means embedded."""

    url: SecretStr = SecretStr("")
    username: str | None = None
    password: SecretStr | None = None
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None
    timeout_s: float = Field(0.25, gt=0)

    @field_validator("url")
    @classmethod
    def one_server(cls, url: SecretStr) -> SecretStr:
        """Refuse the schemes of Sentinel and of clusters."""
        text = url.get_secret_value()
        if text and not text.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("not redis://, rediss:// or unix://; Sentinel and clusters are not supported")
        return url

    @model_validator(mode="after")
    def complete(self) -> Self:
        """Certificates without TLS would be ignored in silence."""
        certificates = self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile
        if certificates and not self.url.get_secret_value().startswith("rediss://"):
            raise ValueError(
                "certificates are set, but the url does not begin with rediss://, so they would not be used"
            )
        return self

    def client_kwargs(self) -> dict[str, Any]:
        """Keyword arguments beside the URL for `redis.Redis.from_url`."""
        kwargs: dict[str, Any] = {
            "username": self.username,
            "password": secret(self.password),
            "ssl_ca_certs": path(self.ssl_cafile),
            "ssl_certfile": path(self.ssl_certfile),
            "ssl_keyfile": path(self.ssl_keyfile),
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": self.timeout_s,
        }
        return {name: value for name, value in kwargs.items() if value is not None}


class Registry(Part):
    """The schema registry of inputs in Avro; it speaks Confluent's API."""

    url: str = ""
    username: str | None = None
    password: SecretStr | None = None
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None
    timeout_s: float = Field(5.0, gt=0)

    @field_validator("url")
    @classmethod
    def check_url(cls, url: str) -> str:
        """A registry is asked over HTTP."""
        try:
            parts = urlsplit(url)
            good = not url or (parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"{url!r} is not a URL; write it as https://host:8081")
        return url

    def client_kwargs(self) -> dict[str, Any]:
        """Keyword arguments beside the URL for httpx."""
        context = ssl.create_default_context(cafile=path(self.ssl_cafile))
        if self.ssl_certfile is not None:
            context.load_cert_chain(self.ssl_certfile, path(self.ssl_keyfile))
        auth = None if self.username is None else (self.username, secret(self.password) or "")
        return {"verify": context, "auth": auth, "timeout": self.timeout_s}


class Signing(Part):
    """Ed25519 keys for what is pickled. `keys` are private, on learners only: the first signs, all verify.

    `public_keys` verify too; other roles need nothing else. Several of each let keys be replaced in steps.
    """

    keys: Annotated[list[SecretStr], NoDecode, BeforeValidator(commas)] = []
    public_keys: Annotated[list[str], NoDecode, BeforeValidator(commas)] = []

    @field_validator("keys")
    @classmethod
    def private(cls, keys: list[SecretStr]) -> list[SecretStr]:
        """Refuse what is not 32 bytes, and a public key."""
        texts = [key.get_secret_value() for key in keys]
        if any(text.startswith(PUBLIC) for text in texts):
            raise ValueError("a key is a public one; set it as public_keys (STREAM_APP_SIGNING__PUBLIC_KEYS)")
        if not all(KEY_FORM.fullmatch(text) for text in texts):
            raise ValueError("a key is not 64 hexadecimal digits; make one with `stream-app keys new`")
        return keys

    @field_validator("public_keys")
    @classmethod
    def public(cls, keys: list[str]) -> list[str]:
        """Refuse what has no mark: it could be a private key."""
        if not all(key.startswith(PUBLIC) and KEY_FORM.fullmatch(key.removeprefix(PUBLIC)) for key in keys):
            raise ValueError(f"a public key is {PUBLIC} and 64 hex digits; see `stream-app keys public`")
        return keys

    def private_bytes(self) -> list[bytes]:
        """The private keys, the signing one first."""
        return [bytes.fromhex(key.get_secret_value()) for key in self.keys]

    def public_bytes(self) -> list[bytes]:
        """The public keys that are set, without those that belong to the private ones."""
        return [bytes.fromhex(key.removeprefix(PUBLIC)) for key in self.public_keys]


class Snapshots(Part):
    """Where snapshots lie: a directory or an fsspec URL; more than one machine needs a shared store.

    Of each shard `versions` more stay for `versions_days`, from which models that were replaced can be had.
    """

    url: str = ""
    versions: int = Field(8, ge=0)
    versions_days: float = Field(7.0, gt=0)


class Learner(Part):
    """Tuning of the hot path; units are in the names."""

    batch_ms: float = Field(30.0, gt=0)
    batch_records: int = Field(4_000, ge=1, le=100_000)  # a journal record holds their order, a byte each
    session_timeout_ms: int = Field(6_000, ge=6_000)  # brokers refuse less by default
    # A member that does not come back to a rebalance holds all others up so long: a broker whose coordinator
    # has just changed may not know of its end otherwise. A loop that stands for longer loses its shards.
    rebalance_timeout_ms: int = Field(60_000, ge=6_000)
    transaction_timeout_ms: int = Field(10_000, ge=1_000)
    watchdog_s: float = Field(20.0, gt=0)  # a commit that takes longer ends the process
    loop_watchdog_s: float = Field(600.0, gt=0)  # so does a loop that stands still for longer
    publish_s: float = Field(1.0, gt=0)  # at most so often a champion that learned is published
    metrics_port: int | None = Field(None, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"


class Serve(Part):
    """The predictor's HTTP server. Without tokens it answers anybody, so it binds to loopback only.

    Tokens of `feedback` may read as well, those of `admin` may do everything.
    """

    host: str = "127.0.0.1"
    port: int = Field(8_000, ge=0, le=65_535)
    workers: int = Field(1, ge=1, le=64)
    refresh_s: float = Field(0.25, gt=0)  # how often it asks for a newer champion
    redis_timeout_s: float = Field(0.1, gt=0)  # after which the last copy answers
    cache_entities: int = Field(100_000, ge=1)  # per worker
    requests_per_s: int | None = Field(None, ge=1)  # per token and worker
    tokens_read: Tokens = []
    tokens_feedback: Tokens = []
    tokens_admin: Tokens = []
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None

    @model_validator(mode="after")
    def complete(self) -> Self:
        """A certificate needs its key."""
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile belong together")
        return self

    def tokens(self) -> dict[str, list[str]]:
        """By scope."""
        named = {"read": self.tokens_read, "feedback": self.tokens_feedback, "admin": self.tokens_admin}
        return {scope: [token.get_secret_value() for token in tokens] for scope, tokens in named.items()}


def secret(value: SecretStr | None) -> str | None:
    """A secret's text, for the client that needs it."""
    return None if value is None else value.get_secret_value()


def path(value: Path | None) -> str | None:
    """A path as clients take it."""
    return None if value is None else str(value)
