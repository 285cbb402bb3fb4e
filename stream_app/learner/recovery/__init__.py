"""How a shard comes back: snapshot, replay, comparison."""
