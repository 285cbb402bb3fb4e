"""One model of River as an application under fault; `ZOO_MODEL` names it, `FAULTS_RUN` its topics."""

from __future__ import annotations

import os

from stream_app.application import Application, Detect, Labels
from tests.faults.definitions import OFTEN, RUN
from tests.simulation.test_lives_replayed import HUNTING, MODELS

(TASK, FACTORY) = next((task, made) for name, task, made in MODELS if name == os.environ["ZOO_MODEL"])
LABELS = None if TASK == "anomaly" else Labels(horizon="1d")
NERVOUS = Detect("page_hinkley", "loss" if LABELS else "prediction", min_instances=5, threshold=0.2)

zoo = Application(
    name=f"zoo-{RUN}",
    task=TASK,
    champion=FACTORY,
    labels=LABELS,
    swap=HUNTING,
    drift=[NERVOUS],
    snapshot=OFTEN,
)
