"""Takes one guard after the other out of a copy of the source, and names the test that notices."""
