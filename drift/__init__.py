"""WHEN the world changed: signals, detectors and verdicts; knows no Kafka, no model and nothing else of ours."""
