"""The user's own topics: what their records mean, in whatever form they were written."""
