"""What a directory remembers: ports, processes and the signing key."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import msgspec

from stream_app.embedded.process import Running, boot
from stream_app.errors import Refused

STATE = "services.json"
KEY = "signing.key"
KEY_FORM = re.compile(r"[0-9a-f]{64}\n?")


class State(msgspec.Struct):
    """Ports stay, so that clients keep their addresses; `boot` is the boot in which the processes ran."""

    kafka_port: int = 0
    controller_port: int = 0
    valkey_port: int = 0
    kafka: Running | None = None
    valkey: Running | None = None
    boot: str = ""


def read(directory: Path) -> State:
    """The state file; a missing or damaged one means: nothing runs."""
    try:
        state = msgspec.json.decode((directory / STATE).read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return State()
    if state.boot not in ("", boot()):
        state.kafka = state.valkey = None
    return state


def write(directory: Path, state: State) -> None:
    """Replace the state file as a whole."""
    state.boot = boot()
    temporary = directory / f".{STATE}.{os.getpid()}"
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(directory / STATE)


def make_signing_key(directory: Path) -> None:
    """Make the directory's own key for snapshots, unless it has one; readable by its owner only."""
    path = directory / KEY
    if path.exists():
        return
    temporary = directory / f".{KEY}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def signing_key(directory: Path) -> str:
    """The directory's key, as hex.

    Raises:
        Refused: there is none, or it is damaged: a new one would make every snapshot a foreign one.
    """
    path = directory / KEY
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise Refused(
            f"{path} cannot be read ({error.strerror})",
            "Set STREAM_APP_SIGNING__KEYS, or run `stream-app services up`, which makes one",
        ) from error
    if not KEY_FORM.fullmatch(text):
        raise Refused(
            f"{path} does not hold 64 hexadecimal digits",
            "Restore it, or remove it: snapshots signed with it are then passed over for the log",
        )
    return text.strip()
