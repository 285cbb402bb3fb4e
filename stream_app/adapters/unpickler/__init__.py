"""The only door for pickles: what is listed, twice.

A payload is loaded first with stand-ins that do nothing (`rehearsal`). So what it names, calls, makes and
changes is checked before anything of it is done. Pickle's instructions have no branches: what passes in the
rehearsal happens in the same way afterwards. Both times the C unpickler runs.

A payload is three pickles with one memo (`pickled`): the last one says which sets are filled again in which
order. `set` itself fills them: that calls nothing of a payload but what loading a set calls, its members'
hashes.

This is the second barrier. The first is the signature: who holds a signing key can still store a model that
does harm when it predicts.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from stream_app.adapters.unpickler.names import AllowList
from stream_app.adapters.unpickler.rehearsal import StandIns

__all__ = ["unpickle"]
STRANGE = (TypeError, AttributeError, ValueError, LookupError)  # of a stand-in in a place where none belongs


class AllowedUnpickler(pickle.Unpickler):
    """Rebuilds what models and states are made of; `names` gives each name's object, or its stand-in."""

    def __init__(self, payload: bytes, names: AllowList, stand_ins: StandIns | None = None) -> None:
        super().__init__(io.BytesIO(payload))
        self.names, self.stand_ins = names, stand_ins
        self.sets: dict[int, set[Any]] = {}

    def persistent_load(self, stored: Any) -> set[Any]:
        """A set as payloads had it before ADR 19; where it was shared it is shared again."""
        number, members = stored
        return self.sets.setdefault(number, set(members))

    def find_class(self, module: str, name: str) -> Any:
        if self.stand_ins is not None:
            return self.stand_ins.find(module, name)
        if (module, name) == ("builtins", "getattr"):
            return self.names.bound_method
        return self.names.find(module, name)

    def whole(self) -> tuple[Any, list[tuple[set[Any], list[Any]]]]:
        """What the payload holds, and the sets to fill again, each with its members in order."""
        models = self.load()
        try:
            whole = self.load()
        except EOFError:  # one pickle, as they were before ADR 19
            return models, []
        return whole, checked(self.load())


def checked(moved: Any) -> list[tuple[set[Any], list[Any]]]:
    """Sets and lists, as the third pickle must hold them; a stand-in of a set's subclass is a set, too."""
    if type(moved) is not list:
        raise pickle.UnpicklingError("its last part is not a list of sets")
    for pair in moved:
        if type(pair) is not tuple or len(pair) != 2 or not is_set(pair[0]) or type(pair[1]) is not list:
            raise pickle.UnpicklingError("its last part fills an object that is not a set")
    return moved


def is_set(found: Any) -> bool:
    """Whether an object is a set, or a set's stand-in."""
    real = getattr(type(found), "real", None)
    return isinstance(found, set) or (isinstance(real, type) and issubclass(real, set))


def unpickle(payload: bytes, own_modules: tuple[str, ...]) -> Any:
    """What a payload holds, its sets laid out as the live ones are that were filled again.

    Raises:
        UnpicklingError: it names or does what no snapshot needs; use an older one.
    """
    names = AllowList(own_modules)
    try:
        AllowedUnpickler(payload, names, StandIns(names)).whole()
    except STRANGE as error:
        raise pickle.UnpicklingError(f"it does what no snapshot needs: {error}") from error
    whole, moved = AllowedUnpickler(payload, names).whole()
    for members, order in moved:
        set.clear(members)
        set.update(members, order)
    return whole
