"""What steps a batch and seals it, the same live and in a replay."""
