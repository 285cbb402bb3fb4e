"""WHEN the world changed: signals, detectors, verdicts; knows no Kafka, no model and nothing else of ours."""
