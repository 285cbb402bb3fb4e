"""`python -m stream_app.cli.reference > docs/cli.md`: the reference of every command, from the commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import typer
from typer.cli import get_docs_for_click

from stream_app.cli.main import COMMANDS, HIDDEN, app

HEAD = """# The command line

Made by `python -m stream_app.cli.reference`: change the commands, not this file.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a check failed, or the work was cut off; the message says what to do |
| 2 | the call, the definition or the settings are wrong; nothing was touched |
| 3 | refused: to go on would break a promise, or a server does not answer; the remedy is named |
| 70 | `learn --no-supervise` only: a commit hung. Under a supervisor the learner starts again instead |

With `--json` stdout holds one JSON object per line. Logs always go to stderr. Settings come from the file in
`stream-app --config FILE COMMAND`, else from what `STREAM_APP_CONFIG` names, else from `./stream-app.toml`.
"""


def pages() -> Iterator[str]:
    """Each command that is not hidden, and each command of a group, in the order of `--help`."""
    root = typer.main.get_group(app)
    context = typer.Context(root, info_name="stream-app")
    for name in (name for name in COMMANDS if name not in HIDDEN):
        _, found, _ = root.resolve_command(context, [name])
        for command in getattr(found, "commands", {name: found}).values():
            prefix = "stream-app" if command is found else f"stream-app {name}"
            yield get_docs_for_click(obj=command, ctx=context, indent=1, call_prefix=prefix).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write("\n".join((HEAD, *pages())))
