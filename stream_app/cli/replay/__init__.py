"""`stream-app replay`: a shard as it was."""
