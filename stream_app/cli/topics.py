"""`stream-app topics create|check|configure|trim MODULE:APP`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from stream_app.cli.context import load_app, print_json, settings_for

if TYPE_CHECKING:
    from stream_app.adapters.topic_check import Mismatch

app = typer.Typer(no_args_is_help=True, help="Create, check, configure and trim an application's topics.")
TARGET = typer.Argument(..., metavar="MODULE:APP")
JSON = typer.Option(False, "--json", help="One JSON object per topic.")


@app.command()
def create(target: str = TARGET, json: bool = JSON) -> None:
    """Create what is missing, then check all; exit 3 if a topic that exists cannot be used."""
    run(target, json, make=True)


@app.command()
def check(target: str = TARGET, json: bool = JSON) -> None:
    """Compare every topic with its declaration; exit 1 on a difference, each with its fix."""
    run(target, json, make=False)


@app.command()
def configure(target: str = TARGET, json: bool = JSON) -> None:
    """Set the settings of existing topics as declared, then check all; other settings stay as they are."""
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.wiring.topics import all_topics

    definition, settings = load_app(target, models=False), settings_for()
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        changed = admin.configure(all_topics(definition, settings))
    for name, values in changed.items() if not json else ():
        for setting, value in values.items():
            sys.stdout.write(f"set     {name} {setting}={value}\n")
    run(target, json, make=False)


@app.command()
def trim(
    target: str = TARGET,
    dry_run: bool = typer.Option(False, "--dry-run", help="Delete nothing, only show what would be deleted."),
    json: bool = typer.Option(False, "--json", help="One JSON object per shard."),
) -> None:
    """Delete the part of the journal that no replay can use, because its inputs are deleted."""
    from kafka.admin import OffsetSpec

    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.learner.history.trim import trim_offset
    from stream_app.learner.history.verify import drain
    from stream_app.wiring import learner as wiring
    from stream_app.wiring.topics import catalog_for
    from topics.life import life_of

    definition, settings = load_app(target, models=False), settings_for()
    catalog = catalog_for(definition, settings)
    open_source = wiring.source_opener(definition, settings)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        ids = admin.require(catalog)
        life = life_of({name: ids[name] for name in wiring.input_topics(catalog)})
        open_store = wiring.store_opener(definition, settings, life)
        begins = admin.ends(catalog.journal.name, definition.shards, OffsetSpec.EARLIEST)
        cuts: dict[int, int] = {}
        for shard in range(definition.shards):
            source = open_source(shard)
            try:
                headers = (header for header, _ in open_store(shard).load())
                cuts[shard] = drain(trim_offset(shard, source, headers))
            finally:
                source.close()
        needless = {shard: cut for shard, cut in cuts.items() if cut > begins[shard]}
        if needless and not dry_run:
            admin.delete_before(catalog.journal.name, needless)
    for shard, cut in cuts.items():
        begin = begins[shard]
        if json:
            print_json(
                {"shard": shard, "begins": begin, "needed_from": cut, "deleted": not dry_run and cut > begin}
            )
        elif cut > begin:
            what = "would be deleted" if dry_run else "deleted"
            sys.stdout.write(f"shard {shard}: journal offsets {begin:,} to {cut - 1:,} {what}\n")
        else:
            sys.stdout.write(
                f"shard {shard}: nothing to delete, the journal is needed from offset {begin:,}\n"
            )


def run(target: str, json: bool, *, make: bool) -> None:
    """Create if asked to, check, and report."""
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.wiring.topics import all_topics

    definition, settings = load_app(target, models=False), settings_for()
    catalog = all_topics(definition, settings)
    inputs = definition.inputs.names if definition.inputs is not None else []
    outputs = [definition.outputs.predictions.name] if definition.outputs is not None else []
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        created = admin.create(catalog) if make else []
        mismatches = admin.check(catalog)
        read, written = admin.check_inputs(inputs), admin.check_outputs(outputs)
    for spec in catalog:
        mine = [mismatch for mismatch in mismatches if mismatch.topic == spec.name]
        state = "differs" if mine else "created" if spec.name in created else "ok"
        show(spec.name, state, mine, json=json)
    for name, (partitions, faults) in read.items():
        mismatches += faults
        state = "differs" if faults else "ok"
        note = f"read by the bridge: {partitions} partitions into {definition.shards} shards"
        show(name, state, faults, json=json, note=note if partitions else "")
    for name, faults in written.items():
        mismatches += faults
        show(name, "differs" if faults else "ok", faults, json=json, note="written by the bridge")
    if mismatches:
        raise typer.Exit(3 if make and any(mismatch.grave for mismatch in mismatches) else 1)


def show(name: str, state: str, mismatches: list[Mismatch], *, json: bool, note: str = "") -> None:
    """Print what was found of one topic."""
    if json:
        rows = [{"what": m.what, "fix": m.fix, "grave": m.grave} for m in mismatches]
        print_json({"topic": name, "state": state, "mismatches": rows})
        return
    sys.stdout.write(f"{state:7} {name}{f' ({note})' if note else ''}\n")
    for mismatch in mismatches:
        sys.stdout.write(f"        {mismatch.what}\n        fix: {mismatch.fix}\n")
