"""What the dashboard costs: its server's share of a core, a page's bytes, and how smoothly it runs.

50 shards of 6 slots, one record a second of each, three listeners and one page in real Chromium. The records
are made up and decoded like those of Kafka; Kafka and Faust are not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import orjson
import psutil
import uvicorn
from fastapi import FastAPI

from stream_app.embedded.ports import free_ports
from stream_app.ops.dashboard import DashboardModel
from stream_app.ops.http import create_app
from stream_app.web.guard import Guard
from tests.browser.chromium import chromium
from topics.records import Stats

APP, SHARDS, SLOTS, LISTENERS = "bench", 50, 6, 3
HISTORY_S = 900
ASKED_SHARE = 0.10
LONG_TASKS = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "longtask", buffered: false });
}"""


def record(shard: int, second: int, time_ms: int) -> bytes:
    """A statistics record as a learner writes it."""
    scores = {"n": 1_000, "accuracy": 0.9, "kappa": 0.8, "f1": 0.85, "log_loss": 0.2, "roc_auc": 0.95}
    slots = [
        {
            "name": f"slot-{n}",
            "version": n,
            "learned": 50 * second,
            "failed": None,
            "scores": {
                "rolling": scores | {"accuracy": 0.9 - n / 50 + random.gauss(0, 0.002)},
                "cumulative": scores,
            },
        }
        for n in range(1, SLOTS + 1)
    ]
    told: dict[str, Any] = {
        "shard": shard,
        "time_ms": time_ms,
        "owner": f"host-{shard % 4}:1",
        "epoch": 0,
        "seq": second,
        "log_time_ms": time_ms,
        "dead_letters": {"malformed": second // 9, "label-late": second},
        "counts": dict.fromkeys(("events", "predictions", "labels", "labels_learned"), 99 * second),
        "waiting": {"pending": 400, "parked": 3},
        "entities": 1_000,
        "ids": 4_000,
        "paused": False,
        "serving": "slot-1",
        "slots": slots,
        "baseline": {"rolling": {"n": 1_000, "accuracy": 0.6}},
        "repredicted": {},
        "positions": {"events": second},
        "merge_waits_for": [],
        "buffered": {},
        "replayed_batches": 0,
        "view": {"stamp": f"0:{second}", "caught_up": True},
        "lag_s": 0.2,
        "snapshot": {"seq": 1, "age_s": 9.0, "bytes": 200_000, "cost_s": 0.1, "too_dear": False},
        "cost_s": {"step": 0.2 * second, "commit": 0.1 * second, "view": 0.02 * second},
        "lag": {"events": 9, "labels": 1},
        "moved": [[f"feature-{n}", 2.0 / (n + 1)] for n in range(20)],
        "drift": [
            {
                "signal": "features",
                "name": f"f{n}",
                "detector": "psi",
                "level": "stable",
                "before": 0.1,
                "after": 0.1,
                "at_ms": time_ms,
            }
            for n in range(5)
        ],
    }
    return orjson.dumps(told)


def serve(port: int) -> None:
    """The server's process: a full history at once, then one record a second of each shard."""
    board, read = DashboardModel(APP, SHARDS, "binary"), msgspec.json.Decoder(Stats).decode

    async def feed() -> None:
        second = HISTORY_S
        while True:
            second += 1
            records = [record(shard, second, int(time.time() * 1000)) for shard in range(SHARDS)]
            for value in records:
                board.stats(read(value))
            await asyncio.sleep(1)

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        now_ms = int(time.time() * 1000)
        for second in range(1, HISTORY_S + 1):
            for shard in range(SHARDS):
                board.stats(read(record(shard, second, now_ms - 1_000 * (HISTORY_S + 1 - second))))
        task = asyncio.ensure_future(feed())
        yield
        task.cancel()

    app = create_app({APP: board}, Guard({}, None), lambda _: [], lambda: (b"", "text/plain"), living)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)


def listen(address: str, taken: list[int], over: threading.Event) -> None:
    """One listener; counts its bytes."""
    with httpx.stream("GET", f"{address}/v1/board/{APP}/events", timeout=30) as response:
        for part in response.iter_raw():
            taken.append(len(part))
            if over.is_set():
                return


def measure(seconds: float) -> dict[str, Any]:
    """Run it all and sum up."""
    (port,) = free_ports(0)
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.dashboard", "--serve", str(port)])
    over, taken = threading.Event(), list[int]()
    try:
        wait(address)
        threads = [
            threading.Thread(target=listen, args=(address, taken, over), daemon=True)
            for _ in range(LISTENERS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(3)
        first = sum(taken)
        share = cpu_share(server.pid, seconds)
        rate = (sum(taken) - first) / seconds / LISTENERS
        page = look(address, seconds)
        over.set()
    finally:
        server.terminate()
        server.wait(10)
    return {"cpu_share": share, "asked": ASKED_SHARE, "bytes_a_second_and_listener": round(rate), **page}


def wait(address: str) -> None:
    """Until it serves."""
    for _ in range(600):
        try:
            httpx.get(f"{address}/livez")
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(address)


def cpu_share(pid: int, seconds: float) -> float:
    """Of one core."""
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return float(used / (time.monotonic() - began))


def look(address: str, seconds: float) -> dict[str, Any]:
    """One page for a while: what it loads, and its tasks of over 50 ms."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        sizes: list[int] = []
        page.on("requestfinished", lambda asked: sizes.append(asked.sizes()["responseBodySize"]))
        page.goto(address)
        page.locator("#scores canvas").wait_for()
        page.wait_for_timeout(3_000)
        loaded = sum(sizes)
        page.evaluate(LONG_TASKS)
        page.wait_for_timeout(seconds * 1000)
        tasks = page.evaluate("window.tasks")
    minutes = seconds / 60
    return {
        "page_bytes": loaded,
        "long_tasks_a_minute": len(tasks) / minutes,
        "longest_task_ms": max(tasks, default=0),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
    else:
        found = measure(given.seconds)
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        sys.exit(found["cpu_share"] > ASKED_SHARE)
