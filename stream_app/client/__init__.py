"""SDK for applications: produce events and labels, consume committed predictions. Imports no River."""

from stream_app.client.consumer import CommittedReader, PredictionConsumer
from stream_app.client.producer import EventProducer, SentCommand
from topics.records import Prediction

__all__ = ["CommittedReader", "EventProducer", "Prediction", "PredictionConsumer", "SentCommand"]
