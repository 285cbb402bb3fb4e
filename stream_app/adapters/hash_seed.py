"""os: the pinned hash seed under which every role runs; it comes before anything slow is imported."""

from __future__ import annotations

import os
import sys

PINNED = "0"


def pin_hash_seed() -> None:
    """Re-execute this process with PYTHONHASHSEED=0: the order of sets decides bits of some models."""
    if os.environ.get("PYTHONHASHSEED") == PINNED:
        return
    os.environ["PYTHONHASHSEED"] = PINNED
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "stream_app", *sys.argv[1:]])
