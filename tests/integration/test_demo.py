"""The demo as a newcomer runs it, on the session's servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine

SHORTEST_STORY = ["drift", "swap"]


def test_the_demo_equals_bare_river_and_recovers_from_a_turned_concept(
    services: Endpoints, stream_app: CommandLine, tmp_path: Path
) -> None:
    """Both data sets come out to the bit, and the third tells its story: alarm, swap, as good as before."""
    environment = {**os.environ, **stream_app.environment, "STREAM_APP_SNAPSHOTS__URL": str(tmp_path / "s")}
    environment["STREAM_APP_SIGNING__KEYS"] = "a key for the length of a test"
    done = subprocess.run(
        [sys.executable, "-m", "stream_app", "demo", "--json"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = orjson.loads(done.stdout.splitlines()[-1])
    assert told["identical_to_reference"] is True
    assert [one["identical_to_reference"] for one in told["datasets"]] == [True, True]
    assert told["events"] == told["predictions"] == told["labels_learned"] == 50_347
    assert told["dead_letters"] == 0
    assert told["accuracy"] == told["reference_accuracy"]
    drifted = told["drift"]
    assert drifted["predictions"] == drifted["events"]
    story = [alert["type"] for alert in drifted["alerts"] if alert["time_ms"]]
    assert [kind for kind in story if kind in SHORTEST_STORY][:2] == SHORTEST_STORY
    assert 0 < drifted["alarm_after"] < drifted["swap_after"] < 500
    assert drifted["accuracy_dip"] < 0.7
    assert drifted["accuracy_at_end"] > drifted["accuracy_before"] - 0.03
    assert drifted["serving"] != "champion v1"
