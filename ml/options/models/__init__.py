"""Parameters of model types."""
