"""Streams that know nothing of each other: two processes play them where there are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

from tests.lengths import FORM

Map = Callable[..., Iterable[Any]]


@contextmanager
def spread() -> Iterator[Map]:
    """A `map`: in this process where starting two others would take as long as what they play."""
    if FORM == "test":
        yield map
        return
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=10)
