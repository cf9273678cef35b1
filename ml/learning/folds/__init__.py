"""Rows divided into parts and folds without a look into the future, and models fitted fold by fold."""
