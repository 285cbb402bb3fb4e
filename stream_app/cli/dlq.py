"""`stream-app dlq ls|show|retry MODULE:APP`: dead letters."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import typer

from stream_app.cli.consume import parsed, text
from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import UsageError, printable
from topics import reasons
from topics.reasons import REASONS

if TYPE_CHECKING:
    from stream_app.inspect.dead_letters import DeadLetter

app = typer.Typer(no_args_is_help=True, help="List, show and retry dead letters.")
TARGET = typer.Argument(..., metavar="MODULE:APP")
JSON = typer.Option(False, "--json", help="One JSON object per line.")
REASON = typer.Option(None, "--reason", metavar="R", help="Only letters of this reason; may be repeated.")
MOST_RETRIES = 3
# What the bridge refuses was written by others, for whom `inputs=` says what it means.
MAPPED = (
    reasons.UNMAPPED,
    reasons.MALFORMED,
    reasons.BAD_TIME,
    reasons.NO_KEY,
    reasons.BAD_KEY,
    reasons.BAD_FEATURE,
    reasons.LABEL_BAD,
)
OF_BRIDGE = (
    "Say in inputs= what such records mean (docs/inputs.md), restart the bridge, then run "
    "`stream-app dlq retry MODULE:APP`; or leave them, if they mean nothing"
)
MESSAGES = 3  # of a reason
SHOWN = 1_000  # characters of a value for a person; --json prints all


@app.command()
def ls(target: str = TARGET, json: bool = JSON) -> None:
    """How many there are of each reason, what they say most often, and what to do about it."""
    by_reason: dict[str, list[DeadLetter]] = {}
    letters = letters_of(target)
    returned = came_back(letters)
    for letter in letters:
        by_reason.setdefault(letter.reason, []).append(letter)
    for reason in sorted(by_reason, key=lambda name: -len(by_reason[name])):
        letters = by_reason[reason]
        newest = max(letters, key=lambda letter: letter.time_ms)
        fix = OF_BRIDGE if newest.stage == "bridge" and reason in MAPPED else remedy(reason)
        again = sum(letter.place in returned for letter in letters)
        said = Counter(letter.message for letter in letters).most_common()
        if json:
            often = [{"message": message, "count": n} for message, n in said[:MESSAGES]]
            shown = {"reason": reason, "count": len(letters), "failed_again": again, "messages": often}
            print_json({**shown, "newest": as_json(newest), "fix": fix})
            continue
        note = f", {again:,} of them sent back and refused again" if again else ""
        where = f"newest {newest.place}, {moment(newest)}{note}"
        sys.stdout.write(f"{len(letters):>7,} {printable(reason)} ({where})\n")
        for message, n in said[:MESSAGES]:
            sys.stdout.write(f"        {n:,} × {printable(message)}\n")
        if len(said) > MESSAGES:
            rest = sum(n for _, n in said[MESSAGES:])
            sys.stdout.write(f"        {rest:,} × {len(said) - MESSAGES:,} other messages\n")
        sys.stdout.write(f"        fix: {fix}\n")
    if not by_reason and not json:
        sys.stdout.write("no dead letters\n")


@app.command()
def show(
    target: str = TARGET,
    place: str | None = typer.Argument(
        None, metavar="[PARTITION:OFFSET]", help="One letter; default the newest."
    ),
    newest: int = typer.Option(10, "-n", min=1, help="How many of the newest."),
    reason: list[str] | None = REASON,
    json: bool = JSON,
) -> None:
    """Letters with the record as it came, the newest last."""
    found = chosen(letters_of(target), [place] if place else [], reason)
    if not found and not json:
        sys.stdout.write("no dead letters\n")
    for letter in sorted(found, key=lambda letter: letter.time_ms)[-newest:]:
        shown = as_json(letter)
        if json:
            print_json(shown)
        else:
            why = printable(f"{letter.reason}: {letter.message}")
            source = printable(f"{letter.source_topic} {letter.source_partition}:{letter.source_offset}")
            if letter.origin:
                source += printable(f", copied from {letter.origin}")
            sys.stdout.write(f"{letter.place} {moment(letter)} {why}\n  from    {source}\n")
            if letter.cut:
                sys.stdout.write(f"  cut     {printable(cut_text(letter))}\n")
            for name in ("key", "value", "headers"):
                sys.stdout.write(f"  {name:7} {orjson.dumps(shown[name]).decode()[:SHOWN]}\n")


@app.command()
def retry(
    target: str = TARGET,
    places: list[str] | None = typer.Argument(None, metavar="[PARTITION:OFFSET]..."),
    reason: list[str] | None = REASON,
    everything: bool = typer.Option(False, "--all", help="All letters."),
    force: bool = typer.Option(False, help=f"Also what was retried {MOST_RETRIES} times."),
    json: bool = JSON,
) -> None:
    """Send records back to their topic; what fails again becomes a new letter.

    A record is sent as it was, with the time of now.

    Letters of stage bridge go to the bridge alone, which reads them as records of their topic.

    Letters of stage learn are left: their events are answered, and a retry would be dropped as a duplicate.
    Of a letter that was cut, the original is sent, if its input still holds it with the same SHA-256.
    """
    from stream_app.inspect.dead_letters import DeadLetterRetry

    if not (places or reason or everything):
        raise UsageError("nothing is chosen", "Name letters (PARTITION:OFFSET), --reason R, or --all")
    definition, settings = load_app(target, models=False), settings_for()
    letters = letters_of(target)
    found = chosen(letters, places or [], reason)
    if not places:
        # What was sent before and failed again stands here as a newer letter, which goes in its place.
        returned = came_back(letters)
        found = [letter for letter in found if letter.place not in returned]
    bridged = definition.inputs.names if definition.inputs is not None else ()
    returns = DeadLetterRetry(definition.name, settings.kafka.kafka_python(), bridged)
    counts = {"sent": 0, "exhausted": 0, "foreign": 0, "settled": 0, "lost": 0}
    try:
        for letter in found:
            if letter.was_answered:
                fate = "settled"
            elif letter.retries >= MOST_RETRIES and not force:
                fate = "exhausted"
            else:
                fate = returns.send(letter)
            counts[fate] += 1
    finally:
        returns.close()
    if json:
        print_json(counts)
        return
    sys.stdout.write(f"sent {counts['sent']:,} back\n")
    if counts["exhausted"]:
        sys.stdout.write(
            f"left {counts['exhausted']:,} that failed {MOST_RETRIES} retries (--force sends them)\n"
        )
    if counts["settled"]:
        sys.stdout.write(
            f"left {counts['settled']:,} of stage learn: their events are answered and their labels count as "
            "come, so a retry would be dropped as a duplicate\n"
        )
    if counts["lost"]:
        sys.stdout.write(
            f"left {counts['lost']:,} that were cut: their originals are no longer in the input, or are "
            "others by their SHA-256\n"
        )
    if counts["foreign"]:
        sys.stdout.write(f"left {counts['foreign']:,} whose source is not an input of {definition.name}\n")


def letters_of(target: str) -> list[DeadLetter]:
    """All dead letters of an application."""
    from stream_app.inspect.dead_letters import dead_letters

    definition, settings = load_app(target, models=False), settings_for()
    return list(dead_letters(definition.name, settings.kafka.kafka_python()))


def came_back(letters: list[DeadLetter]) -> set[str]:
    """The places of letters that were sent back and refused again, as newer letters."""
    return {letter.retry_of for letter in letters if letter.retry_of is not None}


def chosen(letters: list[DeadLetter], places: list[str], reasons: list[str] | None) -> list[DeadLetter]:
    """The letters of these places and reasons.

    Raises:
        UsageError: a place where no letter stands, or a reason that there is not.
    """
    missing = set(places) - {letter.place for letter in letters}
    if missing:
        raise UsageError(
            f"there is no dead letter at {', '.join(sorted(missing))}",
            "`stream-app dlq show` lists the places",
        )
    unknown = set(reasons or ()) - REASONS.keys() - {letter.reason for letter in letters}
    if unknown:
        raise UsageError(
            f"there is no reason {', '.join(sorted(unknown))}", f"Reasons are {', '.join(REASONS)}"
        )
    return [
        letter
        for letter in letters
        if (not places or letter.place in places) and (not reasons or letter.reason in reasons)
    ]


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """A letter as it is printed."""
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.time_ms,
        "reason": letter.reason,
        "message": letter.message,
        "stage": letter.stage,
        "source": {
            "topic": letter.source_topic,
            "partition": letter.source_partition,
            "offset": letter.source_offset,
            "copied_from": letter.origin or None,
        },
        "retries": letter.retries,
        "key": text(letter.key),
        "value": parsed(letter.value),
        "headers": {name: text(value) for name, value in letter.headers},
        "cut": {"parts": letter.cut.split(","), "value_bytes": letter.size, "sha256": letter.sha256}
        if letter.cut
        else None,
    }


def cut_text(letter: DeadLetter) -> str:
    """What of a letter is not the whole record."""
    return (
        f"{letter.cut.replace(',', ', ')}: the record did not fit a letter; "
        f"its value has {letter.size:,} bytes, SHA-256 {letter.sha256}"
    )


def remedy(reason: str) -> str:
    """What a person does about a reason."""
    known = REASONS.get(reason)
    return known.remedy if known else "this version does not know the reason; upgrade it"


def moment(letter: DeadLetter) -> str:
    """When the letter was written, in UTC."""
    return datetime.fromtimestamp(letter.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
