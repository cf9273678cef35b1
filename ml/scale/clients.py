"""The Dask cluster that is there already: fleets and training by partitions can use it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml.errors import ClusterError
from ml.workspace.process.libraries import require_dask

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"
CONNECT_SECONDS = 10
WORKER_COMMAND = 'dask worker SCHEDULER --nthreads 8 --resources "cpus=8 memory=16e9" --no-dashboard'


def scheduler_address() -> str | None:
    """The scheduler that the environment names, None for none; raises MissingLibraryError if dask is not installed."""
    address = os.environ.get(SCHEDULER_VARIABLE)
    if address:
        require_dask(SCHEDULER_VARIABLE)
    return address or None


@contextmanager
def existing_cluster(address: str) -> Iterator[Client]:
    """A client of the scheduler at `address`; raises ClusterError if there is none, MissingLibraryError if no dask."""
    require_dask("a Dask cluster")
    from distributed import Client

    for name in ("distributed.client", "distributed.batched", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"the Dask scheduler at {address} cannot be reached: {type(error).__name__}",
            hint="start it with: dask scheduler --host 127.0.0.1 --no-dashboard",
        ) from None
    with client:
        yield client


def offered_resources(client: Client) -> list[dict[str, float]]:
    """CPUs and bytes of memory that each worker of the cluster has, as ``cpus`` and ``memory``.

    Raises ClusterError if there is no worker, or one does not say what it has: its tasks could not be counted.
    """
    # asked of the scheduler itself: the client's own notes, which scheduler_info reads, may lag behind
    workers = list(client.sync(client.scheduler.identity, n_workers=-1)["workers"].values())
    if not workers:
        raise ClusterError("the Dask cluster has no worker", hint=WORKER_COMMAND)
    offered: list[dict[str, float]] = [worker.get("resources", {}) for worker in workers]
    if any(not {"cpus", "memory"} <= resources.keys() for resources in offered):
        raise ClusterError("a worker of the Dask cluster names no resources cpus and memory", hint=WORKER_COMMAND)
    return offered
