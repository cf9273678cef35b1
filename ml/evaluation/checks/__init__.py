"""The numbers that a limit may be set on, the gates, and models that no limit lets pass."""
