"""A parameter search whose trials run beside each other, in processes of their own, as tasks of a Dask cluster."""
