"""The id of a committed batch, `<epoch>:<seq>`; in Redis, `:<life>` of its topics follows.

Ids of one life compare as their batches were committed. Records of the view call them stamps. That of the
features also says, as `<epoch>:<seq>#<digest>`, what the batch wrote: a broker may call a batch committed and
lose it, and its number is given again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PUBLISHED = re.compile(r"([0-9]{1,15}):([0-9]{1,15})(?:#[0-9a-f]{8})?(?::([0-9a-f]{1,32}))?")
DIGITS = 8  # of the digest in a stamp


class BatchId(NamedTuple):
    """Epoch and number of a batch within one journal."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    def of_outputs(self, digest: str) -> str:
        """The text in a view, which distinguishes two batches of one number; `digest` in hex."""
        return f"{self}#{digest[:DIGITS]}"

    def of_life(self, life: str) -> str:
        """The text in Redis; a life without a name adds nothing."""
        return f"{self}:{life}" if life else str(self)


def parse(text: str) -> tuple[BatchId, str] | None:
    """The batch and the life of a text in Redis; None for any other text."""
    found = PUBLISHED.fullmatch(text)
    return (BatchId(int(found[1]), int(found[2])), found[3] or "") if found else None


def batch_of(stamp: str | None) -> BatchId:
    """The batch of a stamp; before all others where there is none."""
    found = parse(stamp or "")
    return found[0] if found else BatchId(-1, -1)


def without_digest(stamp: str) -> str:
    """A stamp as people read it."""
    return stamp.partition("#")[0]
