"""Rows of an organisation become labelled data on the grid, with a summary of what was found."""
