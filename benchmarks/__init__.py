"""What it costs: `benchmarks/throughput` beside bare River, and `benchmarks/memory`."""
