"""`stream-app produce`."""
