"""For Faust's own command line, with STREAM_APP_TARGET=MODULE:APP, or several with blanks between them.

    faust -A stream_app.ops.worker worker --without-web

Agents, tables and deliveries run; board and orders need `stream-app ops`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from stream_app.definition.load import load
from stream_app.errors import UsageError
from stream_app.settings import load_settings
from stream_app.wiring.ops import compose

TARGET = "STREAM_APP_TARGET"

targets = os.environ.get(TARGET, "").split()
if not targets:
    raise UsageError(f"{TARGET} is not set", "Set it to MODULE:APP, several with blanks between them")
directory = tempfile.mkdtemp(prefix="stream-app-ops-")
atexit.register(shutil.rmtree, directory, ignore_errors=True)
process, _ = compose([load(target) for target in targets], load_settings(), Path(directory))
app = process.app


@app.task  # type: ignore[untyped-decorator]  # Faust leaves it so
async def background() -> None:
    """What runs beside the agents; Faust cancels it at its end."""
    async with process.background():
        await app.wait_until_stopped()
