"""How the brokers are reached, in the words of each of the three Kafka clients."""

from __future__ import annotations

import ssl
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, FilePath, SecretStr, model_validator

from stream_app.settings.parts import Part, path, secret
from stream_app.tokens import MSK, TokenProvider, msk_source, named_source


class Kafka(Part):
    """Brokers and how to reach them; an empty `bootstrap_servers` means the embedded services."""

    bootstrap_servers: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: (
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] | None
    ) = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_token: str | None = (
        None  # OAUTHBEARER: module:function gives a token, or (token, its end in epoch s)
    )
    aws_region: str | None = None  # AWS_MSK_IAM
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None
    ssl_key_password: SecretStr | None = None
    replication: int = Field(1, ge=1)
    min_insync: int = Field(1, ge=1)
    input_retention_bytes: int = Field(100 << 30, ge=-1)  # of each partition of inputs and outputs; -1: all
    connect_timeout_s: float = Field(10.0, gt=0)
    client: dict[str, str | int | float | bool] = Field({}, repr=False)  # more of librdkafka's own settings

    @model_validator(mode="after")
    def complete(self) -> Self:
        """What one name asks of another."""
        if self.security_protocol.startswith("SASL"):
            needed: dict[str, Any] = {"sasl_mechanism": self.sasl_mechanism}
            if self.sasl_mechanism == "OAUTHBEARER":
                needed["sasl_token"] = self.sasl_token
            elif self.sasl_mechanism == MSK:
                needed["aws_region"] = self.aws_region
            else:
                needed |= {"sasl_username": self.sasl_username, "sasl_password": self.sasl_password}
            missing = [name for name, value in needed.items() if not value]
            if missing:
                raise ValueError(f"{self.security_protocol} needs {', '.join(missing)}")
        elif self.sasl_username or self.sasl_password or self.sasl_token:
            raise ValueError(
                "credentials are set, but security_protocol is not SASL_…, so they would not be used"
            )
        if self.min_insync > self.replication:
            raise ValueError("min_insync is above replication, so that no write would ever be taken")
        return self

    @cached_property
    def tokens(self) -> TokenProvider | None:
        """Tokens for OAUTHBEARER, the same for all clients of this process.

        Raises:
            UsageError: there is no such function, or a package is missing.
        """
        if self.sasl_mechanism == MSK:
            return TokenProvider(msk_source(self.aws_region or ""))
        if self.sasl_mechanism == "OAUTHBEARER":
            return TokenProvider(named_source(self.sasl_token or ""))
        return None

    @property
    def mechanism(self) -> str | None:
        """The mechanism as clients know it: MSK's is OAUTHBEARER with tokens of AWS."""
        return "OAUTHBEARER" if self.sasl_mechanism == MSK else self.sasl_mechanism

    def confluent(self) -> dict[str, Any]:
        """Configuration for confluent-kafka."""
        tokens = self.tokens
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            # Its default of 10 s doubles the pause of a shard whose connection was cut a few times in a row.
            "reconnect.backoff.max.ms": 1_000,
            "log_level": 4,  # warnings: what it notes as it works is nothing to act on
            "security.protocol": self.security_protocol.lower(),
            "sasl.mechanism": self.mechanism,
            "oauth_cb": (lambda _: tokens.token_and_end()) if tokens is not None else None,
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
            "sasl_mechanism": self.mechanism,
            "sasl_oauth_token_provider": self.tokens,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": secret(self.sasl_password),
            "ssl_cafile": path(self.ssl_cafile),
            "ssl_certfile": path(self.ssl_certfile),
            "ssl_keyfile": path(self.ssl_keyfile),
            "ssl_password": secret(self.ssl_key_password),
        }
        return {name: value for name, value in config.items() if value is not None}

    def faust(self) -> dict[str, Any]:
        """Words for Faust: `broker` URLs, and credentials as Faust's classes take them."""
        servers = [server.strip() for server in self.bootstrap_servers.split(",")]
        words: dict[str, Any] = {"broker": [f"kafka://{server}" for server in servers]}
        if self.security_protocol.endswith("SSL"):
            context = ssl.create_default_context(cafile=path(self.ssl_cafile))
            if self.ssl_certfile is not None:
                context.load_cert_chain(
                    self.ssl_certfile, path(self.ssl_keyfile), secret(self.ssl_key_password)
                )
            words["ssl_context"] = context
        if self.tokens is not None:
            words["tokens"] = self.tokens
        elif self.security_protocol.startswith("SASL"):
            words |= {
                "mechanism": self.sasl_mechanism,
                "username": self.sasl_username,
                "password": secret(self.sasl_password),
            }
        return words
