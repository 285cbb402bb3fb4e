"""Where the system runs: one object, mapped to every client's own words.

Flags win over the environment (`STREAM_APP_*`, nested with `__`), the environment over a TOML file: the one
that `STREAM_APP_CONFIG` names, else `stream-app.toml` in the working directory. Secrets show as stars.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from stream_app.errors import UsageError

PREFIX = "STREAM_APP_"
CONFIG_VARIABLE = "STREAM_APP_CONFIG"
CONFIG_FILE = "stream-app.toml"
SHORTEST_KEY = 16  # characters; a signing key that can be guessed lets a stranger's pickle in


class Part(BaseModel):
    """A section: unknown names are refused, and what was given is never shown in an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Kafka(Part):
    """Brokers and how to reach them; an empty `bootstrap_servers` means the embedded services."""

    bootstrap_servers: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None
    ssl_key_password: SecretStr | None = None
    replication: int = Field(1, ge=1)
    min_insync: int = Field(1, ge=1)
    connect_timeout_s: float = Field(10.0, gt=0)
    client: dict[str, str | int | float | bool] = Field({}, repr=False)  # more of librdkafka's own settings

    @model_validator(mode="after")
    def complete(self) -> Self:
        """What one name asks of another."""
        if self.security_protocol.startswith("SASL"):
            needed = {"sasl_mechanism": self.sasl_mechanism, "sasl_username": self.sasl_username}
            missing = [
                name for name, value in {**needed, "sasl_password": self.sasl_password}.items() if not value
            ]
            if missing:
                raise ValueError(f"{self.security_protocol} needs {', '.join(missing)}")
        elif self.sasl_username or self.sasl_password:
            raise ValueError("credentials are set, but security_protocol is no SASL_… and would not use them")
        if self.min_insync > self.replication:
            raise ValueError("min_insync is above replication, so that no write would ever be taken")
        return self

    def confluent(self) -> dict[str, Any]:
        """Configuration for confluent-kafka."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol.lower(),
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": secret(self.sasl_password),
            "ssl.ca.location": path(self.ssl_cafile),
            "ssl.certificate.location": path(self.ssl_certfile),
            "ssl.key.location": path(self.ssl_keyfile),
            "ssl.key.password": secret(self.ssl_key_password),
            **self.client,
        }
        return {name: value for name, value in config.items() if value is not None}

    def kafka_python(self) -> dict[str, Any]:
        """Keyword arguments for kafka-python's clients."""
        config: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",")],
            "bootstrap_timeout_ms": round(self.connect_timeout_s * 1000),
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": secret(self.sasl_password),
            "ssl_cafile": path(self.ssl_cafile),
            "ssl_certfile": path(self.ssl_certfile),
            "ssl_keyfile": path(self.ssl_keyfile),
            "ssl_password": secret(self.ssl_key_password),
        }
        return {name: value for name, value in config.items() if value is not None}


class Redis(Part):
    """The feature view. Its URL may carry credentials and is a secret; an empty one means embedded."""

    url: SecretStr = SecretStr("")
    username: str | None = None
    password: SecretStr | None = None
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None
    timeout_s: float = Field(0.25, gt=0)

    @model_validator(mode="after")
    def complete(self) -> Self:
        """Certificates without TLS would be ignored in silence."""
        certificates = self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile
        if certificates and not self.url.get_secret_value().startswith("rediss://"):
            raise ValueError("certificates are set, but url is no rediss:// and would not use them")
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


class Signing(Part):
    """Keys that sign and verify pickles: the first signs, all verify, so that keys can be turned over."""

    keys: Annotated[list[SecretStr], NoDecode] = []

    @field_validator("keys", mode="before")
    @classmethod
    def split(cls, value: Any) -> Any:
        """Commas in an environment variable."""
        return [key.strip() for key in value.split(",") if key.strip()] if isinstance(value, str) else value

    @field_validator("keys")
    @classmethod
    def long_enough(cls, keys: list[SecretStr]) -> list[SecretStr]:
        """Refuse a key that can be guessed."""
        if any(len(key.get_secret_value()) < SHORTEST_KEY for key in keys):
            raise ValueError(
                f"a key is under {SHORTEST_KEY} characters; make one with `openssl rand -hex 32`"
            )
        return keys

    def raw(self) -> list[bytes]:
        """The keys as bytes, the signing one first."""
        return [key.get_secret_value().encode() for key in self.keys]


class Snapshots(Part):
    """Where snapshots lie: a directory or an fsspec URL; more than one machine needs a shared store."""

    url: str = ""


class Learner(Part):
    """Tuning of the hot path; units are in the names."""

    batch_ms: float = Field(30.0, gt=0)
    batch_records: int = Field(4_000, ge=1)
    session_timeout_ms: int = Field(6_000, ge=6_000)  # brokers refuse less by default
    transaction_timeout_ms: int = Field(10_000, ge=1_000)
    watchdog_s: float = Field(20.0, gt=0)
    metrics_port: int | None = Field(None, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"


class Settings(BaseSettings):
    """One object for every role; unknown names are refused."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", hide_input_in_errors=True
    )

    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    signing: Signing = Signing()
    snapshots: Snapshots = Snapshots()
    learner: Learner = Learner()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the signature is pydantic-settings' own
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then file."""
        file = os.environ.get(CONFIG_VARIABLE, CONFIG_FILE)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def load_settings(**overrides: Any) -> Settings:
    """Settings from flags (`overrides`), then environment, then file.

    Raises:
        UsageError: an unknown name, a missing file, or a value that does not fit; values are never shown.
    """
    remedy = f"Correct the environment ({PREFIX}…) or the TOML file"
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise UsageError(f"settings: there is no file {named}", f"Correct {CONFIG_VARIABLE}")
    strangers = [name for name in os.environ if stranger(name)]
    if strangers:
        raise UsageError(
            f"settings: unknown {', '.join(sorted(strangers))}", f"Sections are {', '.join(SECTIONS)}"
        )
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {fault(e)}" for e in error.errors())
        raise UsageError(f"settings: {faults}", remedy) from None
    except ValueError as error:  # a TOML or JSON text that cannot be read; its message names the place alone
        raise UsageError(f"settings: {error}", remedy) from None


def fault(found: Mapping[str, Any]) -> str:
    """What pydantic found, and of a name that is none, which there are."""
    section = Settings.model_fields.get(str(found["loc"][0])) if found["loc"] else None
    names = getattr(section.annotation, "model_fields", None) if section is not None else None
    if found["type"] == "extra_forbidden" and names:
        return f"no such setting; there are {', '.join(names)}"
    text: str = found["msg"]
    return text.removeprefix("Value error, ")


SECTIONS = tuple(f"{PREFIX}{name.upper()}__…" for name in Settings.model_fields)


def stranger(variable: str) -> bool:
    """True for a nested variable of ours without a section: misspelt, it must not pass in silence."""
    name = variable.upper()
    sections = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    return name.startswith(PREFIX) and "__" in name and name.split("__", 1)[0] not in sections


def secret(value: SecretStr | None) -> str | None:
    """A secret's text, for the client that needs it."""
    return None if value is None else value.get_secret_value()


def path(value: Path | None) -> str | None:
    """A path as clients take it."""
    return None if value is None else str(value)
