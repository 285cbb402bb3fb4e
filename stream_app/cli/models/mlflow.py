"""`stream-app models mlflow`: log one version of a model to MLflow."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.cli.models.choice import chosen, read
from stream_app.cli.models.get import AS_OF, SERVED, as_file, file_name
from stream_app.cli.models.past import have_back, the_one, wanted_of


def mlflow(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    version: int | None = typer.Option(None, metavar="V", min=1, help="Default the version that serves."),
    shard: int | None = typer.Option(None, metavar="N", min=0, help="The shard, where there are several."),
    uri: str | None = typer.Option(None, metavar="URI", help="Of MLflow; default MLFLOW_TRACKING_URI."),
    name: str | None = typer.Option(None, metavar="NAME", help="The registered model; default APP or APP-N."),
    experiment: str | None = typer.Option(None, metavar="NAME", help="Default that of --name."),
    alias: str = typer.Option("champion", metavar="NAME", help="Set where the version serves."),
    served: bool = SERVED,
    as_of: int | None = AS_OF,
    json: bool = typer.Option(False, "--json", help="One JSON object."),
) -> None:
    """Log one version to MLflow as a new version of a registered model, with its card; the champion by alias.

    It is had back as by `models get`. Needs `pip install 'stream-app[mlflow]'`; where the model is loaded,
    STREAM_APP_SIGNING__PUBLIC_KEYS must be set, for its signature is checked there too.
    """
    pin()
    from stream_app.cli.models.mlflow_export import client_library, log_version
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.learner import signing_key
    from stream_app.wiring.past import past_opener

    client_library()  # a replay takes long: what is missing is said first
    configure_logs()
    definition, settings = load_app(target), settings_for()
    key = signing_key(settings)
    found, model = the_one(chosen(read(definition, settings, shard), version), version)
    wanted = wanted_of(found, model, served=served, offset=as_of)
    had = have_back(past_opener(definition, settings), found, model, wanted)
    named = name or (definition.name if definition.shards == 1 else f"{definition.name}-{found.shard}")
    with TemporaryDirectory() as folder:
        file = Path(folder) / file_name(definition, had.card)
        file.write_bytes(as_file(definition, key, had))
        logged = log_version(file, had.card, uri, experiment or named, named, alias)
    if json:
        print_json(logged._asdict())
        return
    also = f", {alias}" if logged.aliased else ""
    sys.stdout.write(f"{model.slot} v{model.version} is {logged.name} version {logged.number}{also}\n")
    sys.stderr.write(f"run {logged.run_id}, {logged.model_uri}\n")
