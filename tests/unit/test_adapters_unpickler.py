"""A search for gadgets: everything that a payload can name is tried with everything that a payload can do.

It loads with the stand-ins alone, so that nothing found is run. What it may find is listed with the reason.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import io
import pickle
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec
import pytest
import river
from river import linear_model

import stream_app.state
from stream_app.adapters.pickled import dump
from stream_app.adapters.unpickler import AllowedUnpickler, names, rehearsal, unpickle
from stream_app.adapters.unpickler.names import AllowList, table
from stream_app.adapters.unpickler.rehearsal import StandIns
from stream_app.application import Application

# Called while a payload is loaded, and why that does no harm with arguments that pass.
CALLED = {
    "builtins.complex": "a number of numbers",
    "builtins.getattr": "gives a bound method of an allowed class, which is not called",
    "builtins.iter": "an iterator over a plain container",
    "builtins.range": "numbers",
    "builtins.slice": "numbers",
    "collections.Counter": "a plain dict",
    "collections.OrderedDict": "empty",
    "collections.defaultdict": "holds its factory and does not call it",
    "collections.deque": "numbers and texts",
    "datetime.date": "a date",
    "datetime.datetime": "a date",
    "datetime.timedelta": "numbers",
    "datetime.timezone": "an offset and a name",
    "functools.partial": "holds its function and does not call it",
    "itertools.count": "a number",
    "numpy._core.multiarray._reconstruct": "an empty array",
    "numpy._core.multiarray.scalar": "bytes as a number",
    "numpy._core.numeric._frombuffer": "bytes as numbers",
    "numpy.dtype": "one of numpy's own types of numbers and texts",
    "numpy.random._pickle.__bit_generator_ctor": "one of numpy's own classes",
    "numpy.random._pickle.__generator_ctor": "what the one before gave",
    "numpy.random._pickle.__randomstate_ctor": "what the one before gave",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": "numbers",
    "operator.itemgetter": "holds keys",
    "random.Random": "dice, whose state comes afterwards",
    "river._river_rust.vectordict.VectorDict": "a dict of numbers",
}
# Held by a model and never called while it is loaded: types, and functions of what they are given alone.
VALUES = """
builtins: bool bytes dict float frozenset int list object set str tuple
collections: ChainMap
copy: deepcopy
math: exp log log1p log2 log10 sqrt tanh
numpy: array bool float32 float64 int32 int64 ndarray ones zeros
numpy.random._mt19937: MT19937
numpy.random._pcg64: PCG64 PCG64DXSM
numpy.random._philox: Philox
numpy.random._sfc64: SFC64
numpy.random.bit_generator: SeedSequence
river._river_rust.vectordict: euclidean_distance_dict euclidean_distance_tuple
statistics: NormalDist mean median
"""
HOLDERS = {"collections.defaultdict", "functools.partial"}
# Run by the interpreter when an object is made, gets its state, or is a key: with a self of the attacker's.
IMPLICIT = {
    "river.preprocessing.scale:StandardScaler.__setstate__": "fills in counts that old ones lack",
    "river.preprocessing.scale:MinMaxScaler.__setstate__": "the same",
    "river.preprocessing.scale:MaxAbsScaler.__setstate__": "the same",
    "river.utils.rolling:BaseRolling.__getattr__": "asked for __setstate__ once, while nothing is inside",
    "river.time_series.holt_winters:AdditiveLevel.__init__": "an empty deque and its numbers",
    "river.time_series.holt_winters:AdditiveSeason.__init__": "the same",
    "river.time_series.holt_winters:MultiplicativeLevel.__init__": "the same",
    "river.time_series.holt_winters:MultiplicativeSeason.__init__": "the same",
    "river.time_series.holt_winters:Trend.__init__": "the same",
    "enum:Enum.__init__": "does nothing",
    "enum:Enum.__hash__": "of its own name",
    "enum:Enum.__new__": "finds a member",
    "statistics:NormalDist.__eq__": "compares two numbers",
    "statistics:NormalDist.__hash__": "of two numbers",
    "statistics:NormalDist.__setstate__": "two values",
    "stream_app.state.histogram:Histogram.__post_init__": "fills in counts",
    "stream_app.state.ids:Ids.__init__": "decodes msgpack",
}
ASKED = "__new__ __setstate__ __setattr__ __getattr__ __getattribute__ __hash__ __eq__ __del__"
WORDS = """
getattr setattr delattr eval exec compile open vars globals __import__ import_module system Popen run loads
attrgetter methodcaller
"""
REACHES_OUT = set(WORDS.split())


class Own:
    """A class of a definition's own module."""

    def method(self) -> None:
        """Bound, a model may hold it."""

    @classmethod
    def made(cls) -> Own:
        """A model may hold it too."""
        return cls()


