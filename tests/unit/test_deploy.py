"""Rules and dashboards ask for metrics and labels that exist, and lead to sections of the runbook that do."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.adapters.bridge_metrics import BRIDGE
from stream_app.adapters.metrics_table import PROCESS, TABLE
from stream_app.adapters.serving_metrics import SERVING
from tests.architecture.test_docs import anchors

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
BOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
NAME = re.compile(r"\b(?:stream_app[a-z0-9_:]*|process_[a-z_]+|up)\b")
OTHERS = {
    name: {"job", "instance"}
    for name in ("up", "process_start_time_seconds", "process_resident_memory_bytes")
}
WORDS = {"and", "or", "on", "by", "sum", "max", "min", "avg", "count", "rate", "increase", "changes", "time"}
BUILT_IN = {"le", "job", "instance"}
FIELDS = {"title", "type", "description", "gridPos", "datasource", "targets", "fieldConfig", "id"}


def exported() -> dict[str, set[str]]:
    """Every name that a query may ask for, with its labels."""
    declared: list[tuple[str, str, tuple[str, ...]]] = [(name, "gauge", of) for name, _, of in PROCESS]
    declared += [(m.name, m.kind, ("app", "shard", *m.labels)) for m in TABLE]
    declared += [(name, kind, labels) for name, kind, _, labels, _ in SERVING]
    declared += [(name, kind, ("app", *labels)) for name, kind, _, labels in BRIDGE]
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return OTHERS | {
        f"{name}{ending}": {*labels} for name, kind, labels in declared for ending in endings[kind]
    }


def rules() -> list[dict[str, Any]]:
    """Every rule of every group."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(board: Path) -> list[dict[str, Any]]:
    """A dashboard's panels but its headings."""
    return [panel for panel in json.loads(board.read_text())["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """(where it stands, expression) of rules and dashboards."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for board in BOARDS:
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{board.name}: {panel['title']}", target["expr"]


def labels_in(expr: str) -> set[str]:
    """Labels that an expression selects or groups by."""
    found = set(re.findall(r"[{,]\s*([a-z_]+)\s*(?:=~|!~|!=|=)", expr))
    for group in re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", expr):
        found |= {label.strip() for label in group.split(",")}
    return found


@pytest.mark.parametrize(("where", "expr"), list(queries()))
def test_queries_ask_for_what_is_exported(where: str, expr: str) -> None:
    """Each metric is declared, or recorded by a rule, and some metric of the query has each label."""
    known, recorded = exported(), {rule["record"] for rule in rules() if "record" in rule}
    names = {name for name in NAME.findall(re.sub(r"\"[^\"]*\"", '""', expr)) if name not in WORDS}
    assert names
    assert names - known.keys() - recorded == set()
    labels = set().union(*(known.get(name, {"app", "shard"}) for name in names))
    assert labels_in(expr) - labels - BUILT_IN == set()


def test_alerts_say_how_bad_what_and_where_to_read_on() -> None:
    """Severity, summary, description, and an anchor of the runbook that exists."""
    sections = anchors(ROOT / "docs" / "runbooks.md")
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 10
    for alert in alerts:
        assert alert["labels"]["severity"] in {"info", "warning", "critical"}, alert["alert"]
        told = alert["annotations"]
        assert set(told) == {"summary", "description", "runbook_url"}, alert["alert"]
        page, _, anchor = told["runbook_url"].partition("#")
        assert (page, anchor in sections) == ("docs/runbooks.md", True), told["runbook_url"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_dashboards_are_whole(board: Path) -> None:
    """A data source and an application to choose, and on each panel a unit, a description and a place of its
    own; every query keeps to the chosen application.
    """
    told = json.loads(board.read_text())
    assert (told["uid"], told["id"]) == (f"stream-app-{board.stem}", None)
    variables = {variable["name"]: variable for variable in told["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert "label_values(" in variables["app"]["query"]["query"]
    places: set[tuple[int, int]] = set()
    for panel in panels(board):
        assert FIELDS - panel.keys() == set(), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert [t for t in panel["targets"] if 'app=~"$app"' not in t["expr"]] == [], panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not places & cells, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        places |= cells


def test_dashboards_are_what_their_script_makes() -> None:
    """After a change of scripts/_dashboards.py, run it."""
    made = runpy.run_path(str(ROOT / "scripts" / "_dashboards.py"))
    assert {board.stem: board.read_text() for board in BOARDS} == {
        name: made["text"](name) for name in made["BOARDS"]
    }


def test_there_is_a_dashboard_for_each_question() -> None:
    """How it goes, how good the models are, what predictors do."""
    assert [board.stem for board in BOARDS] == ["models", "overview", "serving"]
