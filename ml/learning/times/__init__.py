"""How long until the next failure: one model for many horizons, trained beside the classifier."""
