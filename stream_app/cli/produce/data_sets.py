"""Data sets that River brings along, as rows of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stream_app.errors import UsageError

LABEL = "label"  # the column that holds it


def data_set(name: str) -> Iterator[dict[str, Any]]:
    """The rows of `river.datasets.<name>`, the label in a column of its own.

    Raises:
        UsageError: there is no such data set here.
    """
    from river import datasets

    kind = getattr(datasets, name, None)
    known = [one for one in vars(datasets).values() if isinstance(one, type) and is_here(one)]
    if kind not in known:
        names = ", ".join(sorted(one.__name__ for one in known))
        raise UsageError(f"River has no data set {name} on this machine", f"Choose one of {names}")
    for x, y in kind():
        yield {**{str(column): plain(value) for column, value in x.items()}, LABEL: plain(y)}


def is_here(kind: Any) -> bool:
    """Whether a data set need not be downloaded."""
    from river.datasets import base

    if not issubclass(kind, base.FileDataset):
        return False
    if issubclass(kind, base.RemoteDataset):
        return bool(kind().is_downloaded)
    return True


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value.item() if hasattr(value, "item") else value
