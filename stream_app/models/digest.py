"""A digest of what an object is, the same in every process: pickle's bytes are never canonical (shared
strings).
"""

from __future__ import annotations

import copyreg
from collections import OrderedDict, defaultdict, deque
from hashlib import blake2b
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from river import proba

ATOMS = (type(None), bool, int, str, bytes, complex)


def structural_digest(obj: Any) -> str:
    """Hex digest over a canonical walk: types, values by bits, dictionaries in order, sets free of order.

    Shared references count by the place of their first visit, so that aliasing shows too; that of tuples does
    not. Equal behaviour in two processes gives equal digests, and so does a pickle round trip. The dice of
    River's distributions are left out: they serve `sample()` alone, which no model calls, and trees and naive
    Bayes make them without a seed.
    """
    return structure(obj)[0]


def structure(obj: Any) -> tuple[str, set[Any]]:
    """The structural digest of an object, and the classes and functions that it is made of."""
    walk = Walk()
    walk.visit(obj)
    return walk.hash.hexdigest(), walk.made_of


class Walk:
    """Iterative over an explicit stack: trees of River nest deeper than Python recurses."""

    def __init__(self) -> None:
        self.hash = blake2b(digest_size=16)
        self.seen: dict[int, int] = {}
        self.made_of: set[Any] = set()
        self.keep: list[Any] = []  # reduce states must live as long as their ids are remembered

    def visit(self, obj: Any) -> None:
        stack: list[Any] = [obj]
        while stack:
            item = stack.pop()
            children = self.describe(item)
            if children:
                stack.extend(reversed(children))

    def update(self, *parts: Any) -> None:
        for part in parts:
            text = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
            self.hash.update(f"{len(text)}:".encode())
            self.hash.update(text)

    def describe(self, obj: Any) -> list[Any] | None:
        """Hash one object's own part and give its children in order."""
        kind = type(obj)
        if kind is float:
            self.update("float", obj.hex())
            return None
        if kind in ATOMS:
            self.update(kind.__name__, obj if kind is bytes else repr(obj))
            return None
        if isinstance(obj, type):
            self.made_of.add(obj)
            self.update("type", obj.__module__, obj.__qualname__)
            return None
        if isinstance(obj, (BuiltinFunctionType, ModuleType)):
            self.update("named", getattr(obj, "__module__", ""), obj.__name__)
            return None
        if kind is tuple:  # it never changes, so one or two equal ones make no difference
            self.update("tuple", len(obj))
            return list(obj)
        if id(obj) in self.seen:
            self.update("again", self.seen[id(obj)])
            return None
        self.seen[id(obj)] = len(self.seen)
        self.keep.append(obj)
        return self.compound(obj, kind)

    def compound(self, obj: Any, kind: type) -> list[Any]:
        if kind is list:
            self.update("list", len(obj))
            return list(obj)
        if kind in (dict, OrderedDict):
            self.update(kind.__name__, len(obj))
            return [part for pair in obj.items() for part in pair]
        if kind in (set, frozenset):
            self.update(kind.__name__, *sorted(structural_digest(member) for member in obj))
            return []
        if kind is deque:
            self.update("deque", obj.maxlen, len(obj))
            return list(obj)
        if kind is FunctionType:
            self.made_of.add(obj)
            self.update("function", obj.__module__, obj.__qualname__)
            cells = [cell.cell_contents for cell in obj.__closure__ or ()]
            return [obj.__code__, obj.__defaults__, obj.__kwdefaults__, cells]
        if kind is MethodType:
            self.update("method", obj.__func__.__qualname__)
            return [obj.__self__]
        if kind is CodeType:
            self.update("code", obj.co_code, obj.co_names, obj.co_varnames)
            return list(obj.co_consts)
        if isinstance(obj, np.ndarray):
            self.update("array", obj.dtype.str, obj.shape)
            if obj.dtype.hasobject:
                return list(obj.flat)
            self.update(np.ascontiguousarray(obj).tobytes())
            return []
        if isinstance(obj, np.generic):
            self.update("scalar", obj.dtype.str, obj.tobytes())
            return []
        return self.reduced(obj, kind)

    def reduced(self, obj: Any, kind: type) -> list[Any]:
        """Anything else by what it would pickle: constructor, arguments, state, items."""
        self.made_of.add(kind)
        self.update("object", kind.__module__, kind.__qualname__)
        if kind is defaultdict:
            return [obj.default_factory, *(part for pair in obj.items() for part in pair)]
        reducer = copyreg.dispatch_table.get(kind)
        parts = reducer(obj) if reducer else obj.__reduce_ex__(4)
        if isinstance(parts, str):
            self.update("global", parts)
            return []
        function, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        if isinstance(obj, proba.base.Distribution) and isinstance(state, dict) and "_rng" in state:
            state = {name: part for name, part in state.items() if name != "_rng"}
        children: list[Any] = [function, arguments]
        if isinstance(state, dict):
            children.append(dict(sorted(state.items(), key=lambda pair: str(pair[0]))))
        elif isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            children += [state[0], dict(sorted(state[1].items(), key=lambda pair: str(pair[0])))]
        else:
            children.append(state)
        if items is not None:
            children.append(list(items))
        if pairs is not None:
            children.append([part for pair in pairs for part in pair])
        self.keep.append(children)
        return children
