"""Which orders will be returned, from the changes of a table that Debezium writes to `shop.public.orders`.

A new row is an event. The row's column `returned` is set weeks later: that update is the label.

stream-app topics create examples.orders:app
stream-app bridge examples.orders:app       # and in another terminal:
stream-app learn examples.orders:app
"""

from __future__ import annotations

from river import compose, linear_model, preprocessing

from stream_app import Application, Inputs, Labels, Topic
from stream_app import features as f

app = Application(
    name="orders",
    task="binary",
    inputs=Inputs(
        events=Topic(
            "shop.public.orders",
            envelope="debezium",
            id="id",
            key="customer_id",
            time="created_at",
            time_in="us",  # io.debezium.time.MicroTimestamp
            features=["amount", "items", "express"],
            label="returned",
        )
    ),
    labels=Labels(horizon="60d", classes=[False, True]),
    dedupe="60d",
    features=[f.count(window="30d"), f.mean("amount", window="30d")],
    champion=lambda seed: (
        compose.SelectType(int, float) | preprocessing.StandardScaler() | linear_model.LogisticRegression()
    ),
)
