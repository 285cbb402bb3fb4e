"""The demo's second act: a concept that turns over at a known event, and what the learner does about it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from itertools import islice
from typing import Any

import msgspec
import orjson

from stream_app.errors import StreamAppError
from stream_app.own_process import own_command

EVENTS = 6_000
TURN = 3_000  # the event from which on every label is the opposite
RATE = 1_500.0  # events a second, so that a person can watch
WINDOW = 250  # predictions of the accuracy that is shown
KEYS = 100
WIDTH = 40  # columns of the curve
BARS = " ▁▂▃▄▅▆▇█"
SHOWN = {"drift", "swap", "rollback"}
BACK = 0.02  # the accuracy before the turn, less so much, counts as recovered


class Seen(msgspec.Struct):
    """What came out so far: whether each prediction was right, by event, and the alerts in order."""

    right: dict[int, bool] = {}
    serving: str = "champion v1"
    alerts: list[dict[str, Any]] = []

    def accuracy(self, until: int) -> float:
        """Of the `WINDOW` events before `until`."""
        found = [self.right[i] for i in range(max(0, until - WINDOW), until) if i in self.right]
        return sum(found) / len(found) if found else 0.0


def rows() -> list[tuple[dict[str, float], bool]]:
    """River's Sine: two numbers and a curve; at `TURN` above becomes below."""
    from river.datasets import synth

    before = list(islice(iter(synth.Sine(classification_function=0, seed=7)), TURN))
    after = list(islice(iter(synth.Sine(classification_function=1, seed=8)), EVENTS - TURN))
    return [({str(name): float(x[name]) for name in x}, bool(y)) for x, y in before + after]


def run(settings: Any, console: Any) -> dict[str, Any]:
    """Produce and learn at once, show it, and sum up."""
    from rich.live import Live

    from stream_app.cli.demo.app import turning

    kafka = settings.kafka.kafka_python()
    console.rule(f"Sine, {EVENTS:,} events; from event {TURN:,} on every label is the opposite")
    stream, seen, done = rows(), Seen(), threading.Event()
    threads = [
        threading.Thread(target=produce, args=(turning.name, kafka, stream), daemon=True),
        threading.Thread(target=predictions, args=(turning.name, kafka, stream, seen, done), daemon=True),
        threading.Thread(target=alerts, args=(turning.name, kafka, seen, done), daemon=True),
    ]
    command = own_command("learn", "stream_app.cli.demo.app:turning")
    tail: deque[bytes] = deque(maxlen=20)
    with subprocess.Popen(
        [*command, "--no-admission", "--exit-when-idle", "1.5"], stderr=subprocess.PIPE
    ) as learner:
        reader = threading.Thread(target=tail.extend, args=(learner.stderr,), daemon=True)
        for thread in (reader, *threads):
            thread.start()
        with Live(console=console, transient=True) as live:
            while learner.poll() is None:
                live.update(view(seen))
                time.sleep(0.1)
        reader.join(1.0)
    if learner.returncode:
        sys.stderr.write(b"".join(tail).decode(errors="replace"))
        raise StreamAppError(f"the learner ended with {learner.returncode}", "Its last log lines are above")
    wait_for(seen)
    done.set()
    for thread in threads:
        thread.join(5.0)
    console.print(view(seen))
    return summary(seen)


def produce(name: str, kafka: Any, stream: list[Any]) -> None:
    """Write the events with their labels inside, at a pace that a person can follow."""
    from stream_app.client.producer import EventProducer

    start_ms, start_s = time.time_ns() // 1_000_000, time.monotonic()
    with EventProducer(name, kafka) as producer:
        for i, (x, y) in enumerate(stream):
            producer.send(f"entity-{i % KEYS}", x, f"{i}", y, start_ms + i)
            ahead_s = i / RATE - (time.monotonic() - start_s)
            if ahead_s > 0:
                time.sleep(ahead_s)


