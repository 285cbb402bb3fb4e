"""A published champion that passed: its signature, its fingerprint, its own sample rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Any

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.models.calls import COLD, Answer, replies, reply
from stream_app.models.explanations.explanation import Explanation
from stream_app.state.published import FORMAT, KIND, Published, bind_published, explain_published
from topics.batch_id import BatchId

Open = Callable[[bytes], tuple[dict[str, Any], Callable[[], Any]]]
MOST_STRANGERS = 2_000  # new names and different strings, then a copy is replaced


class ServedModel:
    """Answers rows with a copy of a published model.

    Many of River's models remember each name that they are asked about. So a copy that was asked about
    `MOST_STRANGERS` new names and different strings is replaced by a new one, on a thread.
    """

    def __init__(self, app: Application, published: Published, load: Callable[[], Published]) -> None:
        self.app, self.kinds, self.cold, self.load = app, published.kinds, published.cold, load
        self.published = published
        self.calls = bind_published(published, app.question)
        self.strangers: set[Any] = set()
        self.renewal: Thread | None = None

    def predict(self, row: dict[str, Any]) -> Answer:
        """The answer of the published model, cold where it has none."""
        if self.cold:
            return COLD
        answer = reply(self.calls, row)
        for name, value in row.items():
            if type(value) is str:
                self.strangers.add(hash((name, value)))
            elif name not in self.kinds:
                self.strangers.add(name)
        if len(self.strangers) > MOST_STRANGERS and self.renewal is None:
            self.renewal = Thread(target=self.renew, daemon=True)
            self.renewal.start()
        return answer

    def explain(self, row: dict[str, Any], answer: Answer) -> Explanation | None:
        """Why it gave an answer; None where it is cold. Asks the copy again, so `predict` comes first."""
        return explain_published(self.published, row, self.app.question, answer)

    def renew(self) -> None:
        """Replace the copy."""
        published = self.load()
        self.calls, self.published = bind_published(published, self.app.question), published
        self.strangers, self.renewal = set(), None


@dataclass(frozen=True)
class Champion:
    """One shard's model; never changed, only replaced whole. `batch` is of `life`,
    `name` what predictions say of it.
    """

    shard: int
    batch: BatchId
    positions: tuple[int, ...]
    published: Published
    name: dict[str, Any]
    predict: Callable[[dict[str, Any]], Answer]
    explain: Callable[[dict[str, Any], Answer], Explanation | None]
    life: str


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
    origin = (head.get("format"), head.get("kind"), head.get("app"), head.get("shard"))
    if origin != (FORMAT, KIND, app.name, shard):
        raise Refused(f"it belongs elsewhere: {origin}", "Let every application have its own name")
    if head["fingerprint"] != fingerprint:
        raise Refused(
            "it was made by another definition, library or platform",
            "Run learner and predictor from the same release; upgrade the learner first",
        )
    try:
        copy: Published = load()
        said = [] if copy.cold else replies(bind_published(copy, app.question), copy.rows)
        published: Published = load()
    except Exception as error:
        text = f"it cannot be loaded: {type(error).__name__}: {error}"
        raise Refused(text, "See the learner's log; the next publication replaces it") from error
    if said != head["answers"]:
        raise Refused("it answers its sample rows differently", "Run learner and predictor on one platform")
    batch = BatchId(head["epoch"], head["seq"])
    served = ServedModel(app, published, load)
    name = {"name": published.name, "version": published.version}
    life = head.get("life", "")
    return Champion(
        shard, batch, tuple(head["positions"]), published, name, served.predict, served.explain, life
    )
