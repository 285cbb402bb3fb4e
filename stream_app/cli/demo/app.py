"""The demo's definitions; each run has names of its own, so that a second run starts from nothing."""

import os

from river import linear_model, preprocessing, tree

from stream_app.application import Application, SwapPolicy

NEVER = SwapPolicy(policy="never")  # these two are compared with one model of River's
RUN = os.environ.get("STREAM_APP_DEMO_RUN", "0")

phishing = Application(
    name=f"demo-phishing-{RUN}",
    task="binary",
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    challengers={"tree": lambda seed: tree.HoeffdingTreeClassifier()},
    swap=NEVER,
)

shuttle = Application(
    name=f"demo-shuttle-{RUN}",
    task="binary",
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    swap=NEVER,
)

turning = Application(
    name=f"demo-turning-{RUN}",
    task="binary",
    champion=lambda seed: tree.HoeffdingTreeClassifier(),
)
