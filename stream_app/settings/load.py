"""Where the system runs: one object, mapped to every client's own words.

Flags win over the environment (`STREAM_APP_*`, nested with `__`), the environment over a TOML file: the one
that `STREAM_APP_CONFIG` names, else `stream-app.toml` in the working directory. Secrets show as stars.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from stream_app.errors import UsageError
from stream_app.settings.kafka import Kafka
from stream_app.settings.ops import Ops
from stream_app.settings.parts import Learner, Redis, Registry, Serve, Signing, Snapshots

PREFIX = "STREAM_APP_"
CONFIG_VARIABLE = "STREAM_APP_CONFIG"
CONFIG_FILE = "stream-app.toml"


class Settings(BaseSettings):
    """One object for every role; unknown names are refused."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", hide_input_in_errors=True
    )

    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    registry: Registry = Registry()
    signing: Signing = Signing()
    snapshots: Snapshots = Snapshots()
    learner: Learner = Learner()
    serve: Serve = Serve()
    ops: Ops = Ops()

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
    """One error of pydantic in words; for an unknown name, the names that there are."""
    section = Settings.model_fields.get(str(found["loc"][0])) if found["loc"] else None
    names = getattr(section.annotation, "model_fields", None) if section is not None else None
    if found["type"] == "extra_forbidden" and names:
        return f"no such setting; there are {', '.join(names)}"
    text: str = found["msg"]
    return text.removeprefix("Value error, ")


SECTIONS = tuple(f"{PREFIX}{name.upper()}__…" for name in Settings.model_fields)


def stranger(variable: str) -> bool:
    """Whether `STREAM_APP_X__Y` names a section X that does not exist; it must not pass in silence."""
    name = variable.upper()
    sections = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    return name.startswith(PREFIX) and "__" in name and name.split("__", 1)[0] not in sections
