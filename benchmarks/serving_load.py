"""What `benchmarks.serving` starts beside a predictor: the load on it, and the server to compare it with.

    python -m benchmarks.serving_load                             answers plans, one JSON object a line
    python -m benchmarks.serving_load constant MODULE:APP PORT    serves /v1/predict with a constant

The load is one loop over the sockets that epoll says can be read. Requests are made beforehand; of an answer
the status and the length are read, and whatever takes longer waits until the clock has stopped.
"""

from __future__ import annotations

import gc
import os
import random
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import orjson
from fastapi import APIRouter, FastAPI, Response
from hdrh.histogram import HdrHistogram  # type: ignore[import-not-found,import-untyped,unused-ignore]

from benchmarks.common import ENTITIES, made
from stream_app.cli import serve as command
from stream_app.predictor.http import PROBLEMS, StrictRoute, json
from stream_app.predictor.requests import PredictRequest, PredictResponse
from stream_app.web.guard import BodyLimit, Guard
from stream_app.web.problems import handle_errors
from stream_app.web.routes import allow

HOST = "127.0.0.1"
ROWS = 100  # of a batch
BATCHES = 50
LONGEST_US = 60_000_000
EARLY_S = 0.0002  # before a request is due, it is looked for without sleeping
LATE_S = 30.0  # after the last request every answer must be here
PRIORITY = -5  # of load and servers where that is allowed: what else runs here shall hold them up less
AWAY = "view-unreachable"
SAMPLED = 97  # one body of so many is looked at as a whole
SEED = 5
ANSWER = {
    "cold": False, "entity_known": True, "fallback": False, "feature_age_ms": 100_000, "key": "constant",
    "learned": 20_000, "model": {"name": "champion", "version": 1}, "model_age_ms": 100_000,
    "prediction": True, "probabilities": {"false": 0.123456789012345, "true": 0.876543210987655},
    "shard": 0, "stale": True, "stale_because": ["model-age"], "time_ms": 1_795_546_777_554,
}  # fmt: skip


class Plan(NamedTuple):
    """`rate` None: a closed loop, whose connections each send as soon as they are answered.

    Else requests are due at random times, so many a second on average, and wait while no connection is free:
    what a request took counts from when it was due. What happens in the first `warm_s` is not measured.
    """

    port: int
    kind: str
    seconds: float
    connections: int
    rate: float | None = None
    warm_s: float = 0.5


class Connection:
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number, self.due_s, self.have = 0, 0.0, b""

    def send(self, number: int, due_s: float, request: bytes) -> None:
        """Begin a request that was due at a moment."""
        self.number, self.due_s, self.have = number, due_s, b""
        self.socket.sendall(request)

    def answered(self) -> tuple[bool, bytes] | None:
        """Whether the status was 200, and the body; None while something is still to come."""
        data = self.socket.recv(262_144)
        if not data:
            raise SystemExit("the server closed a connection")
        have = self.have = self.have + data if self.have else data
        end = have.find(b"\r\n\r\n")
        if end < 0:
            return None
        at = have.find(b"content-length: ", 0, end) + 16
        length = int(have[at : have.find(b"\r\n", at)])
        if len(have) < end + 4 + length:
            return None
        return have.startswith(b"HTTP/1.1 200 "), have[end + 4 :]


def requests_of(kind: str) -> list[bytes]:
    """What is sent in turn, over and over."""
    events = list(islice(made(ENTITIES), ENTITIES))
    if kind == "features":
        head = "GET /v1/features/{} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\r\n"
        return [head.format(event.key, HOST).encode() for event in events]
    rows = [{"key": event.key, "features": event.features} for event in events]
    if kind != "batch":
        return [post("/v1/predict", row) for row in rows]
    step = ENTITIES // BATCHES
    return [
        post("/v1/predict/batch", {"rows": [rows[(first * step + i) % ENTITIES] for i in range(ROWS)]})
        for first in range(BATCHES)
    ]


def post(path: str, value: Any) -> bytes:
    """A request with a JSON body."""
    body = orjson.dumps(value)
    kinds = f"Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{kinds}\r\n\r\n".encode() + body


