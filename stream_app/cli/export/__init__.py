"""`stream-app export`: what the log knows, as files."""
