"""subprocess: a definition is admitted when two processes that ask for different hash seeds agree to the bit.

Every role pins PYTHONHASHSEED by re-executing itself; this shows that the pin works and that nothing else differs
between processes (addresses, import order, unseeded dice).
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import orjson

from stream_app.adapters.definition import load
from stream_app.errors import Refused
from stream_app.models.admission import exercise

REQUESTED_SEEDS = ("1", "2")
WITHIN_S = 120.0


def admission_report(target: str) -> dict[str, Any]:
    """One process's half: `digest`, and `refusals` with slot, reason and fix."""
    app = load(target)
    found = exercise(
        {"champion": app.champion, **app.challengers}, app.task, app.threshold, bool(app.class_weights)
    )
    refusals = [{"slot": r.slot, "reason": r.reason, "fix": r.fix} for r in found.refusals]
    return {"digest": found.digest, "refusals": refusals}


def admit(target: str) -> None:
    """Admit the definition.

    Raises:
        Refused: with every reason and its fix; nothing was started.
    """
    command = [sys.executable, "-m", "stream_app", "admit", target]
    halves = [
        subprocess.Popen(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for seed in REQUESTED_SEEDS
    ]
    reports = []
    for half in halves:
        out, err = half.communicate(timeout=WITHIN_S)
        if half.returncode:
            last = err.decode(errors="replace").strip().splitlines()[-1:]
            raise Refused(
                f"the admission check ended with {half.returncode}: {' '.join(last)}", "Mend the definition"
            )
        reports.append(orjson.loads(out))
    refusals = reports[0]["refusals"]
    if refusals:
        reasons = "; ".join(f"{r['slot']}: {r['reason']}" for r in refusals)
        raise Refused(
            f"the definition cannot be replayed: {reasons}",
            "; ".join(dict.fromkeys(r["fix"] for r in refusals)),
        )
    if reports[0]["digest"] != reports[1]["digest"]:
        raise Refused(
            "two processes with the same seed learned different models",
            "Seed every random part; use nothing that depends on addresses, time or the environment",
        )
