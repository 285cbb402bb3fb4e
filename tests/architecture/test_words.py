"""What people read is plain English: none of the words that once made readers stop.

Texts: README, CONTRIBUTING, docs, and every string of the packages that has words in it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = [path for package in ("stream_app", "topics", "drift") for path in (ROOT / package).rglob("*.py")]
SCRIPTS = [*(ROOT / "stream_app" / "ops" / "page").glob("*.js"), *(ROOT / "stream_app").rglob("*.html")]
# What to write instead: report, show, send, raise; again; who; correct, fix; the previous …; not a ….
UNPLAIN = re.compile(
    r"\b(told|tells?|telling|anew|whoever|mend(s|ed|ing)?|of before|the same of|as well as it goes|for ever"
    r"|stands? still|(?<!there )is no (valid|number|string|file|JSON|time|integer|list|address|object))\b",
    re.IGNORECASE,
)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module with words in them, docstrings aside, and their lines."""
    tree = ast.parse(path.read_text())
    bodies = [
        node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    docs = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docs:
            continue
        if " " in node.value.strip():
            yield node.lineno, node.value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_has_plain_words(page: Path) -> None:
    """Each line, code blocks included."""
    lines = enumerate(page.read_text().splitlines(), 1)
    assert [f"{n}: {line}" for n, line in lines if UNPLAIN.search(line)] == []


def test_messages_have_plain_words() -> None:
    """Errors, alerts, dead letters, help texts and log lines."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in MODULES
        for line, text in strings(path)
        if UNPLAIN.search(text)
    ]
    assert found == []


def test_the_dashboard_has_plain_words() -> None:
    """Its texts stand in scripts and in the page."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in SCRIPTS
        for line in path.read_text().splitlines()
        if UNPLAIN.search(line) and not line.strip().startswith(("//", "*", "/*"))
    ]
    assert found == []
