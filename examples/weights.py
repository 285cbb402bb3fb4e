"""Regression: how much a chick weighs, from its age and diet. The served score is the mean absolute error.

python -m examples.data weights > weights.csv; produce it with --key entity --label label --label-delay 10
"""

from river import linear_model, preprocessing, tree

from stream_app import Application, Labels

app = Application(
    name="weights",
    task="regression",
    labels=Labels(horizon="1h"),
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    challengers={"tree": lambda seed: tree.HoeffdingTreeRegressor(grace_period=50)},
    types={"time": "number", "diet": "number"},
)
