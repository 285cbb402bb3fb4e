"""The only door for pickles: what is listed, twice.

A payload is loaded first with stand-ins that do nothing (`rehearsal`). So what it names, calls, makes and
changes is checked before anything of it is done. Pickle's instructions have no branches: what passes in the
rehearsal happens in the same way afterwards. Both times the C unpickler runs.

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
        """The set that `persistent_id` took apart; where it was shared it is shared again."""
        number, members = stored
        return self.sets.setdefault(number, set(members))

    def find_class(self, module: str, name: str) -> Any:
        if self.stand_ins is not None:
            return self.stand_ins.find(module, name)
        if (module, name) == ("builtins", "getattr"):
            return self.names.bound_method
        return self.names.find(module, name)


def unpickle(payload: bytes, own_modules: tuple[str, ...]) -> Any:
    """What a payload holds.

    Raises:
        UnpicklingError: it names or does what no snapshot needs; use an older one.
    """
    names = AllowList(own_modules)
    try:
        AllowedUnpickler(payload, names, StandIns(names)).load()
    except STRANGE as error:
        raise pickle.UnpicklingError(f"it does what no snapshot needs: {error}") from error
    return AllowedUnpickler(payload, names).load()
