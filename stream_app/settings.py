"""Where the system runs: one object, from flags, environment `STREAM_APP_*` and a TOML file, mapped to every client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from stream_app.errors import UsageError

CONFIG_FILE = "stream-app.toml"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Kafka(Part):
    """Brokers and how to reach them; an empty `bootstrap_servers` means the embedded services."""

    bootstrap_servers: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_key_password: SecretStr | None = None
    replication: int = Field(1, ge=1)
    min_insync: int = Field(1, ge=1)

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
        }
        return {name: value for name, value in config.items() if value is not None}

    def kafka_python(self) -> dict[str, Any]:
        """Keyword arguments for kafka-python's clients."""
        config: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers.split(","),
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
    """The feature view; the URL may carry credentials and is therefore a secret. An empty one means embedded."""

    url: SecretStr = SecretStr("")
    username: str | None = None
    password: SecretStr | None = None
    ssl_cafile: Path | None = None
    timeout_s: float = Field(0.25, gt=0)

    def client_kwargs(self) -> dict[str, Any]:
        """Keyword arguments beside the URL for `redis.Redis.from_url`."""
        kwargs: dict[str, Any] = {
            "username": self.username,
            "password": secret(self.password),
            "ssl_ca_certs": path(self.ssl_cafile),
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": self.timeout_s,
        }
        return {name: value for name, value in kwargs.items() if value is not None}


class Signing(Part):
    """Keys that sign and verify pickles: the first signs, all verify."""

    keys: list[SecretStr] = []

    def raw(self) -> list[bytes]:
        return [key.get_secret_value().encode() for key in self.keys]


class Snapshots(Part):
    """Where snapshots lie: a directory or an fsspec URL; more than one machine needs a shared store."""

    url: str = ""


class Learner(Part):
    """Tuning of the hot path; units are in the names."""

    batch_ms: float = Field(30.0, gt=0)
    batch_records: int = Field(2_000, ge=1)
    session_timeout_ms: int = Field(6_000, ge=6_000)
    transaction_timeout_ms: int = Field(10_000, ge=1_000)
    watchdog_s: float = Field(20.0, gt=0)
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"


class Settings(BaseSettings):
    """One object for every role; unknown names are refused."""

    model_config = SettingsConfigDict(env_prefix="STREAM_APP_", env_nested_delimiter="__", extra="forbid")

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
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("STREAM_APP_CONFIG", CONFIG_FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def load_settings(**overrides: Any) -> Settings:
    """Settings from flags (`overrides`), then environment, then file.

    Raises:
        UsageError: an unknown name or a value that does not fit; the message never shows the value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise UsageError(f"settings: {faults}", "Correct the environment (STREAM_APP_…) or the TOML file") from None
    except ValueError as error:
        raise UsageError(f"settings: {error}", "Correct the environment (STREAM_APP_…) or the TOML file") from None


def secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def path(value: Path | None) -> str | None:
    return None if value is None else str(value)
