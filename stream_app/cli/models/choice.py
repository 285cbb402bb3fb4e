"""Which shards and models a call of `stream-app models` is about; what there is not is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.cli.orders import check_shard
from stream_app.errors import UsageError, printable

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.inspect.model_status import Shard, Standing
    from stream_app.settings import Settings


def read(definition: Application, settings: Settings, shard: int | None) -> list[Shard]:
    """The shard that is asked for, or all of them."""
    check_shard(definition, shard)
    from stream_app.cli.models.standing import shards
    from stream_app.wiring.topics import catalog_for

    found = shards(definition, settings, catalog_for(definition, settings))
    return found if shard is None else [found[shard]]


def chosen(shards: list[Shard], version: int | None) -> list[tuple[Shard, Standing]]:
    """The model of this version in each shard that knows it, else the one that serves.

    Raises:
        UsageError: no shard knows the version; the remedy names those that exist.
    """
    models = [
        (shard, model)
        for shard in shards
        if (model := shard.serving() if version is None else shard.of(version)) is not None
    ]
    if not models and version is not None:
        raise UsageError(f"there is no version {version}{within(shards)}", there(shards, retired=True))
    return models


def check_named(
    definition: Application,
    settings: Settings,
    order: str,
    version: int | None,
    slot: str | None,
    shard: int | None,
) -> None:
    """Refuse an order that no shard could carry out; nothing is written then.

    Raises:
        UsageError: neither version nor slot, both, or a model that no shard holds.
    """
    if (version is None) == (slot is None):
        text = "no model is named" if version is None else "a model is named twice"
        raise UsageError(text, f"Give `models {order}` either --version V or --slot NAME")
    shards = read(definition, settings, shard)
    if any(version == model.version or slot == model.slot for found in shards for model in found.living()):
        return
    asked = f"version {version}" if version is not None else f"slot {slot!r}"
    gone = any(version == model.version or slot == model.slot for found in shards for model in found.models)
    text = f"{asked} is retired and cannot come back" if gone else f"there is no {asked}{within(shards)}"
    raise UsageError(text, there(shards, retired=False))


def within(shards: list[Shard]) -> str:
    """Where was looked, unless it was everywhere."""
    return f" in shard {shards[0].shard}" if len(shards) == 1 else ""


def there(shards: list[Shard], *, retired: bool) -> str:
    """What could have been asked for instead."""
    known: dict[str, None] = {}
    for shard in shards:
        for model in shard.models if retired else shard.living():
            known[f"{model.slot} v{model.version}"] = None
    if not known:
        return "No learner ever ran: start one with `stream-app learn MODULE:APP`"
    return printable(f"There are {', '.join(known)}; see `stream-app models ls --all`")
