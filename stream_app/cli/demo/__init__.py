"""`stream-app demo`."""
