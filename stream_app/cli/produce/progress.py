"""Where an interrupted `produce` goes on, and what a second one repeats: a small file for each file sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import msgspec
import orjson

KEPT_S = 30 * 86_400.0


class Sent(msgspec.Struct):
    """How many records were written, of how many, and the moment from which they were stamped (epoch ms)."""

    start_ms: int
    sent: int = 0
    total: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the whole file was sent."""
        return 0 < self.total == self.sent


class Progress:
    """The file about one call: these topics, this file as it is now, these options."""

    def __init__(self, topic_ids: Mapping[str, str], file: Path, options: object) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        about = file.stat()
        call = [
            sorted(topic_ids.items()),
            str(file.absolute()),
            about.st_size,
            about.st_mtime_ns,
            repr(options),
        ]
        name = sha256(orjson.dumps(call)).hexdigest()[:32]
        self.file = state / "stream-app" / "produced" / f"{name}.json"

    def read(self) -> Sent | None:
        """What an earlier call left; None: there was none, or its file cannot be read."""
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=Sent)
        except (OSError, msgspec.MsgspecError):
            return None

    def write(self, sent: Sent) -> None:
        """Keep it; a place that cannot be written costs the way to go on, not the work."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(msgspec.json.encode(sent))
            for other in self.file.parent.glob("*.json"):
                if self.file.stat().st_mtime - other.stat().st_mtime > KEPT_S:
                    other.unlink()
        except OSError:
            return
