"""Binary classification: phishing web sites, with late labels, an entity feature and a shadow challenger.

python -m examples.data phishing > phishing.csv; produce it with --key entity --label label --label-delay 100
"""

from river import linear_model, preprocessing, tree

from stream_app import Application, Labels
from stream_app import features as f

app = Application(
    name="phishing",
    task="binary",
    labels=Labels(horizon="1h", on_timeout="drop"),
    features=[f.count(window="10m")],
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    challengers={"tree": lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed)},
)
