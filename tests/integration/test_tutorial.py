"""The pages that a reader types: each command works, and prints what the page shows, numbers aside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stream_app.embedded.services import Endpoints

pytestmark = [pytest.mark.soak(only=True), pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
NUMBERS = re.compile(r"[0-9a-f]{32}|\d[\d,.:]*")
CHANGED = "stream-app learn phishing:app"  # the first command after the definition was edited
OURS = "stream-app services"  # the run's own servers are used


def blocks(page: str) -> list[tuple[str, list[str]]]:
    """(kind, lines) of each code block: python, bash, or console for indented ones."""
    found: list[tuple[str, list[str]]] = []
    kind = ""
    for line in (ROOT / "docs" / page).read_text().splitlines():
        if line.startswith("```"):
            kind = "" if kind else line[3:]
            if kind:
                found.append((kind, []))
        elif kind:
            found[-1][1].append(line)
        elif line.startswith("    "):
            if not found or found[-1][0] != "console" or not found[-1][1]:
                found.append(("console", []))
            found[-1][1].append(line[4:])
        elif found and found[-1][0] == "console" and found[-1][1]:
            found.append(("text", []))
    return [(kind, lines) for kind, lines in found if kind != "text"]


def shape(text: str) -> str:
    """Words alone: without numbers, digests, rules of tables and the width of gaps."""
    return " ".join(re.sub(r"[\u2500-\u257f]", " ", NUMBERS.sub("#", text)).split())


class Shell:
    """Runs what a reader types, in one directory; names that begin with `first-` are the run's own."""

    def __init__(self, directory: Path, services: Endpoints, names: str) -> None:
        self.directory, self.names = directory, names
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": services.bootstrap_servers,
            "STREAM_APP_REDIS__URL": services.redis_url,
            "STREAM_APP_SNAPSHOTS__URL": str(directory / "snapshots"),
            "STREAM_APP_SIGNING__KEYS": "5a" * 32,
        }

    def __call__(self, command: str) -> str:
        """What is printed, streams together."""
        done = subprocess.run(
            ["/bin/bash", "-c", command.replace("first-", self.names)],
            cwd=self.directory,
            env=self.environment,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        return done.stdout.replace(self.names, "first-")

    def write(self, file: str, text: str) -> None:
        """Write a file that the page shows."""
        (self.directory / file).write_text(text.replace("first-", self.names))


def expect(shown: list[str], printed: str) -> None:
    """Each line that the page shows was printed; `…` stands for anything."""
    for line in shown:
        pieces = [re.escape(shape(piece)) for piece in line.split("…") if shape(piece)]
        if pieces and not line.startswith("…"):
            assert re.search(".*".join(pieces), shape(printed)) or any(
                re.search(".*".join(pieces), shape(one)) for one in printed.splitlines()
            ), f"{line!r} is not in\n{printed}"


def play(page: str, shell: Shell) -> None:
    """Type a page from the top to the bottom."""
    made = subprocess.run(
        [sys.executable, "-m", "examples.data", "phishing"], cwd=ROOT, capture_output=True, check=True
    )
    (shell.directory / "phishing.csv").write_bytes(made.stdout)
    printed = ""
    for kind, lines in blocks(page):
        text = "\n".join(lines)
        if kind == "python":
            shell.write(lines[0][2:] if lines[0].startswith("# ") else "phishing.py", text)
        elif kind == "bash" and "activate" not in text:
            printed = shell(text)
        elif kind == "console" and not lines[0].startswith("$ "):
            expect(lines, printed)  # what the block above ends with
        elif kind == "console":
            for part in text.split("$ ")[1:]:
                command, _, shown = part.partition("\n")
                if command.startswith(OURS):
                    continue
                if command == CHANGED:
                    file = shell.directory / "phishing.py"
                    file.write_text(file.read_text().replace("10m", "20m"))
                expect(shown.splitlines(), shell(command))


def test_the_tutorial_does_what_it_says(services: Endpoints, tmp_path: Path) -> None:
    """From the definition to the kill, the proof and the upgrade."""
    play("tutorial.md", Shell(tmp_path, services, f"t{os.getpid()}-"))


def test_every_example_prints_what_its_page_shows(services: Endpoints, tmp_path: Path) -> None:
    """Each command of the program, on an application of its own."""
    play("examples.md", Shell(tmp_path, services, f"e{os.getpid()}-"))
