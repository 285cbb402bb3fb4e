"""One model of River as an application under fault; `ZOO_MODEL` names it, `FAULTS_RUN` its topics."""

from __future__ import annotations

import os

from stream_app.application import Application, Detect, Labels
from tests.faults.definitions import OFTEN, RUN
from tests.simulation.test_lives_replayed import BLENDS, HUNTING, LIGHT, MODELS

NAME = os.environ["ZOO_MODEL"]
BLENDED = NAME in BLENDS  # then it is the task of a blend
(TASK, FACTORY) = (
    (NAME, BLENDS[NAME]["champion"])
    if BLENDED
    else next((task, made) for name, task, made in MODELS if name == NAME)
)
LABELS = None if TASK == "anomaly" else Labels(horizon="1d")
NERVOUS = Detect("page_hinkley", "loss" if LABELS else "prediction", min_instances=5, threshold=0.2)

zoo = Application(
    name=f"zoo-{RUN}",
    task=TASK,
    champion=FACTORY,
    challengers=BLENDS[NAME]["challengers"] if BLENDED else {},
    serve=LIGHT if BLENDED else "champion",
    labels=LABELS,
    swap=HUNTING,
    drift=[NERVOUS],
    snapshot=OFTEN,
)
