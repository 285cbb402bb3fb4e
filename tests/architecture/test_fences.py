"""Where imports may point, judged by importlinter.toml, and proof that its fences stand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("stream_app", "topics", "drift")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Judge the tree under `root` by its own importlinter.toml."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "importlinter.toml", "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def copy_tree(target: Path) -> Path:
    """Copy what the fences look at, so that a breach can be written into it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "importlinter.toml", target)
    return target


def test_every_import_respects_the_fences() -> None:
    """Imports point down, the core touches nothing outside, each client has one door."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "path", "line"),
    [
        ("R1 ", "topics/breach.py", "import stream_app.errors"),
        ("R1b", "stream_app/utils.py", ""),
        ("R2", "stream_app/flow/breach.py", "import time"),
        ("R2", "drift/breach.py", "import random"),
        ("R3", "stream_app/flow/score.py", "import stream_app.flow.detect"),
        ("R4", "stream_app/adapters/redis_view.py", "import stream_app.adapters.kafka_log"),
        ("R5", "stream_app/learner/breach.py", "import redis"),
        ("R6", "stream_app/flow/score.py", "import river.metrics"),
        ("R7", "stream_app/state/pending.py", "import stream_app.state.shard"),
        ("R8", "stream_app/client/breach.py", "import confluent_kafka"),
        ("R9", "stream_app/learner/breach.py", "import kafka"),
        ("R10", "stream_app/learner/breach.py", "import pickle"),
        ("R11", "stream_app/learner/breach.py", "import faust"),
    ],
)
def test_a_breach_is_caught(tmp_path: Path, contract: str, path: str, line: str) -> None:
    """Each fence breaks on a deliberate breach, so that it is known to stand."""
    with (copy_tree(tmp_path) / path).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
    assert result.returncode == 1, result.stdout + result.stderr
    assert any(row.startswith(contract) for row in broken), result.stdout
