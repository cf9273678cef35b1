"""Whether a model deserves trust: metrics, gates, latency, robustness, pictures and the report."""
