"""Online learning on Kafka: one input log, one deterministic state machine, one transaction per shard."""
