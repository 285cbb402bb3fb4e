"""A user's definition: loaded, hashed with its sources, and admitted."""
