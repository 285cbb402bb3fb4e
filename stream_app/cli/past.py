"""A shard's past, opened for a command; a line on standard error says how far its replay is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_app.learner.history.past import Past
    from stream_app.wiring.past import PastOpener

EVERY = 20  # batches, then the line is written again
LATER = 10  # the niceness of a replay: a learner on the same machine has predictions to serve


@contextmanager
def open_past(opener: PastOpener, shard: int, what: str = "") -> Iterator[Past]:
    """Open a shard's past; the line names `what` is looked for there. From here on learners come first."""
    from rich.console import Console

    if os.getpriority(os.PRIO_PROCESS, 0) < LATER:
        os.setpriority(os.PRIO_PROCESS, 0, LATER)

    title = f"shard {shard}: {what}" if what else f"shard {shard}"
    with opener.open(shard) as past, Console(file=sys.stderr).status(title) as status:

        def progress(seq: int, counted: str) -> None:
            if seq % EVERY == 0:
                parts = (what, f"batch {seq:,}", counted)
                status.update(f"shard {shard}: {', '.join(filter(None, parts))}")

        yield past._replace(progress=progress)
