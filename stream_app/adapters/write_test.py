"""fsspec: whether snapshots could be written, before anything depends on it."""

from __future__ import annotations

import os

import fsspec

from stream_app.errors import Refused


def try_writing(url: str, app: str) -> None:
    """Write a file where the application's snapshots go, rename it as a snapshot is, and take it away again.

    Raises:
        Refused: that failed, so no snapshot could be saved either.
    """
    name = f"write-test-{os.getpid()}"
    try:
        fs, root = fsspec.core.url_to_fs(url)
        folder = f"{root.rstrip('/')}/{app}"
        fs.makedirs(folder, exist_ok=True)
        with fs.open(f"{folder}/.{name}.tmp", "wb") as file:
            file.write(b"a write test")
        fs.mv(f"{folder}/.{name}.tmp", f"{folder}/{name}")
        fs.rm_file(f"{folder}/{name}")
    except Exception as error:
        where = url.rsplit("@", maxsplit=1)[-1]  # a password may be before it
        raise Refused(
            f"snapshots cannot be written to {where} ({type(error).__name__}: {error})",
            "Set STREAM_APP_SNAPSHOTS__URL to a directory or fsspec URL that the learner may write to",
        ) from error
