"""`stream-app demo`: real data through real Kafka and Valkey, compared with bare River to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any

import orjson
import typer

from stream_app.cli.context import pin, print_json, settings_for
from stream_app.cli.demo.reference import Act, compare
from stream_app.errors import StreamAppError
from stream_app.own_process import own_command
from stream_app.settings import load_settings

app = typer.Typer()
KEYS = 1_000
IDLE_S = 0.5
STEP_MS = 2


ACTS = (
    Act("phishing", "Phishing, 1,250 rows, labels 100 events late", 100),
    Act("shuttle", "Shuttle, 49,097 rows, labels inside the events", None),
)


@app.command()
def demo(
    json: bool = typer.Option(False, "--json", help="The last line is one JSON object."),
    keep: bool = typer.Option(False, help="Leave the embedded services running."),
    serve: bool = typer.Option(False, help="Keep the dashboard open in the end, until Ctrl-C."),
) -> None:
    """Stream two data sets of River's, then one whose concept turns over, with a dashboard over all three.

    Exit 0 only if every committed prediction of the two equals bare River's, and the third is recovered from.
    """
    os.environ.setdefault("STREAM_APP_DEMO_RUN", str(time.time_ns() // 1_000_000))
    pin()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or its children would outlive it
    from rich.console import Console

    from stream_app.cli.demo import app as demo_app
    from stream_app.cli.demo import dashboard as demo_dashboard
    from stream_app.cli.demo import drift as demo_drift
    from stream_app.embedded import services

    console = Console(file=sys.stderr)
    named = load_settings()
    own = not (named.kafka.bootstrap_servers and named.redis.url.get_secret_value())
    ran_before = services.running() is not None
    if own:
        console.print("[bold]stream_app[/] · starting Kafka and Valkey")
        services.up()
    try:
        settings = settings_for(redis=True)
        create_topics(settings)
        with demo_dashboard.dashboard([*(act.name for act in ACTS), "turning"]) as shown:
            console.print(f"dashboard, from now on: [bold]{shown.address}[/]", soft_wrap=True)
            results = [run_act(act, console) for act in ACTS]
            drifted = demo_drift.run(settings, console)
            total = {**summarise(results), "drift": drifted}
            show(results, total, console)
            print_drift(drifted, console)
            shown.wait()
            if json:
                print_json(total)
            if serve:
                address = f"{shown.address}&app={demo_app.turning.name}"
                console.print(f"dashboard: [bold]{address}[/]", soft_wrap=True)
                console.print("the last act goes on slowly; Ctrl-C ends it")
                stream = demo_drift.rows()[demo_drift.TURN :]
                demo_dashboard.serve(shown, "turning", settings, stream)
            else:
                console.print("the dashboard ends with the demo; --serve keeps it open")
    finally:
        if own and not keep and not ran_before:
            services.down()
    if not total["identical_to_reference"] or drifted["recovered_after"] is None:
        raise typer.Exit(1)


def create_topics(settings: Any) -> None:
    """Of every act, before whoever looks on starts."""
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.cli.demo import app as demo_app
    from stream_app.wiring.topics import catalog_for

    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        for definition in (demo_app.phishing, demo_app.shuttle, demo_app.turning):
            admin.create(catalog_for(definition, settings))


def run_act(act: Act, console: Any) -> dict[str, Any]:
    """Produce, learn, read back, compare."""
    from river import datasets

    from stream_app.cli.demo import app as demo_app

    definition = getattr(demo_app, act.name)
    settings = settings_for(redis=True)
    rows = list({"phishing": datasets.Phishing, "shuttle": datasets.Shuttle}[act.name]())
    console.rule(act.title)
    produce(definition.name, rows, act.delay, settings, console)
    learn(act, definition, settings, len(rows), console)
    with console.status("comparing with bare River"):
        return compare(act, definition, rows, settings)


def produce(name: str, rows: list[Any], delay: int | None, settings: Any, console: Any) -> None:
    """Write events and labels; the label of event i is stamped 1 ms before event i + delay."""
    from rich.progress import track

    from stream_app.client.producer import UNSET, EventProducer

    start_ms = time.time_ns() // 1_000_000 - STEP_MS * (len(rows) + (delay or 0))
    with EventProducer(name, settings.kafka.kafka_python()) as producer:
        for i, (x, y) in enumerate(track(rows, "producing", console=console, transient=True)):
            label = UNSET if delay is not None else y
            producer.send(f"entity-{i % KEYS}", x, f"{i}", label, start_ms + STEP_MS * i)
            if delay is not None:
                producer.label(f"entity-{i % KEYS}", f"{i}", y, time=start_ms + STEP_MS * (i + delay) - 1)


def learn(act: Act, definition: Any, settings: Any, n: int, console: Any) -> None:
    """Run a learner until it is idle, and show what it says of itself meanwhile."""
    from rich.live import Live

    command = own_command("learn", f"stream_app.cli.demo.app:{act.name}")
    newest: dict[str, Any] = {}
    done = threading.Event()
    follower = threading.Thread(target=follow, args=(definition.name, settings, newest, done), daemon=True)
    follower.start()
    with subprocess.Popen([*command, "--exit-when-idle", str(IDLE_S)], stderr=subprocess.PIPE) as learner:
        tail: deque[bytes] = deque(maxlen=20)
        reader = threading.Thread(target=tail.extend, args=(learner.stderr,), daemon=True)
        reader.start()
        started_s = time.monotonic()
        with Live(console=console, transient=True) as live:
            while learner.poll() is None:
                live.update(panel(newest, n, time.monotonic() - started_s))
                time.sleep(0.1)
        reader.join(1.0)
        if learner.returncode:
            sys.stderr.write(b"".join(tail).decode(errors="replace"))
            raise StreamAppError(
                f"the learner ended with {learner.returncode}", "Its last log lines are above"
            )
    done.set()
    follower.join(3.0)


def follow(name: str, settings: Any, newest: dict[str, Any], done: threading.Event) -> None:
    """Keep the newest statistics record."""
    from stream_app.client.consumer import CommittedReader

    while not done.is_set():
        reader = CommittedReader(settings.kafka.kafka_python(), f"{name}.stats", timeout_s=1.0)
        for record in reader:
            newest.update(orjson.loads(record.value))
        reader.close()


def panel(stats: dict[str, Any], n: int, elapsed_s: float) -> Any:
    """The newest statistics of the learner as a table."""
    from rich.table import Table

    table = Table(title="learner (live)", min_width=60)
    for column in ("events", "learned", "events/s", "lag", "slot", "rolling accuracy", "kappa"):
        table.add_column(column, justify="right")
    if not stats:
        table.add_row("starting", "", "", "", "", "", "")
        return table
    counts, position = stats["counts"], stats["positions"]["events"]
    for i, slot in enumerate(stats["slots"]):
        rolling = slot["scores"]["rolling"]
        scores = (slot["name"], f"{rolling.get('accuracy', 0):.4f}", f"{rolling.get('kappa', 0):.4f}")
        speed = counts["events"] / max(elapsed_s, 0.1)
        head = (
            f"{counts['events']:,}",
            f"{counts['labels_learned']:,}",
            f"{speed:,.0f}",
            f"{max(0, n - position):,}",
        )
        table.add_row(*(head if i == 0 else ("",) * 4), *scores)
    return table


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums, accuracies weighted by events, and each data set by itself."""
    events = sum(result["events"] for result in results)

    def weighted(name: str) -> float:
        return float(sum(result[name] * result["events"] for result in results) / events)

    sums = {
        n: sum(result[n] for result in results) for n in ("predictions", "labels_learned", "dead_letters")
    }
    return {
        "events": events,
        **sums,
        "accuracy": weighted("accuracy"),
        "reference_accuracy": weighted("reference_accuracy"),
        "identical_to_reference": all(result["identical_to_reference"] for result in results),
        "events_per_second": round(events / sum(result["seconds"] for result in results)),
        "datasets": results,
    }


