"""Models of normal behaviour: learned from history that is not known to be bad, with limits for a stated rate."""
