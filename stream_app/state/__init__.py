"""What a shard remembers: owned by one writer, pickled whole into snapshots."""