def show(results: list[dict[str, Any]], total: dict[str, Any], console: Any) -> None:
    """One row for each data set and one for all of them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title="exactly once, and exactly River", box=SIMPLE_HEAD, padding=0)  # fits 80 columns
    for column in (
        "data",
        "events",
        "predicted",
        "learned",
        "dead",
        "accuracy",
        "River",
        "identical",
        "events/s",
    ):
        table.add_column(column, justify="left" if column == "data" else "right", no_wrap=True)
    for row in (*results, {**total, "name": "together"}):
        table.add_row(
            row["name"],
            f"{row['events']:,}",
            f"{row['predictions']:,}",
            f"{row['labels_learned']:,}",
            str(row["dead_letters"]),
            f"{row['accuracy']:.4f}",
            f"{row['reference_accuracy']:.4f}",
            "yes" if row["identical_to_reference"] else "NO",
            f"{row['events_per_second']:,}",
        )
    console.print(table)


def print_drift(drifted: dict[str, Any], console: Any) -> None:
    """The second act in one sentence."""

    def after(name: str) -> str:
        return "never" if drifted[name] is None else f"{drifted[name]:,} events after the turn"

    console.print(
        f"the concept turned over at event {drifted['turn_at']:,}: accuracy fell from "
        f"{drifted['accuracy_before']:.2f} to {drifted['accuracy_dip']:.2f}; alarm {after('alarm_after')}, "
        f"swap {after('swap_after')}, as good as before {after('recovered_after')} "
        f"({drifted['serving']} serves)"
    )
