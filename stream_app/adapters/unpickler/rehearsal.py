"""Stand-ins for everything that a payload names: they check what it does, and do nothing.

    a class of a model or a state   is made empty, given its items, then its state, once; it is never called
    what `CALLS` lists              is called, with arguments that its check allows
    any other function or type      is held as a value
    a class or function itself      never gets a state: that would change it for the whole process

Nothing else passes.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable
from enum import Enum
from pickle import UnpicklingError
from typing import Any, NoReturn

import msgspec
import numpy as np
from numpy.random import BitGenerator, SeedSequence

from stream_app.adapters.unpickler.names import AllowList

Check = Callable[[tuple[Any, ...]], bool]
CONTAINERS = (dict, list, set, frozenset, deque)
SIMPLE = (type(None), bool, int, float, str, bytes)
DTYPE = re.compile(r"[biufc]\d+|[SU]\d+|O8")
# Made empty, besides the classes of River, of the state and of the definition.
MADE = {"builtins.object", "collections.ChainMap", "statistics.NormalDist"}


def refuse(what: str) -> NoReturn:
    """Stop the rehearsal."""
    raise UnpicklingError(f"{what}: it is not on the allow-list of snapshots")


class Kind(type):
    """The stand-in of a class; its instances are the stand-ins of that class's instances."""

    name: str
    real: Any
    call: Check | None
    made: bool
    shared: bool  # a call may give an object that others hold too

    def __call__(cls, *args: Any) -> Any:
        if cls.call is None or not cls.call(args):
            refuse(f"{cls.name} is called with {len(args)} arguments")
        return Instance.of(cls, args, shared=cls.shared)

    def __setattr__(cls, name: str, value: Any) -> None:
        refuse(f"{name} of the class {cls.name} is changed")

    def changed(cls) -> NoReturn:
        """Refuse a change: pickle asks for this method before it sets attributes."""
        refuse(f"the class {cls.name} is changed")

    __setstate__ = property(changed)


class Instance:
    """The stand-in of an instance, made by `cls.__new__` or by a call with these `args`."""

    __slots__ = ("args", "settled")
    args: tuple[Any, ...]
    settled: bool

    @staticmethod
    def of(kind: Any, args: tuple[Any, ...], *, shared: bool) -> Any:
        made: Any = object.__new__(kind)
        made.args, made.settled = args, shared
        return made

    def __new__(cls, *args: Any) -> Any:
        kind: Any = cls
        return Instance.of(kind, args, shared=False) if kind.made else refuse(f"{kind.name} is made")

    def __setstate__(self, state: Any) -> None:
        kind: Any = type(self)
        if self.settled:
            refuse(f"an instance of {kind.name} gets a second state, or is shared")
        check = STATES.get(kind.name)
        slots = state[1] if type(state) is tuple and len(state) == 2 and type(state[1]) is dict else ()
        if any(str(name).startswith("__") for name in slots) or (check and not check(self, state)):
            refuse(f"an instance of {kind.name} gets a state that it cannot have")
        self.settled = True

    def filled(self, *_: Any) -> None:
        """Items go into containers that have no state yet."""
        kind: Any = type(self)
        if self.settled or not (isinstance(kind.real, type) and issubclass(kind.real, CONTAINERS)):
            refuse(f"an instance of {kind.name} gets items")

    append = extend = add = __setitem__ = filled


class Function:
    """The stand-in of a function: a value, or what may be called; `result` names what it gives."""

    def __init__(self, name: str, call: Check | None, result: Any) -> None:
        self.name, self.call, self.result = name, call, result

    def __call__(self, *args: Any) -> Any:
        if self.call is None or not self.call(args):
            refuse(f"{self.name} is called with {len(args)} arguments")
        return Instance.of(self.result, args, shared=False)

    def changed(self) -> NoReturn:
        """Refuse a change: pickle asks for a method that sets the state, before it sets attributes."""
        refuse(f"{self.name} is changed")

    __setstate__ = property(changed)


class GetAttribute:
    """The stand-in of getattr, which pickle needs for bound methods; they are values."""

    name = "getattr"

    def __init__(self, names: AllowList) -> None:
        self.names = names

    def __call__(self, owner: Any, name: str) -> Function:
        if type(name) is not str or not isinstance(owner, Instance | Kind):
            refuse("getattr is called")
        kind: Any = owner if isinstance(owner, Kind) else type(owner)
        self.names.attribute(kind.real, name, of_class=kind is owner)
        return Function(f"{kind.name}.{name}", None, None)

    __setstate__ = property(Function.changed)


def kind(name: str, real: Any, call: Check | None = None, *, made: bool = False, shared: bool = False) -> Any:
    """Make the stand-in of a class."""
    own = {"name": name, "real": real, "call": call, "made": made, "shared": shared, "__slots__": ()}
    return type.__new__(Kind, name.rpartition(".")[2], (Instance,), own)


def simple(value: Any) -> bool:
    """Whether a value is None, a number, a text, or a tuple of such."""
    return type(value) in SIMPLE or (type(value) is tuple and all(map(simple, value)))


def simples(args: tuple[Any, ...]) -> bool:
    """Whether all arguments are simple values."""
    return simple(args)


def nothing(args: tuple[Any, ...]) -> bool:
    """Whether there is no argument."""
    return not args


def contents(args: tuple[Any, ...]) -> bool:
    """Whether a subclass of a container can be made from these: simple values and plain containers."""
    return all(simple(one) or type(one) in (dict, list, tuple) for one in args)


def stands_for(value: Any, *reals: Any) -> bool:
    """Whether a value is the stand-in of one of these classes."""
    return isinstance(value, Kind) and value.real in reals


