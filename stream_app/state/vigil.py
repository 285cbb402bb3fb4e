"""What alerts need to know of the past; nothing here decides an answer of a model."""

from __future__ import annotations

import msgspec

COOLDOWN = 1_000  # records of the shard during which the same alert is not told again


class Vigil(msgspec.Struct):
    """`quiet` maps an alert's subject to [the record count until which it is held back, how many were].

    `last_label_ms` and `delay_ms` (a running mean) are log time; `seen` and `dead` are the counts of all and
    of refused records when the share of refused ones was last judged.
    """

    quiet: dict[str, list[int]] = {}
    last_label_ms: int = 0
    delay_ms: float = 0.0
    seen: int = 0
    dead: int = 0

    def held_back(self, subject: str, now: int) -> bool:
        """Whether the alert was told less than a cool-down ago; it is counted then."""
        found = self.quiet.get(subject)
        if found is not None and now < found[0]:
            found[1] += 1
            return True
        return False

    def told(self, subject: str, now: int) -> int:
        """Note that it is told now, give how many were held back since it was told last."""
        held = self.quiet.get(subject, [0, 0])[1]
        self.quiet[subject] = [now + COOLDOWN, 0]
        return held