def fault(kind: str, number: int, body: bytes) -> str | None:
    """What is wrong with the answer to a request, by its number; None: nothing."""
    told, key = orjson.loads(body), f"entity-{number % ENTITIES}"
    if kind == "constant":
        good = told == ANSWER
    elif kind == "predict":
        good = row_holds(told, key)
    elif kind == "features":
        good = told["key"] == key and told["entity_known"]
        good = good and len(told["features"]) == 3 and told["features"]["count_10m"] > 0
    else:
        first = number % BATCHES * (ENTITIES // BATCHES)
        keys = [f"entity-{(first + i) % ENTITIES}" for i in range(ROWS)]
        good = all(row_holds(row, key) for row, key in zip(told["rows"], keys, strict=True))
    return None if good else body[:2_000].decode()


def row_holds(row: dict[str, Any], key: str) -> bool:
    """A prediction of a warm model that knew the entity; whether it says that it is old is counted apart."""
    probabilities = row.get("probabilities", {})
    return (
        row["key"] == key
        and type(row["prediction"]) is bool
        and row["entity_known"]
        and set(row["stale_because"]) <= {"model-age", AWAY}
        and abs(sum(probabilities.values()) - 1) < 1e-9
    )


def measure(plan: Plan, requests: list[bytes]) -> dict[str, Any]:
    """Send by the plan; every status counts, and a body now and then is kept for a closer look."""
    connections = [Connection(plan.port) for _ in range(plan.connections)]
    by_number = {one.socket.fileno(): one for one in connections}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    # In turn: one that rests for five seconds is closed by the server.
    idle, waiting = deque(connections), deque[float]()
    took_s: list[float] = []
    lags_s: list[float] = []
    kept: list[tuple[int, bytes]] = []
    refused: list[bytes] = []
    sent = answers = 0
    dice, clock, rate, many = random.Random(SEED), time.perf_counter, plan.rate, len(requests)
    cpu_s, start_s = time.process_time(), clock()
    warm_at_s, end_s = start_s + plan.warm_s, start_s + plan.warm_s + plan.seconds
    due_s = start_s if rate else float("inf")
    while True:
        now_s = clock()
        while due_s <= now_s and due_s < end_s and rate:
            waiting.append(due_s)
            due_s += dice.expovariate(rate)
        if rate is None and now_s < end_s:
            waiting.extend([now_s] * len(idle))
        while idle and waiting:
            connection, asked_s = idle.popleft(), waiting.popleft()
            if asked_s >= warm_at_s:
                lags_s.append(clock() - asked_s)
            connection.send(sent, asked_s, requests[sent % many])
            sent += 1
        if not waiting and len(idle) == len(connections) and (now_s >= end_s or (rate and due_s >= end_s)):
            break
        if now_s > end_s + LATE_S:
            raise SystemExit(
                f"{sent - answers} of {sent} requests were not answered, {len(waiting)} not sent"
            )
        # epoll counts in milliseconds; as a file that select watches it wakes more exactly.
        select.select([poll], [], [], max(0.0, min(due_s, now_s + 1.0) - clock() - EARLY_S))
        for number, _ in poll.poll(0):
            connection = by_number[number]
            answer = connection.answered()
            if answer is None:
                continue
            now_s = clock()
            if warm_at_s <= connection.due_s and (rate or now_s <= end_s):
                took_s.append(now_s - connection.due_s)
            if not answer[0]:
                refused.append(answer[1])
            elif answers % SAMPLED == 0:
                kept.append((connection.number, answer[1]))
            answers += 1
            idle.append(connection)
    cpu_s, wall_s = time.process_time() - cpu_s, clock() - start_s
    poll.close()
    for one in connections:
        one.socket.close()
    return {
        **summary(took_s, lags_s),
        "rate": len(took_s) / plan.seconds,
        "answers": answers,
        "refused": len(refused),
        "refusal": refused[0].decode() if refused else None,
        "checked": len(kept),
        "away": sum(AWAY.encode() in body for _, body in kept),
        "fault": next((text for number, body in kept if (text := fault(plan.kind, number, body))), None),
        "load_cpu_us": cpu_s / answers * 1e6,
        "load_busy": cpu_s / wall_s,
    }


def summary(took_s: list[float], lags_s: list[float]) -> dict[str, float]:
    """Percentiles in µs of what requests took, and of how long they had waited here before they were sent."""
    told: dict[str, float] = {"measured": len(took_s)}
    for name, values in (("", took_s), ("lag_", lags_s)):
        histogram = HdrHistogram(1, LONGEST_US, 3)
        for value in values:
            histogram.record_value(max(1, round(value * 1e6)))
        for percentile in (50, 99, 99.9, 100):
            told[f"{name}p{percentile:g}_us"] = histogram.get_value_at_percentile(percentile)
    return told


def constant() -> FastAPI:
    """The route for one prediction as `create_app` makes it, but for the handler, which knows the answer."""
    guard = Guard({}, None)
    router = APIRouter(prefix="/v1", route_class=StrictRoute, responses=PROBLEMS)

    @router.post("/predict", response_model=PredictResponse, dependencies=[allow(guard, "read")])
    async def predict(asked: PredictRequest) -> Response:  # noqa: ARG001  read and checked, as by the other
        return json(ANSWER)

    app = FastAPI(title="constant", version="1", docs_url="/docs", redoc_url=None)
    app.include_router(router)
    app.add_middleware(BodyLimit)
    handle_errors(app)
    return app


def main() -> int:
    """Serve the constant, or load whatever the plans on stdin name."""
    if sys.argv[1:2] == ["constant"]:
        command.application = constant  # all else is `stream-app serve`, with its settings of the server
        command.serve(sys.argv[2], host=HOST, port=int(sys.argv[3]), workers=1)
        return 0
    made_ready = {kind: requests_of(kind) for kind in ("predict", "batch", "features")}
    made_ready["constant"] = made_ready["predict"]
    gc.freeze()
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    for line in sys.stdin:
        plan = Plan(**orjson.loads(line))
        gc.disable()
        told = measure(plan, made_ready[plan.kind])
        gc.enable()
        sys.stdout.buffer.write(orjson.dumps(told) + b"\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