def instance_of(value: Any, real: Any) -> bool:
    """Whether a value is the stand-in of an instance of exactly this class."""
    return isinstance(value, Instance) and bool(value.__class__.real is real)  # type: ignore[attr-defined]


def number_type(value: Any) -> bool:
    """Whether a value is a dtype whose elements are not objects."""
    return instance_of(value, np.dtype) and value.args[0] != "O8"


def factory(value: Any) -> bool:
    """What `partial` and `defaultdict` may hold: a class, a function that is a value, or an instance."""
    return isinstance(value, Kind | Function | Instance)


def bit_generator(args: tuple[Any, ...]) -> bool:
    """Whether it is a bit generator: numpy would call any class here, and in the next two any function."""
    (one,) = args
    return (isinstance(one, Kind) and issubclass(one.real, BitGenerator)) or type(one) is str


CALLS: dict[str, Check] = {
    "builtins.complex": simples,
    "builtins.iter": lambda args: len(args) == 1 and type(args[0]) in (list, tuple, dict, str),
    "builtins.range": simples,
    "builtins.slice": simples,
    "collections.Counter": lambda args: len(args) == 1 and type(args[0]) is dict,
    "collections.OrderedDict": nothing,
    "collections.defaultdict": lambda args: len(args) == 1 and (args[0] is None or factory(args[0])),
    "collections.deque": simples,
    "datetime.date": simples,
    "datetime.datetime": lambda args: simple(args[0]) and all(isinstance(one, Instance) for one in args[1:]),
    "datetime.timedelta": simples,
    "datetime.timezone": lambda args: all(isinstance(one, Instance) or type(one) is str for one in args),
    "functools.partial": lambda args: len(args) == 1 and factory(args[0]),
    "itertools.count": simples,
    "numpy._core.multiarray._reconstruct": lambda a: stands_for(a[0], np.ndarray) and simple(a[1:]),
    "numpy._core.multiarray.scalar": lambda a: len(a) == 2 and number_type(a[0]) and type(a[1]) is bytes,
    "numpy._core.numeric._frombuffer": lambda args: (
        type(args[0]) in (bytes, bytearray) and number_type(args[1]) and simple(args[2:])
    ),
    "numpy.dtype": lambda args: simple(args) and type(args[0]) is str and bool(DTYPE.fullmatch(args[0])),
    "numpy.random._pickle.__bit_generator_ctor": bit_generator,
    "numpy.random._pickle.__generator_ctor": lambda a: len(a) == 1 and instance_of(a[0], BitGenerator),
    "numpy.random._pickle.__randomstate_ctor": lambda a: len(a) == 1 and instance_of(a[0], BitGenerator),
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": lambda args: (
        stands_for(args[0], SeedSequence) and simple(args[1:])
    ),
    "operator.itemgetter": simples,
    "random.Random": nothing,
    "river._river_rust.vectordict.VectorDict": lambda args: type(args[0]) is dict,
}
# What a function of `CALLS` gives, where another check asks for it.
RESULTS = {"numpy.random._pickle.__bit_generator_ctor": BitGenerator, "builtins.iter": object}


def dtype_state(dtype: Instance, state: Any) -> bool:
    """Whether the state is numpy's own for this type: another could make it read numbers as addresses."""
    own = np.dtype(dtype.args[0]).__reduce__()[2]
    return type(state) is tuple and state[1] in ("<", ">", "|") and (own[0], own[2:]) == (state[0], state[2:])


STATES: dict[str, Callable[[Instance, Any], bool]] = {
    "functools.partial": lambda _, state: type(state) is tuple and factory(state[0]),
    "numpy.dtype": dtype_state,
    "numpy._core.multiarray._reconstruct": lambda _, state: (
        type(state) is tuple and len(state) == 5 and instance_of(state[2], np.dtype)
    ),
}


class StandIns:
    """The stand-ins of one payload, one for each name."""

    def __init__(self, names: AllowList) -> None:
        self.names = names
        self.found: dict[tuple[str, str], Any] = {}

    def find(self, module: str, name: str) -> Any:
        """Give the stand-in of a name.

        Raises:
            UnpicklingError: it is not allowed.
        """
        if (module, name) not in self.found:
            self.found[module, name] = self.stand_in(f"{module}.{name}", self.names.find(module, name))
        return self.found[module, name]

    def stand_in(self, name: str, real: Any) -> Any:
        if name == "builtins.getattr":
            return GetAttribute(self.names)
        call = CALLS.get(name)
        if not isinstance(real, type):
            return Function(name, call, kind(name, RESULTS.get(name)))
        ours = self.names.is_open_class(real) or name.startswith(("drift.", "topics."))
        if ours and call is None:
            call = called_class(real)
        made = name in MADE or (ours and not issubclass(real, type))  # an instance of that would be a class
        return kind(name, real, call, made=made, shared=issubclass(real, Enum))


def called_class(real: type) -> Check | None:
    """How pickle calls a class of a model or a state: enums, structs, subclasses of containers, and what says
    so by a `__reduce__` of its own outside River.
    """
    if issubclass(real, Enum):
        return simples
    if issubclass(real, msgspec.Struct) or reduces_itself(real):
        return lambda _: True
    if issubclass(real, defaultdict):
        return CALLS["collections.defaultdict"]
    return contents if issubclass(real, CONTAINERS) else None


def reduces_itself(real: type) -> bool:
    """Whether the class, or one outside River that it inherits from, says how it is made again."""
    ours = [vars(base) for base in real.__mro__[:-1] if not base.__module__.startswith("river.")]
    return any({"__reduce__", "__reduce_ex__"} & names.keys() for names in ours) and (
        not issubclass(real, CONTAINERS)
    )
