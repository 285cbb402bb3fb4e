"""Clicks on advertisements, in Avro with a schema registry: impressions and clicks share one topic.

An impression is an event; a click says True about it, and an impression without a click within ten minutes is
learned as False.

export STREAM_APP_REGISTRY__URL=http://127.0.0.1:8081
stream-app topics create examples.clicks:app
stream-app bridge examples.clicks:app       # and in another terminal:
stream-app learn examples.clicks:app
"""

from __future__ import annotations

from typing import Any

from river import compose, linear_model, preprocessing

from stream_app import Application, Event, Inputs, Label, Labels, Topic
from stream_app.inputs.topic import Meta


def impression_or_click(value: dict[str, Any], _: Meta) -> Event | Label | None:
    """What a record of the topic is; views of the page itself are none of our business."""
    if value["kind"] == "IMPRESSION":
        features = {"position": value["position"], "campaign": value["campaign"]}
        return Event(value["id"], features, key=value["user"], time=value["at"])
    if value["kind"] == "CLICK":
        return Label(value["of"], True, key=value["user"], time=value["at"])
    return None


def pipeline() -> Any:
    """The position is scaled; campaigns become indicators."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    words = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (numbers + words) | linear_model.LogisticRegression()


app = Application(
    name="clicks",
    task="binary",
    inputs=Inputs(events=Topic("ads.interactions", format="avro", read=impression_or_click)),
    labels=Labels(horizon="10m", on_timeout="label", default=False, classes=[False, True]),
    champion=lambda seed: pipeline(),
)
