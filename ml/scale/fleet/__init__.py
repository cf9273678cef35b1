"""Many organisations at once: their pipelines as tasks of a Dask cluster, each step a process of its own."""
