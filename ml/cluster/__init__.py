"""Dask clusters: one inside this process, or one that is there already."""
