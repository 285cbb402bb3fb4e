"""Who may append to an epoch: whatever could change one bit of an answer."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from stream_app.adapters.definition import definition_hashes
from stream_app.application import Application

LIBRARIES = ("river", "numpy", "stream-app")


def fingerprint(app: Application, topic_ids: Mapping[str, str]) -> dict[str, Any]:
    """JSON-able identity of definition, libraries, platform and input topics; compared as a whole."""
    return {
        "definition": definition_hashes(app),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "platform": f"{platform.system()}-{platform.machine()}",
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "topics": dict(topic_ids),
    }
