"""Entity features: whether a card is misused shows in how it was used before, not in one payment.

python -m examples.data payments > payments.csv; --key card --time time --label fraud --label-delay 20m
"""

from typing import Any

from river import compose, linear_model, preprocessing

from stream_app import Application, Labels
from stream_app import features as f


def pipeline() -> Any:
    """Numbers are scaled, strings become indicators; both then meet in one row."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    strings = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (numbers + strings) | linear_model.LogisticRegression()


app = Application(
    name="payments",
    task="binary",
    labels=Labels(horizon="1h", on_timeout="label", default=False),  # what nobody complains of is no fraud
    features=[
        f.count(window="10m"),
        f.mean("amount", window="1d", default=0.0),
        f.distinct("country", window="1d"),
        f.last("country", default="none"),
        f.since_last(),
    ],
    champion=lambda seed: pipeline(),
    types={"amount": "number", "country": "string"},
)
