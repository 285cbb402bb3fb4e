"""What is done with a journal of the past: upgrade, verify, what-if, trim."""
