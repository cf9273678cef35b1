"""Database URLs and secrets: what may be named, and what never leaves."""
