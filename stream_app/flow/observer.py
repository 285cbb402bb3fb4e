"""What a replay may watch while a shard steps records. It only looks: the step goes on as without it."""

from __future__ import annotations

from typing import Any

from stream_app.state.pending import PendingRow


class Observer:
    """Hears of each accepted event and of what becomes of its row; give it to `Core.observer`."""

    def asked(self, event_id: str, row: dict[str, Any]) -> None:
        """An event's row is complete, and every slot is about to predict it; all is as they will find it."""

    def labelled(self, row: PendingRow, label: Any, *, expired: bool) -> None:
        """A row has its label, of which nothing is learned yet. `expired`: it is the default one."""

    def unlabelled(self, row: PendingRow) -> None:
        """A row was let go without a label."""
