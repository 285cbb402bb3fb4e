"""The build stage of the Dockerfile, done in a directory of a test, without an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build_stage() -> list[tuple[str, str]]:
    """(instruction, rest) of each line of the first stage, ARG and FROM aside."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    stage = text.split("\nFROM ")[1]
    lines = [line.partition(" ") for line in stage.splitlines()[1:] if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in lines]


def allowed() -> list[str]:
    """What `.dockerignore` lets the engine see."""
    return [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def run_stage(root: Path) -> None:
    """Do in `root` what the build stage does in `/`."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PIP_NO_COMPILE": "1"}
    for word, rest in build_stage():
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                assert any(source == one or source.startswith(f"{one}/") for one in allowed()), source
                place = root / target.strip("/")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, place)
        elif word == "RUN" and not rest.startswith("apt-get"):
            command = re.sub(r"(?<![\w.])/(opt|src)\b", rf"{root}/\1", rest)
            command = re.sub(r"^python ", f"{sys.executable} ", command)
            done = subprocess.run(
                ["/bin/sh", "-ec", command], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}"
