"""The id of a committed batch, `<epoch>:<seq>`; in Redis, `:<life>` of its topics follows.

Ids of one life compare as their batches were committed. Records of the view call them stamps.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PUBLISHED = re.compile(r"([0-9]{1,15}):([0-9]{1,15})(?::([0-9a-f]{1,32}))?")


class BatchId(NamedTuple):
    """Epoch and number of a batch within one journal."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    def of_life(self, life: str) -> str:
        """The text in Redis; a life without a name adds nothing."""
        return f"{self}:{life}" if life else str(self)


def parse(text: str) -> tuple[BatchId, str] | None:
    """The batch and the life of a text in Redis; None for any other text."""
    found = PUBLISHED.fullmatch(text)
    return (BatchId(int(found[1]), int(found[2])), found[3] or "") if found else None
