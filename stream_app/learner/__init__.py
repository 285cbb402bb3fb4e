"""The hot path's process: poll, merge, step, commit, publish; supervised, and crash-only."""
