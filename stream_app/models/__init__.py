"""Models: how they are made, called, compared and admitted."""
