"""The writing side of snapshots and publications: a pickle, and which sets its models hold (ADR 14).

Three pickles with one memo, so that what they share is stored once: the models, the whole that holds them,
and [(container, contents)]: what is filled again when all is loaded.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import Any

from stream_app.adapters.set_order import lay_out, layouts


class Dump:
    """A pickle that `close` finishes once `lay_out` has filled the sets of its models, `layouts`, again.

    Raises:
        PicklingError, Unrepeatable, …: something in it cannot be stored.
    """

    def __init__(self, whole: Any, models: Iterable[Any]) -> None:
        self.file = io.BytesIO()
        self.pickler = pickle.Pickler(self.file, protocol=5)
        self.pickler.dump(list(models))
        # The memo knows all that was stored but numbers; a hook that pickle asks about each object triples
        # what a forest takes.
        memo = self.pickler.memo.copy()
        self.layouts = layouts(stored for _, stored in memo.values() if isinstance(stored, set))
        self.pickler.dump(whole)

    def close(self, *later: dict[Any, Any] | list[Any]) -> bytes:
        """The payload; `later` are containers in it that were filled after it was pickled."""
        moved = [(one.members, one.order) for one in self.layouts.values() if one.moved]
        self.pickler.dump([*moved, *((container, container.copy()) for container in later)])
        return self.file.getvalue()


def dump(obj: Any) -> bytes:
    """The payload of one object, which is its own only model; its live sets stay as they are."""
    return Dump(obj, [obj]).close()


def settle(models: Iterable[Any]) -> None:
    """Fill the sets of some models again, as storing them does."""
    lay_out(Dump(None, models).layouts)


def fill(contents: Iterable[tuple[Any, Any]]) -> None:
    """Fill containers again that were loaded."""
    for container, content in contents:
        if isinstance(container, list):
            container[:] = content
        else:
            container.clear()
            container.update(content)
