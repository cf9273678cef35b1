"""Whether a trained version deserves trust: its rows, metrics, events, comparisons, checks and the report."""
