"""What people read of the log: models and why they changed, dead letters, the newest records."""
