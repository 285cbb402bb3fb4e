"""Every error a person meets, by the reaction it calls for.

    StreamAppError
    ├── UsageError      the call's words are off: correct them             exit 2
    ├── Refused         it would be wrong to go on: follow the remedy      exit 3
    │   ├── Halted      one shard stopped for good, the others go on
    │   └── Unreachable a server does not answer now: start it; a supervisor tries again
    └── ShardFailed     this attempt is over: drop the shard's state and recover it again
        ├── Fenced      another owner has the shard: drop it and wait for an assignment
        └── StaleGroup  the group's generation moved on: capture it again and send the same outputs

Source: the tree drawn in httpx `_exceptions.py`; exit codes as in docs/cli.md.
"""

from __future__ import annotations

# Raised by the machine, not by a record: a replay need not meet them, so no verdict on a record or a model
# may rest on one. They pass through every `except Exception` around a model, and the shard recovers.
MACHINE = (MemoryError, RecursionError, OSError)


# A broker does not say of a topic whether it is missing or hidden from this user.
NO_TOPIC_FIX = "Run `stream-app topics create MODULE:APP`, or let this user describe it"


class StreamAppError(Exception):
    """Base of all; `remedy` is one sentence that says what to do next."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class UsageError(StreamAppError):
    """The call or the definition is off; nothing was touched."""

    exit_code = 2


class Refused(StreamAppError):
    """Going on would break a promise; nothing was touched, the remedy is named."""

    exit_code = 3


class Halted(Refused):
    """One shard must not go on (its replay diverged, its input was cut); a person has to decide."""


class Unreachable(Refused):
    """A server does not answer now; what runs unattended tries again."""


class ShardFailed(StreamAppError):
    """A shard's transaction or client failed after `step`: its state in memory is void, recover it."""


class Fenced(ShardFailed):
    """A newer owner took the shard; whatever this process still holds of it must be dropped."""


class StaleGroup(ShardFailed):
    """The transaction was aborted because its group generation is old; the stepped batch is still good."""


def printable(text: str) -> str:
    """Text that others wrote, without what would steer the terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
