"""The writing side of snapshots and publications: a pickle, and which sets its models hold (ADR 19).

Three pickles with one memo, so that what they share is stored once: the models, the whole that holds them,
and [(set, members)]: which sets are filled again when all is loaded, in which order.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import Any

from stream_app.adapters.set_order import lay_out, layouts


class Dump:
    """`payload` is the pickle; once `lay_out` has filled the sets of its live models again, `layouts`, they
    are like those of whatever is loaded from it.

    Raises:
        PicklingError, Unrepeatable, …: something in it cannot be stored.
    """

    def __init__(self, whole: Any, models: Iterable[Any]) -> None:
        file = io.BytesIO()
        pickler = pickle.Pickler(file, protocol=5)
        pickler.dump(list(models))
        # The memo knows all that was stored but numbers; a hook that pickle asks about each object triples
        # what a forest takes.
        memo = pickler.memo.copy()
        self.layouts = layouts(stored for _, stored in memo.values() if isinstance(stored, set))
        pickler.dump(whole)
        pickler.dump([(one.members, one.order) for one in self.layouts.values() if one.moved])
        self.payload = file.getvalue()


def dump(obj: Any) -> bytes:
    """The payload of one object, which is its own only model; its live sets stay as they are."""
    return Dump(obj, [obj]).payload


def plain(model: Any) -> bytes:
    """One model as `pickle.load` takes it, for a person's notebook; nothing of ours reads it."""
    return pickle.dumps(model, protocol=5)


def refill_sets(models: Iterable[Any]) -> None:
    """Fill the sets of some models again, as storing them does."""
    lay_out(Dump(None, models).layouts)
