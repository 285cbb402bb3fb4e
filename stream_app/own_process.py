"""subprocess: the command line of a process of this project, which loads what this one has loaded."""

from __future__ import annotations

import sys


def own_command(*arguments: str) -> list[str]:
    """`stream-app` with arguments, by this Python.

    -P: the working directory is not searched for modules, where a checkout, or a file with the name of a
    library, would be found first.
    """
    return [sys.executable, "-P", "-m", "stream_app", *arguments]