def own(path: str) -> str:
    """A function of a definition's own module, which no payload may call."""
    return path


VALUED = {f"{module}.{name}" for module, listed in table(VALUES).items() for name in listed}
OPEN = AllowList((__name__, "functools", "os"))


def names_in(module: str) -> Iterator[tuple[str, str]]:
    """Everything that a name in a module leads to, through classes too."""
    pending = [(name, value) for name, value in vars(importlib.import_module(module)).items()]
    seen: set[int] = set()
    while pending:
        name, value = pending.pop()
        yield module, name
        if isinstance(value, type) and id(value) not in seen and name.count(".") < 2:
            seen.add(id(value))
            pending += [(f"{name}.{inner}", found) for inner, found in vars(value).items()]


@functools.cache
def modules() -> list[str]:
    """Every module that may be open, and those with listed names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [module.name for module in pkgutil.walk_packages(river.__path__, "river.")]
    found += [f"river._river_rust.{name}" for name in ("stats", "drift", "tree", "vectordict")]
    found += [module.name for module in pkgutil.iter_modules(stream_app.state.__path__, "stream_app.state.")]
    opened = [module for module in found if "test_" not in module and OPEN.is_open(module)]
    return [*opened, "builtins", "operator", "os", "pickle", "functools", *names.NAMES, __name__]


def handed_out() -> Iterator[tuple[str, str, Any]]:
    """What the allow-list lets through, with its name."""
    for module in modules():
        for module_, name in names_in(module):
            try:
                yield module_, name, OPEN.find(module_, name)
            except pickle.UnpicklingError:
                continue


def text(value: str) -> bytes:
    """A string's instructions."""
    encoded = value.encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded


def named(module: str, name: str) -> bytes:
    """A global's."""
    return text(module) + text(name) + b"\x93"


LOGISTIC = named("river.linear_model.log_reg", "LogisticRegression")
INSTANCE = LOGISTIC + b")\x81"
HELD = named("copy", "deepcopy")
SLOTS = b"N}" + text("x") + b"K\x01s\x86b"
DICT = b"}" + text("x") + b"K\x01sb"
SECOND = DICT + DICT


def passes(instructions: bytes) -> bool:
    """Whether a payload would be loaded."""
    try:
        AllowedUnpickler(b"\x80\x04" + instructions + b".", OPEN, StandIns(OPEN)).load()
    except (pickle.UnpicklingError, TypeError, AttributeError, ValueError, LookupError):
        return False
    return True


HOSTILE = {
    "nothing": b")",
    "a text": text("x") + b"\x85",
    "texts": text("x") + text("y") + b"\x86",
    "an instance and a text": INSTANCE + text("x") + b"\x86",
    "an instance and texts": INSTANCE + text("x") + text("y") + b"\x87",
    "a function": HELD + b"\x85",
    "a class": LOGISTIC + b"\x85",
    "a function and texts": HELD + text("x") + text("y") + b"\x87",
    "a plain dict": b"}\x85",
}


def gadgets() -> set[str]:
    """All that a payload could do and that is not listed above."""
    found: set[str] = set()
    classes: dict[type, str] = {}
    for module, name, real in handed_out():
        label, loads = f"{module}.{name}", named(module, name)
        found |= {f"{label} is changed" for state in (SLOTS, DICT) if passes(loads + state)}
        called = {how for how, args in HOSTILE.items() if passes(loads + args + b"R")}
        if isinstance(real, type):
            classes[real] = label
            ours = real.__module__.startswith(("river.", "stream_app.state.", "drift.", "topics.", __name__))
            if not (ours or label in CALLED or label in VALUED):
                found.add(f"{label} is handed out")
            found |= {f"{label} is called with {how}" for how in called if not (ours or label in CALLED)}
            if passes(loads + b")\x81" + SECOND):
                found.add(f"{label} gets two states")
        else:
            found |= {f"{label} is called with {how}" for how in called if label not in CALLED}
            found |= held(label, real)
        holds = label in HOLDERS or real.__module__.startswith("stream_app.state.")
        if not holds and called & {"a function", "a class", "a function and texts"}:
            found.add(f"{label} takes a function")
    for cls, label in classes.items():
        found |= attributes(label, cls) | implicit(label, cls)
    return found


