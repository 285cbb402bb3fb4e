"""What many begin with, for comparison: a consumer that predicts, learns and commits its offsets.

    python -m examples.plain_loop BOOTSTRAP TOPIC OUT [LIMIT]

A kill between the produce and the commit doubles predictions and labels; the model in memory is gone. After
a NaN in a feature the scaler and the weights are NaN, and so is every later answer.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from river import linear_model, preprocessing


def run(servers: str, topic: str, out: str, limit: int | None = None) -> None:
    """Predict and learn each record of `topic` ({"id", "x", "y"}), and write {"id", "p"} to `out`."""
    model: Any = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    producer = KafkaProducer(bootstrap_servers=servers)
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=f"{topic}-loop",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=2_000,
    )
    for n, message in enumerate(consumer, 1):
        event = json.loads(message.value)
        answer = {"id": event["id"], "p": model.predict_proba_one(event["x"]).get(True)}
        producer.send(out, json.dumps(answer).encode())
        model.learn_one(event["x"], event["y"])
        if n % 100 == 0:  # killed before this: predicted and learned again by an empty model
            producer.flush()
            consumer.commit()
        if n == limit:
            break
    producer.flush()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) if sys.argv[4:] else None)
