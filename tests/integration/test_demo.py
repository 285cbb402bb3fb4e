"""The demo as a newcomer runs it, on the session's servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import orjson
import psutil

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine
from tests.integration.serving import until

SHORTEST_STORY = ["drift", "swap"]


def test_the_demo_equals_bare_river_and_recovers_from_a_turned_concept(
    services: Endpoints, stream_app: CommandLine, tmp_path: Path
) -> None:
    """Both data sets come out to the bit, the third tells its story, and the dashboard shows all of them;
    SIGTERM leaves nothing of it.
    """
    environment = {**os.environ, **stream_app.environment, "STREAM_APP_SNAPSHOTS__URL": str(tmp_path / "s")}
    environment["STREAM_APP_SIGNING__KEYS"] = "5a" * 32
    said = tmp_path / "said"
    with (
        said.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "stream_app", "demo", "--json", "--serve"],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as demo,
    ):
        assert demo.stdout is not None
        try:
            judge(demo.stdout.readline())
            until(lambda: "Ctrl-C ends it" in said.read_text(), "it goes on")
            shows(said.read_text())
            children = psutil.Process(demo.pid).children(recursive=True)
            demo.terminate()
            assert (demo.wait(40), len(children) >= 2) == (0, True), said.read_text()[-3000:]
            assert psutil.wait_procs(children, 5)[1] == []
        finally:
            demo.terminate()  # killed, it would leave its children


def shows(said: str) -> None:
    """The address that was printed last leads to all three boards, and the last one goes on."""
    address, token = re.findall(r"(http://127\.0\.0\.1:\d+)/#token=(\w+)", said)[-1]
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        names = [board["app"] for board in client.get("/v1/boards").json()["apps"]]
        assert [name.split("-")[1] for name in names] == ["phishing", "shuttle", "turning"]
        first = learned(client, names[2])
        until(lambda: learned(client, names[2]) > first, "events go on")


def learned(client: httpx.Client, name: str) -> int:
    """Labels that its board counts."""
    found: int = client.get(f"/v1/board/{name}").json()["detail"]["labels"]["learned"]
    return found


def judge(line: bytes) -> None:
    """The line for machines."""
    told = orjson.loads(line)
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
