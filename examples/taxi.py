"""How long a taxi ride takes, from two topics of another team: durations carry the trip's id alone.

    trips.completed.v1   {"tripId": "t1", "vendor": 4, "pickup": {"ts": "2026-11-29T02:50:00Z", …}, …}
    trips.durations.v1   {"trip_id": "t1", "seconds": 840}

stream-app topics create examples.taxi:app
stream-app inputs try examples.taxi:app     # what their newest records become
stream-app bridge examples.taxi:app         # and in another terminal:
stream-app learn examples.taxi:app
"""

from __future__ import annotations

from typing import Any

from river import compose, linear_model, preprocessing

from stream_app import Application, Inputs, Labels, Topic
from stream_app import features as f


def pipeline() -> Any:
    """Numbers are scaled; the payment method becomes indicators."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    words = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (numbers + words) | linear_model.LinearRegression()


app = Application(
    name="taxi",
    task="regression",
    shards=3,
    inputs=Inputs(
        events=Topic(
            "trips.completed.v1",
            id="tripId",
            key="vendor",
            time="pickup.ts",
            features={
                "lat": "pickup.lat",
                "lon": "pickup.lon",
                "passengers": "passengers",
                "payment": "payment.method",
            },
        ),
        labels=Topic("trips.durations.v1", id="trip_id", label="seconds"),
    ),
    labels=Labels(horizon="6h"),
    features=[f.count(window="1h")],
    champion=lambda seed: pipeline(),
)
