"""What is written for people fits the tree and the code.

After a change of a command, write its reference anew: `python -m stream_app.cli.reference > docs/cli.md`.
"""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from drift.rule import SwapPolicy
from stream_app.application import Application, Labels, Limits, Serving, Snapshots
from stream_app.cli.reference import HEAD, pages
from topics.alerts import ALERTS
from topics.reasons import REASONS

ROOT = Path(__file__).parents[2]
CLI = ROOT / "docs" / "cli.md"
TEXTS = ("README.md", "CONTRIBUTING.md", "llms.txt")
PAGES = [*(ROOT / name for name in TEXTS), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_reference_of_commands_is_what_the_commands_say() -> None:
    """docs/cli.md is generated; a changed command changes it."""
    assert (ROOT / "docs" / "cli.md").read_text() == "\n".join((HEAD, *pages()))


# What the pages that a test types do not show: servers of their own, and an extra that is not installed.
ELSEWHERE = {"services up", "services down", "services status", "models mlflow", "demo"}


def test_every_command_has_an_example_that_is_typed() -> None:
    """Each command of the reference stands in a page whose commands a test types."""
    commands = set(re.findall(r"^## `stream-app (.+)`$", CLI.read_text(), re.MULTILINE))
    typed = "".join((ROOT / "docs" / page).read_text() for page in ("tutorial.md", "examples.md"))
    shown = {one for one in commands if re.search(rf"stream-app {one}(?![\w-])", typed)}
    assert commands - shown <= ELSEWHERE <= commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_point_at_something(page: Path) -> None:
    """Each link into the tree names a file that is there, and a heading of it."""
    broken = []
    for target, anchor in LINK.findall(page.read_text()):
        file = page.parent / target if target else page
        if "://" in target:
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_every_alert_has_a_section_in_the_runbook() -> None:
    """An alert's type is a heading there, so that a message can link to it."""
    assert set(ALERTS) <= anchors(ROOT / "docs" / "runbooks.md")


@pytest.mark.parametrize("kind", ALERTS)
def test_every_type_of_alert_is_raised_somewhere(kind: str) -> None:
    """A type that nothing raises, or that is raised under another name, is not in the table."""
    assert any(f'"{kind}"' in path.read_text() for path in (ROOT / "stream_app").rglob("*.py"))


def halts() -> set[str]:
    """Of each message of a halt in the code, the longest part that is the same in each of them."""
    found = set()
    for path in (ROOT / "stream_app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Halted" in map(ast.unparse, node.bases):
                calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
                found |= {said(one) for one in calls if ast.unparse(one.func) == "super().__init__"}
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("Halted", "Forked"):
                found.add(said(node))
    return found


def said(call: ast.Call) -> str:
    """The longest constant part of a call's first argument."""
    parts = [one.value for one in ast.walk(call.args[0]) if isinstance(one, ast.Constant)]
    return max((str(part) for part in parts), key=len).strip(" ():,]")


def test_the_runbook_has_a_way_out_of_every_halt() -> None:
    """Each message that stops a shard for good stands in its table."""
    section = (ROOT / "docs" / "runbooks.md").read_text().split("## A shard halted", 1)[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(halts()) > 12
    assert [message for message in halts() if not any(message in row for row in rows)] == []


def test_the_dashboard_shows_the_runbook_that_is_kept() -> None:
    """Its page is the very file, not a copy that nobody brings up to date."""
    page = ROOT / "stream_app" / "ops" / "page" / "runbooks.md"
    assert page.resolve() == ROOT / "docs" / "runbooks.md"


def test_the_runbook_names_every_reason_of_dead_letters() -> None:
    """Nobody has to look for one in the code."""
    text = (ROOT / "docs" / "runbooks.md").read_text()
    assert [reason for reason in REASONS if f"`{reason}`" not in text] == []


def test_every_command_that_a_text_names_is_there() -> None:
    """In pages, hints and rules: a remedy that does not exist helps nobody at three in the morning."""
    headings = re.findall(r"^## `stream-app ([a-z -]+)`", CLI.read_text(), re.MULTILINE)
    known = {tuple(heading.split()) for heading in headings}
    known.add(("admit",))  # hidden: a process of the admission check
    groups = {words[0] for words in known if len(words) > 1}
    files = [*PAGES, *(ROOT / "deploy").rglob("*.yml"), *(ROOT / "stream_app").rglob("*.*")]
    wrong = []
    for file in files:
        if file.suffix not in (".py", ".js", ".html", ".yml", ".md"):
            continue
        for first, second in re.findall(
            r"(?<![\w/.])stream-app ([a-z][a-z-]*)(?: ([a-z]+))?", file.read_text()
        ):
            if first not in groups and (first,) not in known:
                wrong.append(f"{file.name}: {first}")
            elif first in groups and second and (first, second) not in known:
                wrong.append(f"{file.name}: {first} {second}")
    assert wrong == []


@pytest.mark.parametrize("part", [Application, Labels, Limits, Serving, Snapshots, SwapPolicy])
def test_the_page_of_the_definition_has_every_field(part: type) -> None:
    """Nobody has to read the source to find one."""
    text = (ROOT / "docs" / "definition.md").read_text()
    names = [field.name for field in fields(part)]
    assert [name for name in names if f"`{name}`" not in text and f"{name}=" not in text] == []


def test_the_readme_is_read_in_five_minutes() -> None:
    """Details belong into docs."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 140


def test_the_page_of_the_architecture_names_what_is_there() -> None:
    """Each `Class.method` is defined in one file, and each file is where the page says."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    sources = [path.read_text() for path in (ROOT / "stream_app").rglob("*.py")]
    for owner, method in re.findall(r"`([A-Z]\w+)\.(\w+)`", text):
        assert any(
            re.search(rf"^class {owner}\b", source, re.MULTILINE) and f"def {method}(" in source
            for source in sources
        ), f"{owner}.{method}"
    for path in re.findall(r"`([\w/]+\.py)`", text):
        assert list((ROOT / "stream_app").rglob(path)) or (ROOT / path).exists(), path


def test_the_site_is_made_without_a_broken_link() -> None:
    """Sphinx finds what each link names, headings too, and every page has a place in the contents."""
    done = subprocess.run([ROOT / "scripts" / "docs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    contents = Path(done.stdout.strip()).read_text()
    missing = [
        page.stem for page in (ROOT / "docs").glob("*.md") if f'href="{page.stem}.html"' not in contents
    ]
    assert missing == ["index"]
