"""Why a model answered as it did, in the user's own features."""
