"""Rows of a history that models learn together with `learn_many`, past the live step.

That is much faster, and gives other models than row by row: nothing is predicted, scored, weighed or watched,
and no ids are kept. So the first rows go through the live step, which learns what types there are, and the
last ones, which bring detectors, scores and ids up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_app.application import Application
from stream_app.errors import MACHINE, UsageError
from stream_app.flow.core import Core
from stream_app.flow.learn import count
from stream_app.flow.record_rules import is_known_numeric
from stream_app.models.calls import Calls, ModelFault
from stream_app.state.slot import Slot

if TYPE_CHECKING:
    import pandas as pd

FIRST: Final = 200  # rows that go through the live step before
LAST: Final = 5_000  # and after


class Row(NamedTuple):
    """A row that is learned together with others."""

    time_ms: int
    features: dict[str, Any]
    label: Any


def check_together(app: Application) -> None:
    """Refuse what only the live step can do.

    Raises:
        UsageError: the definition has features of entities, class weights or declared types, or no labels; or
            pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise UsageError(
            "--mini-batch needs pandas, which is not installed", "pip install 'stream-app[mini-batch]'"
        )
    reasons = {
        "features= are computed row by row": bool(app.features),
        "class_weights= weigh row by row": bool(app.class_weights),
        "types= and missing= are judged row by row": bool(app.types or app.required),
        "it learns without labels": app.labels is None,
    }
    for reason, holds in reasons.items():
        if holds:
            raise UsageError(f"{app.name} cannot learn in mini-batches: {reason}", "Leave out --mini-batch")


class Together:
    """Rows of one shard that wait to be learned together, `size` at a time.

    A model without `learn_many`, or of a pipeline with a part without, learns them one by one.
    """

    def __init__(self, core: Core, size: int, copy: Callable[[Any], Any]) -> None:
        self.core, self.size, self.copy = core, size, copy
        self.rows: list[Row] = []
        self.learned = 0
        self.able: dict[int, bool] = {}  # by version: whether it learns many

    def take(self, row: Row) -> None:
        """Learn it with the others once there are enough.

        Raises:
            UsageError: it is not of numbers under the names of the first rows, or no model learns many.
        """
        if not is_known_numeric(self.core.state.kinds, row.features, self.core.rules.max_features):
            raise UsageError(
                f"a row of the history has {row.features!r}: with --mini-batch all features are numbers that "
                f"the first {FIRST} rows have, too",
                "Leave out --mini-batch, or --drop the columns that hold something else",
            )
        self.rows.append(row)
        if len(self.rows) >= self.size:
            self.learn()

    def learn(self) -> None:
        """Let every model learn what waits."""
        if not self.rows:
            return
        rows, labels = [row.features for row in self.rows], [row.label for row in self.rows]
        self.rows = []
        import pandas as pd  # noqa: PLC0415  an extra

        frame, target = pd.DataFrame.from_records(rows), pd.Series(labels, name="label")
        state = self.core.state
        for slot, calls in self.core.learning_calls:  # a slot that fails is out of the next list
            if self.learns_many(slot, frame, target):
                self.learn_together(slot, frame, target)
            else:
                self.learn_each(slot, calls, rows, labels)
        for label in labels:
            if state.classify:
                state.classes[label] = type(label)
            count(self.core, label)
        state.last_label = labels[-1]
        counters, n = state.counters, len(rows)
        counters.events += n
        counters.predictions += n
        counters.cold += n
        counters.labels += n
        self.learned += n

    def learn_together(self, slot: Slot, frame: pd.DataFrame, target: pd.Series) -> None:
        """Let a model learn rows at once.

        Raises:
            UsageError: the champion cannot.
        """
        try:
            slot.model.learn_many(frame, target)
        except MACHINE:
            raise
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
            if slot.name == self.core.state.serving:
                text = f"the champion raised {raised}, after {self.learned:,} rows in mini-batches"
                raise UsageError(text, "Leave out --mini-batch") from error
            self.core.fail_slot(slot, ModelFault(raised))
            return
        slot.learned += len(target)

    def learn_each(self, slot: Slot, calls: Calls, rows: list[dict[str, Any]], labels: list[Any]) -> None:
        """Let a challenger learn rows one by one; one that raises is out, as it is in the live step."""
        try:
            for row, label in zip(rows, labels, strict=True):
                calls.learn(row, label, 1.0)
                slot.learned += 1
        except ModelFault as fault:
            self.core.fail_slot(slot, fault)

    def learns_many(self, slot: Slot, frame: pd.DataFrame, target: pd.Series) -> bool:
        """Whether a model can; tried on a copy.

        Raises:
            UsageError: the champion cannot.
        """
        if slot.version not in self.able:
            self.able[slot.version] = can(self.copy(slot.model), frame, target)
            if slot.name == self.core.state.serving and not self.able[slot.version]:
                raise UsageError(
                    f"{slot.name} does not learn in mini-batches: it, or a part of it, has no `learn_many`",
                    "Leave out --mini-batch",
                )
        return self.able[slot.version]

    @property
    def one_by_one(self) -> Sequence[str]:
        """The slots whose models learned the rows one by one."""
        return [slot.name for slot in self.core.state.slots if not self.able.get(slot.version, True)]


def can(copy: Any, frame: pd.DataFrame, target: pd.Series) -> bool:
    """Whether a model learns a frame at once."""
    try:
        copy.learn_many(frame, target)
    except Exception:
        return False
    return True
