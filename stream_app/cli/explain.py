"""`stream-app explain MODULE:APP EVENT_ID`: why a served prediction was what it was."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from math import floor, log10
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.cli.past import open_past
from stream_app.errors import Refused, UsageError

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.learner.history.explained import Explained
    from stream_app.settings import Settings
    from stream_app.wiring.past import PastOpener
    from topics.records import Prediction

app = typer.Typer()


@app.command()
def explain(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP")],
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="Whose prediction it is.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Its entity: one partition is searched instead of all."),
    ] = None,
    most: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000, help="So many features; the rest is summed up.")
    ] = 10,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say which features made a served prediction what it was, and how far each moved it.

    The shard is replayed to the event, with the models and features as they were, and must come to the
    prediction that was served. Linear models and the paths of trees are exact; others are explained by what
    changes without each feature, and say so.
    """
    pin()
    from rich.console import Console

    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.past import past_opener

    configure_logs()
    definition, settings = load_app(target), settings_for()
    with Console(file=sys.stderr).status(f"looking for the prediction of {event_id}") as status:
        served = find(definition, settings, event_id, key, status.update)
        opener = past_opener(definition, settings)
    found = replayed(opener, served, most)
    document = document_of(served, found)
    if json:
        print_json(document)
    else:
        sys.stdout.write(text_of(document))


def find(definition: Application, settings: Settings, event_id: str, key: str | None, say: Any) -> Prediction:
    """The committed prediction of an event.

    Raises:
        UsageError: there is none.
    """
    from stream_app.client.checks import encoded_key
    from stream_app.inspect.served_predictions import find_prediction
    from topics.catalog import catalog
    from topics.placement import partition_for

    numbers = list(range(definition.shards))
    if key is not None:
        numbers = [partition_for(encoded_key(key), definition.shards)]
    topic = catalog(definition.name, definition.shards).predictions.name
    found = find_prediction(
        settings.kafka.kafka_python(),
        topic,
        numbers,
        event_id,
        lambda read: say(f"{read:,} predictions seen"),
    )
    if found is None:
        raise UsageError(
            f"{topic} holds no prediction of event {event_id!r}" + (f" under key {key!r}" if key else ""),
            "Correct the id; an event that was refused is among `stream-app dlq ls MODULE:APP`",
        )
    return found


def replayed(opener: PastOpener, served: Prediction, most: int) -> Explained:
    """The explanation, by a replay that comes to the served prediction.

    Raises:
        Refused: it comes to another one.
    """
    from stream_app.learner.history.explained import explain_event

    with open_past(opener, served.shard) as past:
        found = explain_event(past, served.offset, most)
    made = found.made
    ours = (made.event_id, made.prediction, made.model, made.version)
    if ours != (served.event_id, served.prediction, served.model.name, served.model.version):
        raise Refused(
            f"the replay predicts {made.prediction!r} by {made.model} v{made.version} for {made.event_id!r}, "
            f"served was {served.prediction!r} by {served.model.name} v{served.model.version}",
            "Run `stream-app verify MODULE:APP`: it names the batch that differs",
        )
    return found


def document_of(served: Prediction, found: Explained) -> dict[str, Any]:
    """The served prediction with the row that the models saw, and the explanation."""
    from topics.records import value_of

    value = value_of(served)
    value["model"] = value_of(served.model)
    return {**value, "row": found.row, "explanation": found.explanation}


def text_of(document: dict[str, Any]) -> str:
    """A headline, then a line for each feature."""
    from orjson import dumps

    when = datetime.fromtimestamp(document["time_ms"] / 1000, UTC).isoformat(" ", "milliseconds")
    model, explanation = document["model"], document["explanation"]
    where = f"event {document['event_id']} of {document['key']} at {when} (shard {document['shard']}, offset"
    lines = [f"{where} {document['offset']:,})"]
    by = f"{model['name']} v{model['version']}, which had learned {document['learned']:,} labels"
    if explanation is None:
        return "\n".join([*lines, f"  cold: {by}, had nothing to say", ""])
    lines.append(f"  predicted {dumps(document['prediction']).decode()} by {by}")
    unit = explanation["unit"]
    about = f" of {dumps(explanation['about']).decode()}" if "about" in explanation else ""
    exact = "exact" if explanation["exact"] else "approximate"
    rest = "that no single feature explains" if explanation["method"] == "removal" else "before any feature"
    terms = [(one["contribution"], one["reason"]) for one in explanation["contributions"]]
    if explanation["rest"]:
        terms.append((explanation["rest"], "all other features"))
    number = f"+.{decimals(explanation['sum'], explanation['base'], *(term for term, _ in terms))}f"
    lines.append(
        f"  {unit}{about}: {explanation['sum']:{number}} in all, {explanation['base']:{number}} {rest} "
        f"({explanation['method']}, {exact})"
    )
    width = max((len(f"{term:{number}}") for term, _ in terms), default=0)
    lines += [f"    {term:{number}}".rjust(width + 4) + f"  {reason}" for term, reason in terms]
    return "\n".join([*lines, ""])


def decimals(*values: float) -> int:
    """How many decimals show four digits of the largest value.

    >>> decimals(-2.06, 0.0068), decimals(35828.5, 12.0), decimals(0.0)
    (3, 0, 3)
    """
    largest = max(map(abs, values))
    return min(12, max(0, 3 - floor(log10(largest)))) if largest else 3
