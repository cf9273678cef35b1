"""One organisation that is too large for one process: its rows in partitions, on the workers of a Dask cluster.

A feature depends on the last W rows of one asset, so a run of rows with W rows before it gives the features of the
whole history, bit for bit. Constants that need all rows of a column are learned by whoever reads that column. Trees are
grown by LightGBM's own data-parallel learning, as `lightgbm.dask` does it; `boosting` says what differs.
"""