def held(label: str, real: Any) -> set[str]:
    """A function that a model may hold: listed above, or one whose code names nothing by a text."""
    if label in CALLED or label in VALUED or label.startswith(__name__):
        return set()
    if not isinstance(real, FunctionType):
        return {f"{label} is handed out"}
    return {f"{label} reaches out by {name}" for name in REACHES_OUT & {*real.__code__.co_names}}


def attributes(label: str, cls: type) -> set[str]:
    """What getattr gives of a class and of its instances: bound methods, which are not called."""
    found = set()
    for name in dir(cls):
        for of_class in (True, False):
            try:
                OPEN.attribute(cls, name, of_class=of_class)
            except pickle.UnpicklingError:
                continue
            raw = inspect.getattr_static(cls, name)
            unbound = isinstance(raw, FunctionType) and of_class
            if unbound or name.startswith("__") or not (inspect.isroutine(raw) or isinstance(cls, type(Own))):
                found.add(f"{label}.{name} is reached")
    return found


def implicit(label: str, cls: type) -> set[str]:
    """Methods in Python that run with an attacker's self, although nothing calls them."""
    if not passes(named(cls.__module__, cls.__qualname__) + b")\x81") or cls.__module__ == __name__:
        return set()
    called = passes(named(cls.__module__, cls.__qualname__) + b"K\x01\x85R")
    called |= issubclass(cls, msgspec.Struct)
    asked = [*ASKED.split(), *(("__init__", "__post_init__") if called else ())]
    as_a_key: Any = cls.__hash__
    if as_a_key is None:
        asked.remove("__eq__")
    methods: list[Any] = [getattr(cls, name, None) for name in asked]
    return {
        f"{method.__module__}:{method.__qualname__}"
        for method in methods
        if isinstance(method, FunctionType) and method.__code__.co_filename != "<string>"  # a dataclass's own
    } - IMPLICIT.keys()


def test_a_payload_reaches_no_gadget() -> None:
    """Only classes and listed functions are named, only listed ones are called, and none is changed."""
    assert gadgets() == set()


def test_the_search_tries_enough() -> None:
    """Hundreds of classes are tried, and each listed call has its reason."""
    classes = {real for _, _, real in handed_out() if isinstance(real, type)}
    assert len(classes) > 300
    assert Own in classes
    assert rehearsal.CALLS.keys() | {"builtins.getattr"} == CALLED.keys()


def lax(*_: Any, **__: Any) -> bool:
    """A check that is taken out."""
    return True


