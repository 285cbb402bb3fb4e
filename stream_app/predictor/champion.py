"""A published champion that passed: its signature, its fingerprint, its own sample rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.models.calls import Answer, bind, replies
from stream_app.state.published import FORMAT, KIND, Published

Open = Callable[[bytes], tuple[dict[str, Any], Callable[[], Any]]]


@dataclass(frozen=True)
class Champion:
    """One shard's model; never changed, only replaced whole. `stamp` is (epoch, seq) of its batch in `life`,
    `name` what predictions say of it.
    """

    shard: int
    stamp: tuple[int, int]
    positions: tuple[int, ...]
    published: Published
    name: dict[str, Any]
    predict: Callable[[dict[str, Any]], Answer]
    life: str


def parsed(stamp: str) -> tuple[str, tuple[int, int]]:
    """The life of <epoch>:<seq>:<life>, and the two numbers, which compare as its batches came."""
    epoch, seq, *life = stamp.split(":")
    return life[0] if life else "", (int(epoch), int(seq))


def accept(
    app: Application, shard: int, fingerprint: Mapping[str, Any], sealed: bytes, open_sealed: Open
) -> Champion:
    """The champion of a sealed publication; nothing of it is run before its signature holds.

    Raises:
        Refused: keep the one before; the message says why.
    """
    try:
        head, load = open_sealed(sealed)
    except ValueError as error:
        raise Refused(
            f"it is torn or not ours: {error}", "Give learner and predictor the same keys"
        ) from error
    told = (head.get("format"), head.get("kind"), head.get("app"), head.get("shard"))
    if told != (FORMAT, KIND, app.name, shard):
        raise Refused(f"it belongs elsewhere: {told}", "Let every application have its own name")
    if head["fingerprint"] != fingerprint:
        raise Refused(
            "it was made by another definition, library or platform",
            "Run learner and predictor from the same release; upgrade the learner first",
        )
    try:
        published: Published = load()
        calls = bind(published.model, app.task, app.threshold)
        said = replies(calls, published.rows)
    except Exception as error:
        text = f"it cannot be loaded: {type(error).__name__}: {error}"
        raise Refused(text, "See the learner's log; the next publication replaces it") from error
    if said != published.replies:
        raise Refused("it answers its sample rows differently", "Run learner and predictor on one platform")
    stamp = (head["epoch"], head["seq"])
    name = {"name": published.name, "version": published.version}
    life = head.get("life", "")
    return Champion(shard, stamp, tuple(head["positions"]), published, name, calls.predict, life)
