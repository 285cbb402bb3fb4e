"""Anomaly detection without labels: how unusual a reading of the space shuttle's sensors is, 0 to 1.

python -m examples.data shuttle > shuttle.csv; produce it with --key entity
"""

from river import anomaly, preprocessing

from stream_app import Application

app = Application(
    name="shuttle",
    task="anomaly",
    labels=None,
    # Half-space trees want features between 0 and 1.
    champion=lambda seed: preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=seed),
)