def name_also(module: str, *more: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Put more names on the list."""
    listed = names.NAMES.get(module, frozenset()) | {*more}
    return lambda patch: patch.setitem(names.NAMES, module, listed)


def call_also(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Let one more name be called, or one with any argument."""
    return lambda patch: patch.setitem(rehearsal.CALLS, name, lax)


BREACHES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "a function that takes the name of an attribute": (
        name_also("river.cluster.textclust", "TextClust.Distances.dist"),
        "reaches out by getattr",
    ),
    "attrgetter": (name_also("operator", "attrgetter"), "operator.attrgetter"),
    "a function that is called": (call_also("copy.deepcopy"), "copy.deepcopy is called"),
    "a class of River that is called": (
        call_also("river.linear_model.log_reg.LogisticRegression"),
        "LogisticRegression takes a function",
    ),
    "a constructor that calls what it is given": (
        call_also("numpy.random._pickle.__generator_ctor"),
        "__generator_ctor takes a function",
    ),
    "a class that is changed": (
        lambda patch: patch.setattr(rehearsal.Kind, "__setstate__", property(lambda _: lax)),
        "LogisticRegression is changed",
    ),
    "a function that is changed": (
        lambda patch: patch.setattr(rehearsal.Function, "__setstate__", lax),
        "copy.deepcopy is changed",
    ),
    "two states": (lambda patch: patch.setattr(rehearsal.Instance, "__setstate__", lax), "gets two states"),
    "unbound methods": (
        lambda patch: patch.setattr(AllowList, "attribute", lax),
        "LogisticRegression.learn_one is reached",
    ),
    "an own module of the standard library": (
        lambda patch: patch.setattr(AllowList, "is_open", lambda _, module: module == "functools"),
        "functools",
    ),
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES.keys())
def test_the_search_finds_what_is_let_in_again(
    breach: tuple[Callable[[pytest.MonkeyPatch], None], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check that is taken out shows in the search."""
    take_out, found = breach
    some = ("river.cluster.textclust", "river.linear_model.log_reg", "functools", "copy", "operator")
    places = [*some, "numpy.random._pickle"]
    take_out(monkeypatch)
    monkeypatch.setattr(f"{__name__}.modules", lambda: places)
    assert [gadget for gadget in gadgets() if found in gadget], found


def test_what_a_definition_defines_is_a_value_and_not_called() -> None:
    """Its functions and methods are loaded; a payload that calls one is refused, and nothing runs."""
    held = [own, Own.method, Own().method, Own.made]
    again = unpickle(dump(held), (__name__,))
    assert [function.__name__ for function in again] == ["own", "method", "method", "made"]
    payload = b"\x80\x04" + named(__name__, "own") + text("x") + b"\x85R."
    with pytest.raises(pickle.UnpicklingError, match="is called"):
        unpickle(payload, (__name__,))


@pytest.mark.parametrize("last", [{}, [({1: 2}, [3])], [([1], [2])], [({1}, (2,))], [({1}, [2], 3)]])
def test_nothing_but_a_set_is_filled_again(last: Any) -> None:
    """Any other object would have its own methods called."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=5)
    parts: list[Any] = [[], "whole", last]
    for part in parts:
        pickler.dump(part)
    with pytest.raises(pickle.UnpicklingError, match="its last part"):
        unpickle(file.getvalue(), ())


def test_no_array_is_written_to_a_file(tmp_path: Path) -> None:
    """A method of River's that calls what its self names, with a wrapper around an array for its self."""
    target = tmp_path / "written"
    distances = named("builtins", "getattr") + named("river.cluster.textclust", "TextClust.Distances")
    function = distances + text("dist") + b"\x86R"
    dtype = named("numpy", "dtype") + text("u1") + b"\x89\x88\x87R"
    array = (
        named("numpy._core.numeric", "_frombuffer") + b"(C\x02ok" + dtype + b"K\x02\x85" + text("C") + b"tR"
    )
    wrapped = named("river.utils.rolling", "BaseRolling") + b")\x81}(" + text("obj") + array
    wrapped += text("type") + text("tofile") + b"ub"
    with pytest.raises(pickle.UnpicklingError, match="dist may not be reached"):
        unpickle(
            b"\x80\x04" + function + b"(" + wrapped + text(str(target)) + text("") + text("%s") + b"tR.", ()
        )
    assert unpickle(b"\x80\x04" + array + b".", ()).tolist() == [*b"ok"], "the rest of it is well-formed"
    assert not target.exists()


def test_a_class_stays_as_it_is() -> None:
    """A state for a class is refused before anything is done, by items, by slots and by name."""
    before = dict(vars(linear_model.LogisticRegression))
    for state in (SLOTS, DICT, text("x") + b"b"):
        with pytest.raises(pickle.UnpicklingError, match="changed"):
            unpickle(b"\x80\x04" + LOGISTIC + state + b".", ())
    assert dict(vars(linear_model.LogisticRegression)) == before


def test_a_dtype_has_the_state_that_numpy_gives() -> None:
    """Another one could let numbers be read as addresses."""
    dtype = named("numpy", "dtype") + text("O8") + b"\x89\x88\x87R"
    state = b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK%ctb"
    assert passes(dtype + state % 63)
    assert not passes(dtype + state % 0)


def test_a_partial_as_a_factory_opens_no_module_of_the_standard_library() -> None:
    """The definition's own module is that of the function inside."""
    app = Application(name="a", task="binary", champion=functools.partial(champion, l2=0.1))
    assert app.modules == (__name__,)
    assert AllowList(("functools", "os.path", "river.base", __name__)).own_modules == {__name__}


def champion(seed: int, l2: float) -> Any:
    """A factory with an argument of its own."""
    return linear_model.LogisticRegression(l2=l2)
