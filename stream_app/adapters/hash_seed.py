"""os: the pinned hash seed under which every role runs; it comes before anything slow is imported."""

from __future__ import annotations

import os
import sys

from stream_app.own_process import own_command

PINNED = "0"


def pin_hash_seed() -> None:
    """Re-execute this process with PYTHONHASHSEED=0: the order of sets decides bits of some models."""
    if os.environ.get("PYTHONHASHSEED") == PINNED:
        return
    os.environ["PYTHONHASHSEED"] = PINNED
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, own_command(*sys.argv[1:]))
