"""`python -m stream_app` is the `stream-app` command, for when the script is not on the PATH."""

from __future__ import annotations

from stream_app.cli import main

if __name__ == "__main__":
    main()
