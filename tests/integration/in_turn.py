"""`stream-app learn` for one TARGET after another, in one process: importing River once saves a second each.

python -m tests.integration.in_turn TARGET…
"""

from __future__ import annotations

import sys

from stream_app.cli.main import main

FLAGS = ("--no-supervise", "--no-admission", "--exit-when-idle", "0.2")


def learn(targets: list[str]) -> None:
    """Run each learner to the end of its inputs; the first that fails ends the process with its code."""
    for target in targets:
        sys.argv = ["stream-app", "learn", target, *FLAGS]
        try:
            main()
        except SystemExit as end:
            if end.code:
                sys.stderr.write(f"\nthe learner of {target} ended with {end.code}\n")
                raise


if __name__ == "__main__":
    learn(sys.argv[1:])
