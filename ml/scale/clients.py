"""Clients of a Dask cluster: one inside this process, or one that is there already.

The embedded one has a scheduler and one worker in this process, speaks through memory and listens on no port at all:
its tasks only watch over processes of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"
CONNECT_SECONDS = 10
WORKER_COMMAND = 'dask worker SCHEDULER --nthreads 8 --resources "cpus=8 memory=16e9" --no-dashboard'


@contextmanager
def embedded_cluster(resources: Mapping[str, float], tasks: int) -> Iterator[Client]:
    """A cluster in this process that runs so many tasks side by side, within `resources`, and opens no socket."""
    import dask
    from distributed import Client, Scheduler, SpecCluster, Worker
    from distributed.comm import inproc
    from distributed.http.routing import RoutingApplication
    from tornado.httpserver import HTTPServer

    def listen_nowhere(server: Any, routes: Any, *_: Any, **__: Any) -> None:
        """In place of Dask's start_http_server, which opens a port even where the dashboard is off."""
        server.http_application = RoutingApplication(routes)
        server.http_server = HTTPServer(server.http_application)

    quiet = {"start_http_server": listen_nowhere}
    scheduler = {"cls": type("QuietScheduler", (Scheduler,), quiet), "options": {"protocol": "inproc", "port": 0}}
    worker = {
        "cls": type("QuietWorker", (Worker,), quiet),
        "options": {
            "nthreads": tasks,
            "resources": dict(resources),
            "memory_limit": 0,  # it holds nothing; the steps' memory is watched where they are started
            "protocol": "inproc",
        },
    }
    inproc.global_manager._ip = "127.0.0.1"  # part of names here; Dask would ask a server of Google's for a way to it
    settings = {
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.admin.tick.interval": "1s",  # every 20 ms otherwise, which costs more than the tasks do
        "distributed.worker.profile.enabled": False,
    }
    with (
        dask.config.set(settings),
        SpecCluster({"worker": worker}, scheduler, silence_logs=logging.CRITICAL) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def existing_cluster(address: str) -> Iterator[Client]:
    """A client of the scheduler at `address`; raises ClusterError if there is none."""
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

    Raises
    ------
    ClusterError
        If there is no worker, or one does not say what it has: its tasks could not be counted.
    """
    # asked of the scheduler itself: the client's own notes, which scheduler_info reads, may lag behind
    workers = list(client.sync(client.scheduler.identity, n_workers=-1)["workers"].values())
    if not workers:
        raise ClusterError("the Dask cluster has no worker", hint=WORKER_COMMAND)
    offered: list[dict[str, float]] = [worker.get("resources", {}) for worker in workers]
    if any(not {"cpus", "memory"} <= resources.keys() for resources in offered):
        raise ClusterError("a worker of the Dask cluster names no resources cpus and memory", hint=WORKER_COMMAND)
    return offered
