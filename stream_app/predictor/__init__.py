"""Answers requests from the newest published champion and the newest features; owns nothing itself."""
