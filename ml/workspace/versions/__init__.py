"""Versions of a model: stored whole, listed, verified, released and pruned."""
