"""Versions that are had back: which state of one is asked for, and the replay that gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.cli.past import open_past
from stream_app.errors import Refused, UsageError

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.inspect.model_status import Shard, Standing
    from stream_app.learner.history.versions import VersionFound, Wanted
    from stream_app.settings import Settings
    from stream_app.wiring.past import PastOpener


class Had(NamedTuple):
    """A version that was had back, and its card."""

    found: VersionFound
    card: dict[str, Any]


def have_back(opener: PastOpener, shard: Shard, model: Standing, wanted: Wanted) -> Had:
    """Give a version as it was, by a replay.

    Raises:
        Refused: what is retained does not reach that moment.
    """
    from stream_app.inspect.model_status import begun_in
    from stream_app.learner.history.version_card import card_of
    from stream_app.learner.history.versions import find_version

    with open_past(opener, shard.shard, f"{model.slot} v{model.version}") as past:
        found = find_version(past, wanted)
        receipt, begun = shard.receipts[model.version], begun_in(shard, model.version)
        return Had(found, card_of(past, wanted, found, model.status, receipt, begun))


def snapshot_before(definition: Application, settings: Settings, shard: Shard, version: int) -> str | None:
    """The snapshot from which a version would be replayed; None where there is none, or none is known."""
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.inspect.model_status import ended_in
    from stream_app.wiring.learner import store_opener
    from stream_app.wiring.topics import catalog_for
    from topics.life import life_of

    names = catalog_for(definition, settings).inputs
    try:
        with TopicAdmin(settings.kafka.kafka_python()) as admin:
            ids = admin.require(catalog_for(definition, settings))
        store = store_opener(definition, settings, life_of({name: ids[name] for name in names}))(shard.shard)
        return store.before(ended_in(shard, version))
    except (
        Refused
    ):  # no place or key is set here, or the store does not answer: receipts can be read all the same
        return None


def the_one(models: list[tuple[Shard, Standing]], version: int | None) -> tuple[Shard, Standing]:
    """The model of a version, or without one the model that serves, where one shard alone has it.

    Raises:
        UsageError: several have one, or none serves.
    """
    if len(models) > 1:
        numbers = ", ".join(str(shard.shard) for shard, _ in models)
        what = "a model that serves" if version is None else f"a version {version}"
        raise UsageError(f"shards {numbers} have {what} each", "Name one: --shard N")
    if not models:
        raise UsageError("no model serves yet", "Start a learner with `stream-app learn MODULE:APP`")
    return models[0]


def wanted_of(shard: Shard, model: Standing, *, served: bool = False, offset: int | None = None) -> Wanted:
    """Which state is asked for: before an event, when it last served, or the last that there is.

    Raises:
        UsageError: it never served, or two moments are named.
    """
    from stream_app.inspect.model_status import ended_in, replaced_in
    from stream_app.learner.history.versions import Wanted

    version = model.version
    if served and offset is not None:
        raise UsageError("two moments are named", "Give either --served or --as-of OFFSET")
    if offset is not None:
        return Wanted(version, offset=offset)
    replaced = replaced_in(shard, version)
    if served and model.status != "serving" and shard.blend is None:
        if replaced is None:
            raise UsageError(
                f"no receipt says that version {version} ever served",
                "Leave out --served: the model as it was last",
            )
        return Wanted(version, ended=replaced, served=True)
    if model.status != "retired":
        return Wanted(version)
    ended = ended_in(shard, version)
    return Wanted(version, ended=ended, left_behind=ended is None)
