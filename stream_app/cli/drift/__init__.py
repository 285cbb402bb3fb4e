"""`stream-app drift`."""
