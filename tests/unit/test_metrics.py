"""The tables of docs/metrics.md say what is exported. After a change of a metric, write them anew with
`STREAM_APP_UPDATE_METRICS=1 pytest tests/unit/test_metrics.py`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from stream_app.adapters.bridge_metrics import BRIDGE
from stream_app.adapters.metrics_table import PROCESS, TABLE
from stream_app.adapters.ops_metrics import OPS
from stream_app.adapters.serving_metrics import SERVING

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
TITLE = "\n## {}\n\n| metric | kind | labels | |\n|---|---|---|---|\n"
LEARNER = "Learner (`STREAM_APP_LEARNER__METRICS_PORT`)"
PREDICTOR = "Predictor (`/metrics` of `serve`)"
BRIDGES = "Bridge (`--metrics-port` of `bridge`)"
OPERATIONS = "Operations (`/metrics` of `ops`)"


def row(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    """A line of a table; a counter by the name that a query uses."""
    shown = f"{name}_total" if kind == "counter" else name
    return f"| `{shown}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |\n"


def tables() -> str:
    """What follows the page's first words."""
    learner = [row(name, "gauge", labels, text) for name, text, labels in PROCESS]
    learner += [row(m.name, m.kind, ("app", "shard", *m.labels), m.help) for m in TABLE]
    serving = [row(name, kind, labels, text) for name, kind, text, labels, _ in SERVING]
    ops = [row(name, kind, labels, text) for name, kind, text, labels in OPS]
    bridge = [row(name, kind, ("app", *labels), text) for name, kind, text, labels in BRIDGE]
    parts = ((LEARNER, learner), (BRIDGES, bridge), (PREDICTOR, serving), (OPERATIONS, ops))
    return "".join(line for title, rows in parts for line in (TITLE.format(title), *rows))


def helps() -> dict[str, str]:
    """Each metric's HELP text, by its name."""
    found = {name: text for name, text, _ in PROCESS} | {metric.name: metric.help for metric in TABLE}
    found |= {name: text for name, _, text, *_ in SERVING}
    return found | {name: text for name, _, text, _ in (*OPS, *BRIDGE)}


@pytest.mark.parametrize(("name", "text"), helps().items())
def test_a_help_text_is_understood_alone(name: str, text: str) -> None:
    """It begins with what is measured, and no word points at another line."""
    assert text[0].isupper(), name
    assert not re.search(r"\b(it|them|they|those|the same|told|tells?)\b", text), name


def test_the_page_of_metrics_is_what_the_code_says() -> None:
    """Names, kinds, labels and words."""
    head, title, rest = PAGE.read_text().partition("\n## ")
    if os.environ.get("STREAM_APP_UPDATE_METRICS"):
        PAGE.write_text(head + tables())
        return
    assert title + rest == tables()


def test_names_are_as_prometheus_wants_them() -> None:
    """Base units at the end, `_total` left to the kind, and no name twice."""
    kinds = [(name, "gauge") for name, _, _ in PROCESS]
    kinds += [(m.name, m.kind) for m in TABLE] + [(m[0], m[1]) for m in SERVING]
    kinds += [(m[0], m[1]) for m in (*OPS, *BRIDGE)]
    names = [name for name, _ in kinds]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"stream_app_[a-z_]+", name)] == []
    assert [
        n for n in names if re.search(r"(_total|_ms|_milliseconds|_kilobytes|_percent|_count|_sum)$", n)
    ] == []
    assert [name for name, kind in kinds if kind == "histogram" and not name.endswith("_seconds")] == []
