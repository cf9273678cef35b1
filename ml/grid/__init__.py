"""Equal spacing: irregular readings of one machine become rows of one interval."""
