"""What worse sensors do to a model."""
