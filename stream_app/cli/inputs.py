"""`stream-app inputs try MODULE:APP`: what the records of the user's topics become, before anything runs."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import orjson
import typer
from msgspec import UNSET

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import Unreachable, UsageError
from stream_app.inputs.schemas import RegistryAway
from stream_app.inputs.topic import Event, Label, Skipped
from topics.codec import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.application import Application
    from stream_app.bridge.translation import Found, Translated
    from stream_app.flow.record_rules import FeatureRules

SHOWN = 200  # characters of a line's last part

app = typer.Typer(no_args_is_help=True, help="Show what records of your own topics become.")


@app.callback()
def inputs() -> None:
    """Show what records of your own topics become."""


@app.command(name="try")
def try_inputs(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    maximum: int = typer.Option(
        5, "--max", metavar="N", min=1, help="The newest N records of each partition."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON object per record."),
) -> None:
    """Read the newest records of each topic in `inputs=`, commit nothing, and show what each becomes.

    Judges each as the bridge and a learner that has learned nothing yet would, and names what no record has.
    Exit code 1 if a record would be a dead letter.
    """
    from stream_app.adapters.clock import SystemClock
    from stream_app.bridge.translation import Translator
    from stream_app.client.checks import rules_of
    from stream_app.inspect.newest_records import newest_records
    from stream_app.wiring.bridge import schemas_of

    definition, settings = load_app(target, models=False), settings_for()
    if definition.inputs is None:
        raise UsageError(
            f"{definition.name} has no inputs=",
            "Name the topics: Application(inputs=Inputs(events=Topic(…)), …)",
        )
    translator = Translator(definition, SystemClock().now_ms, schemas_of(settings))
    rules, outcomes, absent = rules_of(definition), Counter[str](), Absent(definition)
    for topic in definition.inputs.names:
        n = 0
        for record, place in newest_records(settings.kafka.kafka_python(), topic, maximum):
            try:
                read, n = translator.read(record, place), n + 1
            except RegistryAway as away:
                fix = "Start it, or correct STREAM_APP_REGISTRY__…; the bridge would wait for it"
                raise Unreachable(str(away), fix) from away
            shown = as_json(read, definition, rules)
            absent.look(topic, read.found)
            outcomes[shown["becomes"]] += 1
            if json:
                print_json(shown)
            else:
                sys.stdout.write(line(shown) + "\n")
        if not n and not json:
            sys.stdout.write(f"{topic} holds no records\n")
    if not json:
        sys.stdout.write(", ".join(f"{n} {what}" for what, n in sorted(outcomes.items())) + "\n")
    for note in absent.notes():
        sys.stderr.write(f"{note}\n")
    if outcomes["dead letter"]:
        raise typer.Exit(1)


class Absent:
    """Counts what the definition names and events have."""

    def __init__(self, definition: Application) -> None:
        self.events: Counter[str] = Counter()  # by topic
        self.labelled: Counter[str] = Counter()
        self.has: Counter[str] = Counter()  # events by feature
        topics = definition.inputs.event_topics if definition.inputs is not None else ()
        self.labels = {topic.name: topic.label for topic in topics if topic.label}
        paths = {name: path for topic in topics for name, path in topic.feature_paths.items()}
        self.named = {name: paths.get(name, name) for name in (*definition.named, *paths)}

    def look(self, topic: str, found: Any) -> None:
        """Count one record."""
        if isinstance(found, Event):
            self.events[topic] += 1
            self.labelled[topic] += found.label is not UNSET
            self.has.update(name for name, value in found.features.items() if value is not None)

    def notes(self) -> Iterator[str]:
        """Sentences about what none of the events has."""
        for topic, label in self.labels.items():
            n = self.events[topic]
            if n and not self.labelled[topic]:
                yield f"none of the {n} events of {topic} has the label {label!r}: is it misspelt?"
        n = self.events.total()
        for name, path in self.named.items():
            if n and not self.has[name]:
                of = f" (at {path!r})" if path != name else ""
                yield f"none of the {n} events has the feature {name!r}{of}: is it misspelt?"


def as_json(read: Translated, definition: Application, rules: FeatureRules) -> dict[str, Any]:
    """A record's place and what it becomes, once the learner has it."""
    from stream_app.flow.record_rules import features_for_models, label_type_fault

    found, place = cast("Found", read.found), read.place  # the user's topics hold no predictions
    shown: dict[str, Any] = {"place": f"{place.topic}/{place.partition}/{place.offset}"}
    if isinstance(found, Skipped):
        return {**shown, "becomes": "skipped", "why": found.why}
    if not isinstance(found, Event | Label):
        return {**shown, "becomes": "dead letter", "reason": found.reason, "why": found.message}
    fault = None if found.label is UNSET else label_type_fault(definition, found.label)
    if isinstance(found, Event) and fault is None:
        judged = features_for_models(rules, rules.kinds, (), {}, False, dict(found.features))
        fault = judged if isinstance(judged, Rejected) else None
    if fault is not None:
        return {**shown, "becomes": "dead letter", "reason": fault.reason, "why": fault.message}
    becomes = "event" if isinstance(found, Event) else "label"
    shown |= {"becomes": becomes, "id": found.id, "entity": found.key, "time_ms": read.time_ms}
    if isinstance(found, Event):
        shown["features"] = dict(found.features)
    if found.label is not UNSET:
        shown["label"] = found.label
    return shown


def line(shown: dict[str, Any]) -> str:
    """The same for a person."""
    head = f"{shown['place']}  {shown['becomes']}"
    if "why" in shown:
        return "  ".join([head, *([shown["reason"]] if "reason" in shown else []), shown["why"][:SHOWN]])
    moment = datetime.fromtimestamp(shown["time_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    entity = "that of its event" if shown["entity"] is None else shown["entity"]
    parts = [head, f"id {shown['id']}", f"entity {entity}", f"{moment} UTC"]
    parts += [
        f"{name} {orjson.dumps(shown[name]).decode()[:SHOWN]}"
        for name in ("features", "label")
        if name in shown
    ]
    return "  ".join(parts)
