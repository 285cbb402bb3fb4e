"""What it costs: throughput beside bare River, and memory. Run `benchmarks/throughput`, `benchmarks/memory`."""
