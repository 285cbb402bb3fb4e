"""python -m tests.mutations [PART OF A NAME …]: take guards out of a copy, and run the tests that must fail.

Prints a line for each guard: the test that noticed, or that none did. Then it exits with 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutations.guards import GUARDS, Guard

ROOT = Path(__file__).parents[2]
COPIED = ("stream_app", "drift", "topics", "tests", "pyproject.toml", "examples", "scripts", "docs")
WITHIN_S = 600
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def copy(directory: Path) -> None:
    """Copy what the tests need."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "build")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, directory / name)


def noticed(guard: Guard, directory: Path) -> str:
    """Take the guard out, run its test and put the guard back; what failed, empty where nothing did."""
    file = directory / guard.file
    whole = file.read_text()
    file.write_text(whole.replace(guard.old, guard.new))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "--no-header", "-rfE", guard.test]
    environment = {**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        return f"{guard.test} (it hangs)"
    finally:
        file.write_text(whole)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{guard.test} could not run:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
    return found[1] if (found := FAILED.search(done.stdout)) else ""


def main() -> None:
    """The command line above."""
    wanted = sys.argv[1:] or [""]
    chosen = [guard for guard in GUARDS if any(part in guard.name for part in wanted)]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="stream-app-mutations-") as directory:
        copy(Path(directory))
        for guard in chosen:
            test = noticed(guard, Path(directory))
            missed += not test
            sys.stdout.write(f"{'noticed' if test else 'MISSED '} {guard.name}: {test or guard.test}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - missed} of {len(chosen)} are noticed\n")
    raise SystemExit(int(bool(missed)))


if __name__ == "__main__":
    main()
