"""More than one process: fleets of organisations, training by partitions, parameter searches side by side.

Whatever needs Dask is in here, and nothing outside of this folder imports it.
"""
