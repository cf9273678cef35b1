"""Prepared data and what is kept on the way to it, as files."""
