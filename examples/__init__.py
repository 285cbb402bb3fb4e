"""Definitions to run and to learn from."""
