"""`stream-app models`."""
