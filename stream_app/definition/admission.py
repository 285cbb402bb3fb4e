"""subprocess: a definition is admitted when two processes that ask for different hash seeds agree to the bit.

Every role pins PYTHONHASHSEED by re-executing itself; this shows that the pin works and that nothing else
differs between processes (addresses, import order, unseeded dice).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from tempfile import TemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
import orjson
import structlog

from stream_app.errors import Refused
from stream_app.own_process import own_command

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.models.sample import Row, Terms

log = structlog.get_logger()
REQUESTED_SEEDS = ("1", "2")
WITHIN_S = 120.0


def admission_report(target: str, rows: Sequence[Row] = ()) -> dict[str, Any]:
    """One process's half: `digest`, what was `judged`, and `refusals` with slot, reason and fix.

    With `rows` they are the sample that is judged; the digest is of the definition's own sample all the same,
    since a later start must come to it again.
    """
    # Loaded by these processes alone: the one that starts them needs no model yet.
    from stream_app.adapters.pickled import refill_sets  # noqa: PLC0415
    from stream_app.adapters.snapshot_store import round_trip  # noqa: PLC0415
    from stream_app.definition.load import load  # noqa: PLC0415
    from stream_app.models.admission import exercise  # noqa: PLC0415

    app = load(target)
    found = exercise(
        {"champion": app.champion, **app.challengers},
        msgspec.structs.replace(terms_of(app), rows=rows) if rows else terms_of(app),
        lambda model: round_trip(model, app.modules),
        refill_sets,
    )
    refusals = [
        {"slot": r.slot, "reason": r.reason, "fix": r.fix, "raised": r.raised} for r in found.refusals
    ]
    digest = sample_run(app) if rows else found.digest
    return {"digest": digest, "judged": found.digest, "refusals": refusals}


def terms_of(app: Application) -> Terms:
    """What of a definition decides the sample."""
    from stream_app.models.sample import Terms  # noqa: PLC0415

    types = dict(app.types or {})
    if types:
        types.update((feature.name, "number") for feature in app.features if feature.name not in types)
    classes = app.labels.classes if app.labels is not None else None
    return Terms(app.question, bool(app.class_weights), types, classes or (), app.sample)


def sample_run(app: Application) -> str:
    """The digest that `Admission.conclude` gives, in this process, without a judgement."""
    from stream_app.models.admission import sample_digest  # noqa: PLC0415

    return sample_digest({"champion": app.champion, **app.challengers}, terms_of(app))


class Admission:
    """The check of one definition in two processes, which begins with this object; a context manager.

    They are ended with the block, so that a caller who is refused something else leaves none behind.
    """

    def __init__(self, target: str, rows: Sequence[Row] = ()) -> None:
        self.target = target
        self.halves = [start_half(target, seed, rows) for seed in REQUESTED_SEEDS]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for half in self.halves:
            half.kill()
            half.communicate()

    def conclude(self, rows: Callable[[], Sequence[Row]] = tuple) -> str:
        """Wait for both and give the digest of their sample run.

        `rows` are asked for where a model raised on the sample: values may need a form that it does not have.
        Then they are the sample.

        Raises:
            Refused: the definition is not admitted, with every reason and its fix.
        """
        reports = [half_report(half) for half in self.halves]
        refusals = reports[0]["refusals"]
        if any(refusal["raised"] for refusal in refusals) and (found := rows()):
            log.info("a model raised on sample data: rows of the topic are tried", rows=len(found))
            with Admission(self.target, found) as again:
                return again.conclude()
        if refusals:
            reasons = "; ".join(f"{r['slot']}: {r['reason']}" for r in refusals)
            fixes = "; ".join(dict.fromkeys(r["fix"] for r in refusals))
            raise Refused(f"the definition is not admitted: {reasons}", fixes)
        if reports[0]["judged"] != reports[1]["judged"]:
            raise Refused(
                "two processes with the same seed learned different models",
                "Seed every random part; use nothing that depends on addresses, time or the environment",
            )
        digest: str = reports[0]["digest"]
        return digest


def admit(target: str) -> str:
    """Admit the definition and give the digest of its sample run.

    Raises:
        Refused: with every reason and its fix; nothing was started.
    """
    with Admission(target) as check:
        return check.conclude()


def start_half(target: str, hash_seed: str, rows: Sequence[Row] = ()) -> subprocess.Popen[bytes]:
    """A process that runs the sample, or these rows, under the hash seed that it asks for."""
    with TemporaryFile() as file:  # its stdin: a learner's own is its tie to the supervisor
        file.write(orjson.dumps(list(rows)))
        file.seek(0)
        return subprocess.Popen(
            own_command("admit", target),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def half_report(half: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What that process found.

    Raises:
        Refused: it failed, or took too long.
    """
    try:
        out, err = half.communicate(timeout=WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise Refused(
            f"the admission check took over {WITHIN_S:.0f} s",
            "Start with --no-admission, or use a lighter model",
        ) from error
    if half.returncode:
        last = " ".join(err.decode(errors="replace").strip().splitlines()[-1:])
        if last.startswith("error: ") and "; fix: " in last:  # said whole already, with its own remedy
            raise Refused(*last.removeprefix("error: ").split("; fix: ", 1))
        raise Refused(f"the admission check ended with {half.returncode}: {last}", "Correct the definition")
    report: dict[str, Any] = orjson.loads(out)
    return report
