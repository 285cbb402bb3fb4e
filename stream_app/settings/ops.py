"""The settings of the ops role: where it listens, which alerts go where, when a shard is silent."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AwareDatetime, Field, FilePath, SecretStr, field_validator, model_validator

from stream_app.settings.parts import Part, Tokens, unguessable

Severity = Literal["info", "warning", "critical"]
GroupBy = Literal["app", "type", "severity", "shard"]


class Matcher(Part):
    """Which alerts are meant: globs of application and type, one shard or all, and the least severity."""

    apps: str = "*"
    types: str = "*"
    shard: int | None = Field(None, ge=0)
    severity: Severity = "info"


class Silence(Matcher):
    """Alerts that are not sent until a time, and why."""

    until: AwareDatetime
    reason: str = Field(min_length=1, max_length=500)


class Route(Matcher):
    """One way out. A group's first alert waits `wait_s` for others, its later ones `interval_s`.

    At most `rate` notifications leave in `rate_s`; what was held back meanwhile is sent in one summary.
    """

    name: str = Field("", max_length=60)
    channel: Literal["log", "webhook", "alertmanager", "apprise"]
    url: SecretStr = SecretStr("")
    secret: SecretStr | None = None  # of the webhook's signature
    group_by: list[GroupBy] = Field(["app", "type", "severity"])
    wait_s: float = Field(10.0, ge=0)
    interval_s: float = Field(60.0, ge=0)
    rate: int = Field(20, ge=1)
    rate_s: float = Field(600.0, gt=0)
    timeout_s: float = Field(10.0, gt=0)
    attempts: int = Field(3, ge=1, le=10)  # in a row; then the route waits longer and longer, up to a minute

    @field_validator("secret")
    @classmethod
    def long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        """Refuse a secret that can be guessed."""
        return secret and unguessable([secret], "webhook secret")[0]

    @model_validator(mode="after")
    def complete(self) -> Self:
        """A channel that leaves this machine needs to know where to."""
        self.name = self.name or self.channel
        if self.channel != "log" and not self.url.get_secret_value():
            raise ValueError(f"the channel {self.channel} needs url")
        if self.secret is not None and self.channel != "webhook":
            raise ValueError("secret is for the channel webhook alone")
        return self


class Ops(Part):
    """`stream-app ops`; tokens as in `serve`, and orders need one of tokens_admin in any case."""

    host: str = "127.0.0.1"
    port: int = Field(8100, ge=0, le=65_535)
    group: str = ""  # consumer group and prefix of the tables' topics; empty: <first application>.ops
    silent_s: float = Field(60.0, gt=0)
    failing_s: float = Field(60.0, gt=0)  # a route that delivers nothing for so long is an alert itself
    keep_alerts: int = Field(2_000, ge=10)  # of each application, besides those that are not delivered yet
    keep_letters: int = Field(500, ge=10)
    session_timeout_s: float = Field(6.0, ge=6)  # brokers refuse less by default
    routes: list[Route] = Field([Route(channel="log")])
    silences: list[Silence] = Field([])
    requests_per_s: int | None = Field(None, ge=1)
    tokens_read: Tokens = Field([])
    tokens_admin: Tokens = Field([])
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None

    @field_validator("routes")
    @classmethod
    def unique_names(cls, routes: list[Route]) -> list[Route]:
        """What was delivered is remembered by the route's name."""
        names = [route.name for route in routes]
        if len(set(names)) < len(names):
            raise ValueError("two routes have one name; give each a name=")
        return routes

    @model_validator(mode="after")
    def complete(self) -> Self:
        """A certificate needs its key."""
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile belong together")
        return self

    def tokens(self) -> dict[str, list[str]]:
        """By scope."""
        named = {"read": self.tokens_read, "admin": self.tokens_admin}
        return {scope: [token.get_secret_value() for token in tokens] for scope, tokens in named.items()}
