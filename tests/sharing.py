"""How the tests are shared out to workers: file by file, the long ones first."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from xdist.scheduler import LoadScopeScheduling

# Servers and browsers first, so that no long test is left to the end.
ROOMS = ("faults", "browser", "integration", "contract", "simulation", "architecture", "scenario", "unit")
TOGETHER = {"browser"}  # all files share a scene that takes half a minute to set
LONGEST = {"test_compiled.py", "test_tutorial.py", "test_demo.py"}  # begun later, each would run on alone
# No test in them shares anything with another.
APART = {
    "test_swap_kills.py",
    "test_sigkill.py",
    "test_poison.py",
    "test_lives_replayed.py",
    "test_zoo_kills.py",
}


class Sharing(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """xdist's scheduler with our groups. Its own `loadgroup` does not see the groups of pytest 9.2."""

    def __init__(self, config: Any, log: Any) -> None:
        config.option.loadscopereorder = False  # by the number of tests, which says nothing
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        """The group of a test: those of one group run on one worker."""
        path = PurePosixPath(nodeid.split("::", maxsplit=1)[0])
        if path.name in APART:
            return nodeid
        return room if (room := room_of(nodeid)) in TOGETHER else str(path)


def place_of(nodeid: str) -> int:
    """Where a test's group stands in the queue: what lasts longest begins first."""
    name = PurePosixPath(nodeid.split("::", maxsplit=1)[0]).name
    return -1 if name in LONGEST else ROOMS.index(room_of(nodeid))


def room_of(nodeid: str) -> str:
    """The folder below tests/."""
    return PurePosixPath(nodeid).parts[1]
