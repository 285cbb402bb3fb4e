"""The command line: each command is a module, imported only when it is called."""

from stream_app.cli.main import main

__all__ = ["main"]
