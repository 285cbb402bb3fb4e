"""Faults on real servers for as long as asked, then the judge: `./scripts/soak --minutes N [--seed S]`."""
