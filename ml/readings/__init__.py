"""Rows as a source or a notebook delivers them, as clean readings: which columns, which types, which instants."""
