"""Where a factory is defined."""

from __future__ import annotations

from functools import partial
from typing import Any


def home_of(factory: Any) -> str:
    """The module that defines a factory: a function, a class, a method, an object, or a partial of one."""
    while isinstance(factory, partial):
        factory = factory.func
    module = getattr(factory, "__module__", None) or type(factory).__module__
    return str(module)
