"""The scored predictions of a backtest as lines of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

import orjson

from stream_app.flow.served import PredictionMade
from topics.codec import JSON_OPTIONS


def writer(file: IO[bytes]) -> Callable[[PredictionMade, Any], None]:
    """Give what writes a prediction with its label, in the order in which the labels came."""

    def write(made: PredictionMade, label: Any) -> None:
        line = {
            "event_id": made.event_id,
            "key": made.key,
            "time_ms": made.time_ms,
            "model": made.model,
            "version": made.version,
            "learned": made.learned,
            "prediction": made.prediction,
            "probabilities": made.probabilities,
            "label": label,
        }
        file.write(orjson.dumps(line, option=JSON_OPTIONS) + b"\n")

    return write
