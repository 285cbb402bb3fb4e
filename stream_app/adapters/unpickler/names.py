"""What a payload may name. What may be done with it while a payload is loaded, `rehearsal` decides."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Collection
from enum import EnumType
from pickle import UnpicklingError
from random import Random
from types import FunctionType
from typing import Any

# Packages of River that models are made of, without those that open files or sockets (datasets, stream).
PACKAGES = """
_river_rust active anomaly bandit base cluster compose conf covariance drift dummy ensemble facto
feature_extraction feature_selection forest imblearn linear_model metrics misc model_selection multiclass
multioutput naive_bayes neighbors optim preprocessing proba reco rules sketch stats time_series tree utils
"""
RIVER = frozenset(PACKAGES.split())
# One line for a module: its classes, functions and types that something in a model or a state is.
LISTED = """
builtins: bool bytes complex dict float frozenset getattr int iter list object range set slice str tuple
collections: ChainMap Counter OrderedDict defaultdict deque
copy: deepcopy
datetime: date datetime timedelta timezone
drift.blend: Blend
drift.categories: Categories
drift.detector: Detector
drift.detectors: Detect
drift.losses: Loss
drift.mixture: Mixture
drift.monitors: Monitors Movement
drift.policy: Phase Policy
drift.presence: Presence
drift.rule: SwapPolicy
drift.sequential: Comparison Gambler
drift.sources: Doubt Runs Sources
functools: partial
itertools: count
math: exp log log1p log2 log10 sqrt tanh
numpy: array bool dtype float32 float64 int32 int64 ndarray ones zeros
numpy._core.multiarray: _reconstruct scalar
numpy._core.numeric: _frombuffer
numpy.random._mt19937: MT19937
numpy.random._pcg64: PCG64 PCG64DXSM
numpy.random._philox: Philox
numpy.random._pickle: __bit_generator_ctor __generator_ctor __randomstate_ctor
numpy.random._sfc64: SFC64
numpy.random.bit_generator: SeedSequence __pyx_unpickle_SeedSequence
operator: itemgetter
random: Random
statistics: NormalDist mean median
topics.envelope: Record
"""
# Functions of River that its models hold as values. None takes the name of an attribute.
FUNCTIONS = """
river._river_rust.vectordict: euclidean_distance_dict euclidean_distance_tuple
river.feature_extraction.vectorize: find_all_ngrams find_ngrams remove_stop_words strip_accents_unicode \
tokenize_using_regex_pattern
river.forest.online_extra_trees: ExtraTrees._detection_mode_all ExtraTrees._detection_mode_drop \
ExtraTrees._detection_mode_off
river.metrics.mutual_info: _average_arithmetic _average_geometric
river.naive_bayes.gaussian: GaussianNB._make_gaussian
river.tree.splitter.ebst_splitter: EBSTNode._update_estimator_multivariate \
EBSTNode._update_estimator_univariate
river.tree.splitter.nominal_splitter_reg: NominalSplitterReg._update_estimator_multivariate \
NominalSplitterReg._update_estimator_univariate
river.utils.math: _manhattan_distance minkowski_distance sigmoid
river.utils.norm: normalize_values_in_dict scale_values_in_dict
"""
NEVER_OWN = {*sys.stdlib_module_names, "numpy", "river", "stream_app", "topics", "drift"} - {"__main__"}


def table(text: str) -> dict[str, frozenset[str]]:
    """Read lines of a module and its names."""
    rows = (line.split(": ") for line in text.strip().splitlines())
    return {module: frozenset(names.split()) for module, names in rows}


NAMES = {**table(LISTED), **table(FUNCTIONS)}


class AllowList:
    """One definition's: `find` gives what a name refers to, or refuses it.

    Allowed are the names above; the classes that a package of `RIVER`, `stream_app.state` or one of the
    definition's `own_modules` defines itself; and the functions of own modules. What a module has only
    imported leads out of it.
    """

    def __init__(self, own_modules: Collection[str]) -> None:
        self.own_modules = {module for module in own_modules if module.partition(".")[0] not in NEVER_OWN}

    def find(self, module: str, name: str) -> Any:
        """The class, function or type.

        Raises:
            UnpicklingError: it is not allowed.
        """
        if name in NAMES.get(module, ()):
            listed: Any = importlib.import_module(module)
            for part in name.split("."):
                listed = getattr(listed, part)
            return listed
        if not self.is_open(module):
            raise UnpicklingError(f"{module}.{name} is not on the allow-list of snapshots")
        outer, *inner = name.split(".")
        found: Any = vars(importlib.import_module(module)).get(outer)
        for part in inner:
            found = vars(found).get(part) if self.is_open_class(found) else None
        own_function = isinstance(found, FunctionType) and found.__module__ in self.own_modules
        if self.is_open_class(found) or own_function:
            return found
        raise UnpicklingError(f"{module}.{name} is not on the allow-list of snapshots: not a part of a model")

    def is_open(self, module: str) -> bool:
        """Whether every class that this module defines is allowed."""
        root, _, rest = module.partition(".")
        parts = rest.split(".")
        if root == "river":
            return parts[0] in RIVER and not {"datasets", "envs"} & set(parts)
        return (root == "stream_app" and parts[0] == "state") or module in self.own_modules

    def is_open_class(self, found: Any) -> bool:
        """Whether an object is a class whose own module is open."""
        return isinstance(found, type) and self.is_open(found.__module__)

    def attribute(self, owner: type, name: str, *, of_class: bool) -> None:
        """Check what pickle asks getattr for: a method bound to an instance, a class method of an own class,
        `str.lower`, or (Python 3.11.0 to 3.11.3) a member of an enum.

        An unbound method would take any object for its self.

        Raises:
            UnpicklingError: it is something else.
        """
        if of_class:
            member = isinstance(owner, EnumType) and name in owner.__members__
            own = isinstance(vars(owner).get(name), classmethod) and owner.__module__ in self.own_modules
            allowed = member or own or (owner, name) == (str, "lower")
        else:
            method = isinstance(inspect.getattr_static(owner, name, None), FunctionType)
            allowed = (method and self.is_open(owner.__module__)) or owner is Random
        if allowed and not name.startswith("__"):
            return
        raise UnpicklingError(f"attribute {name} may not be reached from a snapshot")

    def bound_method(self, owner: Any, name: str) -> Any:
        """`getattr` of a payload that has been rehearsed."""
        of_class = isinstance(owner, type)
        self.attribute(owner if of_class else type(owner), name, of_class=of_class)
        return getattr(owner, name)
