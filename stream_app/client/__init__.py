"""SDK for applications: produce events and labels, consume committed predictions, ask `stream-app serve`.

Imports no River. The HTTP client is imported at its first use, since httpx brings rich along.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stream_app.client.consumer import CommittedReader, PredictionConsumer
from stream_app.client.producer import EventProducer, SentCommand
from topics.records import Prediction

__all__ = [
    "Answer", "AsyncPredictorClient", "CommittedReader", "EntityFeatures", "EventProducer", "Prediction",
    "PredictionConsumer", "PredictorClient", "Problem", "SentCommand", "StaleAnswer",
]  # fmt: skip

if TYPE_CHECKING:
    from stream_app.client.predictor import (
        Answer,
        AsyncPredictorClient,
        EntityFeatures,
        PredictorClient,
        Problem,
        StaleAnswer,
    )
else:

    def __getattr__(name: str) -> Any:
        """A name of the HTTP client."""
        if name in __all__:
            return getattr(import_module("stream_app.client.predictor"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
