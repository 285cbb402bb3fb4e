"""One model of a shard, with what is known of it."""

from __future__ import annotations

from typing import Any

from mypy_extensions import mypyc_attr

from stream_app.state.scores import Scores

CHAMPION = "champion"  # the name of the slot that the definition's `champion` fills
DECLARED = "declared"  # the kind of a slot that the definition names; candidates are fresh or warm
KEPT = "kept"  # a copy of the champion that learns nothing until it serves


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Slot:
    """One model, its seed's generation, its scores on its own served predictions, and why it failed, if it
    did.

    `origin` names the factory of the definition that made it, `parent` the version it was to replace.
    `knows`: the factory gave a model that had learned elsewhere. `silence` is the share of its newest
    answers, about 100, that it could not give.
    """

    knows: bool = False
    silence: float = 0.0

    def __init__(
        self,
        name: str,
        model: Any,
        version: int,
        generation: int,
        classify: bool,
        origin: str = "",
        kind: str = DECLARED,
        parent: int | None = None,
    ) -> None:
        self.name = name
        self.origin = origin or name
        self.kind = kind
        self.parent = parent
        self.model = model
        self.version = version
        self.generation = generation
        self.learned = 0
        self.knows = False
        self.silence = 0.0
        self.scores = Scores(classify)
        self.failed: str | None = None

    @property
    def cold(self) -> bool:
        """Whether it has learned nothing: then it is not asked, since asking may change a model."""
        return not self.learned and not self.knows
