"""One transaction in flight: while a batch commits on a helper thread, the core steps the next.

free ──send──▶ in flight ──committed──▶ free
                 ▲    │
              resend  └──stale generation──▶ refused (the same outputs wait for the next generation)
"""

from __future__ import annotations

from concurrent.futures import Executor, Future

from stream_app.errors import ShardFailed, StaleGroup
from stream_app.learner.batch.processor import SealedBatch
from stream_app.ports import Clock, Commit, ShardWriter
from stream_app.state.histogram import Histogram

LOOK_S = 1.0  # between two looks at the helper no more than this counts
SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # nearby: 3 to 11 ms


class Pipeline:
    """`send` only while `free`; `collect_commit` collects. `sealed` is the batch on its way, or None."""

    def __init__(self, writer: ShardWriter, pool: Executor, clock: Clock) -> None:
        self.writer, self.pool, self.clock = writer, pool, clock
        self.flight: Future[int | None] | None = None
        self.sealed: SealedBatch | None = None
        self.commit = Commit([], [], None, [])  # the newest one sent
        self.refused = False  # by an old generation: it waits for the next
        self.looked_s = self.waited_s = 0.0
        self.took_s = self.busy_s = 0.0
        self.seconds = Histogram(SECONDS)

    @property
    def free(self) -> bool:
        """Whether nothing is on its way or waits to be sent again."""
        return self.flight is None and not self.refused

    def send(self, commit: Commit, group: bytes, sealed: SealedBatch | None) -> None:
        """Start the transaction under the group's generation of now."""
        self.sealed, self.commit, self.refused = sealed, commit, False
        self.looked_s, self.waited_s = self.clock.monotonic(), 0.0
        self.flight = self.pool.submit(self.transact, commit, group)

    def transact(self, commit: Commit, group: bytes) -> int | None:
        """On the helper thread: one transaction from its begin to its end."""
        started_s = self.clock.monotonic()
        try:
            return self.writer.commit(commit, group)
        finally:
            self.took_s = self.clock.monotonic() - started_s

    def resend(self, group: bytes) -> None:
        """Send what was refused as it is under the next generation: a batch, or statistics and alerts."""
        if self.refused:
            self.send(self.commit, group, self.sealed)

    def collect_commit(self) -> tuple[SealedBatch, int] | None:
        """The batch that is committed now and its journal offset, once; None while there is none.

        Raises:
            ShardFailed: the transaction failed; what was stepped is void.
        """
        if self.flight is None or not self.flight.done():
            return None
        flight, self.flight = self.flight, None
        self.busy_s += self.took_s
        self.seconds.observe(self.took_s)
        try:
            offset = flight.result()
        except StaleGroup:
            self.refused = True
            return None
        sealed, self.sealed = self.sealed, None
        if sealed is None:
            return None
        if offset is None:
            raise ShardFailed(f"batch {sealed.stamp} was committed without a journal record")
        return sealed, offset

    def hangs(self, now_s: float, watchdog_s: float) -> bool:
        """Look at the helper: whether it has not ended its transaction within the watchdog's time.

        A loop that was busy for long, and may have kept the helper from running, proves nothing by that: the
        time between two looks counts as a second at most.
        """
        if self.flight is None or self.flight.done():
            return False
        self.waited_s += min(now_s - self.looked_s, LOOK_S)
        self.looked_s = now_s
        return self.waited_s > watchdog_s

    def close(self, wait_s: float) -> None:
        """Wait for the helper, for no one may commit once the shard is another's; then drop the client.

        Raises:
            TimeoutError: the helper hangs.
        """
        if self.flight is not None:
            self.flight.exception(timeout=wait_s)
        self.writer.close()