def predictions(name: str, kafka: Any, stream: list[Any], seen: Seen, done: threading.Event) -> None:
    """Compare each committed prediction with the label that we sent."""
    from stream_app.client.consumer import PredictionConsumer

    with PredictionConsumer(name, kafka, timeout_s=None) as consumer:
        for one in consumer:
            i = int(one["event_id"])
            seen.right[i] = one["prediction"] == stream[i][1]
            seen.serving = f"{one['model']['name']} v{one['model']['version']}"
            if done.is_set() or len(seen.right) == len(stream):
                return


def alerts(name: str, kafka: Any, seen: Seen, done: threading.Event) -> None:
    """Keep the alerts that are shown."""
    from stream_app.client.consumer import CommittedReader

    while not done.is_set():
        with CommittedReader(kafka, f"{name}.alerts", timeout_s=0.5) as reader:
            every_alert = [orjson.loads(record.value) for record in reader]
        seen.alerts = [alert for alert in every_alert if alert["type"] in SHOWN and mine(alert)]


def mine(alert: dict[str, Any]) -> bool:
    """A swap, a rollback, or a drift of the champion's loss."""
    return bool(alert["type"] != "drift" or alert["severity"] == "warning")


def at(alert: dict[str, Any]) -> int:
    """The event at which an alert was raised: with labels inside their events that is the record's offset."""
    return int(alert["alert_id"].split("/")[3])


def wait_for(seen: Seen) -> None:
    """The readers see the learner's last commits."""
    deadline_s = time.monotonic() + 10
    while len(seen.right) < EVENTS and time.monotonic() < deadline_s:
        time.sleep(0.05)
    time.sleep(1.0)


def curve(seen: Seen) -> str:
    """Accuracy along the stream; what has not come yet is blank."""
    step = EVENTS // WIDTH
    cells = []
    for column in range(WIDTH):
        span = [seen.right[i] for i in range(column * step, (column + 1) * step) if i in seen.right]
        cells.append(BARS[round(sum(span) / len(span) * (len(BARS) - 1))] if span else " ")
    return "".join(cells)


def view(seen: Seen) -> Any:
    """The curve with its turn, the model that serves, and the story so far."""
    from rich.console import Group
    from rich.table import Table

    n = len(seen.right)
    table = Table(title="the concept turns over (live)", show_header=False)
    table.add_row("events", f"{n:,} of {EVENTS:,}")
    table.add_row(f"accuracy, last {WINDOW}", f"{seen.accuracy(n):.3f}")
    table.add_row("serving", seen.serving)
    table.add_row("accuracy along the stream", curve(seen))
    table.add_row("", " " * (TURN * WIDTH // EVENTS) + "↑ turn")
    story = Table(show_header=False, box=None)
    for alert in seen.alerts:
        story.add_row(f"event {at(alert):,}", f"[bold]{alert['type']}[/]", alert["message"])
    return Group(table, story)


def summary(seen: Seen) -> dict[str, Any]:
    """The act in numbers; distances are in events after the turn, null where it did not happen."""
    after = [(alert["type"], at(alert) - TURN) for alert in seen.alerts if at(alert) >= TURN]
    first = {kind: next((gap for one, gap in after if one == kind), None) for kind in ("drift", "swap")}
    before = seen.accuracy(TURN)
    back = next(
        (i - TURN for i in range(TURN + WINDOW, EVENTS + 1) if seen.accuracy(i) >= before - BACK), None
    )
    return {
        "name": "turning",
        "events": EVENTS,
        "predictions": len(seen.right),
        "turn_at": TURN,
        "alarm_after": first["drift"],
        "swap_after": first["swap"],
        "recovered_after": back,
        "accuracy_before": before,
        "accuracy_dip": min(seen.accuracy(i) for i in range(TURN, EVENTS)),
        "accuracy_at_end": seen.accuracy(EVENTS),
        "serving": seen.serving,
        "alerts": seen.alerts,
    }
