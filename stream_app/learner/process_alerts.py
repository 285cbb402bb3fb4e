"""Records of alerts that no record of the input caused: an id that derives from the cause, JSON that fits."""

from __future__ import annotations

from concurrent.futures import Future
from hashlib import blake2b
from typing import Any

import structlog

from stream_app.errors import Refused
from stream_app.learner.dependencies import Dependencies
from stream_app.ports import Commit, Send
from topics.alerts import run_alert
from topics.fitting import encode_within
from topics.records import value_of

log = structlog.get_logger()


def alert(
    app: str,
    shard: int,
    cause: str,
    time_ms: int,
    kind: str,
    message: str,
    evidence: dict[str, Any],
) -> Send:
    """The record of one alert; its id derives from what caused it."""
    made = run_alert(app, shard, kind, cause, time_ms, message, evidence)
    return Send("alerts", made.alert_id.encode(), encode_within(value_of(made)))


def write_halt_alert(deps: Dependencies, shard: int, refusal: Refused) -> Future[None]:
    """Write one alert about a halt on the helper pool. Best effort: it never raises.

    It fences the process that wrote for the shard. That was this one; should another own the shard by now,
    that owner recovers once more.
    """
    evidence = {"reason": refusal.message, "remedy": refusal.remedy}
    cause = blake2b(refusal.message.encode(), digest_size=8).hexdigest()
    send = alert(
        deps.app.name,
        shard,
        cause,
        deps.clock.now_ms(),
        "shard-halted",
        str(refusal),
        evidence,
    )

    def write() -> None:
        try:
            writer = deps.open_writer(shard)
            try:
                writer.fence()
                writer.commit(Commit([], [send], None, []), None)
            finally:
                writer.close()
        except Exception as error:  # whatever it is: it must not mask the halt, which is in the log
            log.warning("the alert about the halt could not be written", shard=shard, error=str(error))

    return deps.pool.submit(write)
