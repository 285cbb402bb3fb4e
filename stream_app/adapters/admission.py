"""subprocess: a definition is admitted when two processes that ask for different hash seeds agree to the bit.

Every role pins PYTHONHASHSEED by re-executing itself; this shows that the pin works and that nothing else
differs between processes (addresses, import order, unseeded dice).
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import orjson

from stream_app.adapters.definition import load
from stream_app.adapters.snapshot_store import round_trip
from stream_app.errors import Refused
from stream_app.models.admission import Terms, exercise

REQUESTED_SEEDS = ("1", "2")
WITHIN_S = 120.0


def admission_report(target: str) -> dict[str, Any]:
    """One process's half: `digest`, and `refusals` with slot, reason and fix."""
    app = load(target)
    types = dict(app.types or {})
    if types:
        types.update((feature.name, "number") for feature in app.features if feature.name not in types)
    terms = Terms(app.task, app.threshold, bool(app.class_weights), types)
    found = exercise(
        {"champion": app.champion, **app.challengers}, terms, lambda model: round_trip(model, app.modules)
    )
    refusals = [{"slot": r.slot, "reason": r.reason, "fix": r.fix} for r in found.refusals]
    return {"digest": found.digest, "refusals": refusals}


def admit(target: str) -> None:
    """Admit the definition.

    Raises:
        Refused: with every reason and its fix; nothing was started.
    """
    reports = [half_report(half) for half in [start_half(target, seed) for seed in REQUESTED_SEEDS]]
    refusals = reports[0]["refusals"]
    if refusals:
        reasons = "; ".join(f"{r['slot']}: {r['reason']}" for r in refusals)
        fixes = "; ".join(dict.fromkeys(r["fix"] for r in refusals))
        raise Refused(f"the definition is not admitted: {reasons}", fixes)
    if reports[0]["digest"] != reports[1]["digest"]:
        raise Refused(
            "two processes with the same seed learned different models",
            "Seed every random part; use nothing that depends on addresses, time or the environment",
        )


def start_half(target: str, hash_seed: str) -> subprocess.Popen[bytes]:
    """A process that runs the sample under the hash seed that it asks for."""
    return subprocess.Popen(
        [sys.executable, "-m", "stream_app", "admit", target],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def half_report(half: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What that process found.

    Raises:
        Refused: it failed, or took too long.
    """
    with half:
        try:
            out, err = half.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired as error:
            half.kill()
            raise Refused(
                f"the admission check took over {WITHIN_S:.0f} s",
                "Start with --no-admission, or use a lighter model",
            ) from error
    if half.returncode:
        last = " ".join(err.decode(errors="replace").strip().splitlines()[-1:])
        raise Refused(f"the admission check ended with {half.returncode}: {last}", "Mend the definition")
    report: dict[str, Any] = orjson.loads(out)
    return report
