"""Modes of failure: which are told apart, and the models that do."""
