"""Many classes, named by strings: which of seven materials a patch of an outdoor photograph shows.

python -m examples.data segments > segments.csv; produce it with --key entity --label label --label-delay 100
"""

from river import naive_bayes, tree

from stream_app import Application, Labels

app = Application(
    name="segments",
    task="multiclass",
    # A closed set: any other label is a dead letter with the reason label-unknown-class.
    labels=Labels(
        horizon="1h",
        classes=["brickface", "sky", "foliage", "cement", "window", "path", "grass"],
    ),
    champion=lambda seed: naive_bayes.GaussianNB(),
    challengers={"tree": lambda seed: tree.HoeffdingTreeClassifier()},
)
