"""The demo's definitions; each run has names of its own, so that a second run starts from nothing."""

import os

from river import linear_model, preprocessing, tree

from stream_app.application import Application

RUN = os.environ.get("STREAM_APP_DEMO_RUN", "0")

phishing = Application(
    name=f"demo-phishing-{RUN}",
    task="binary",
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    challengers={"tree": lambda seed: tree.HoeffdingTreeClassifier()},
)

shuttle = Application(
    name=f"demo-shuttle-{RUN}",
    task="binary",
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)

turning = Application(
    name=f"demo-turning-{RUN}",
    task="binary",
    champion=lambda seed: tree.HoeffdingTreeClassifier(),
)
