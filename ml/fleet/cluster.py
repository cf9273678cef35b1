"""The Dask cluster that a fleet runs on: one inside this process, or one that is there already.

The embedded one has a scheduler and one worker in this process, speaks through memory and listens on no port at all:
its tasks only watch over steps, which are processes of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml.errors import ClusterError
from ml.fleet.budget import Budget

if TYPE_CHECKING:
    from distributed import Client

WORKER_COMMAND = 'dask worker SCHEDULER --nthreads 8 --resources "cpus=8 memory=16e9" --no-dashboard'


@contextmanager
def embedded_cluster(budget: Budget, tasks: int) -> Iterator[Client]:
    """A cluster in this process that runs so many tasks side by side, within `budget`."""
    import dask
    from distributed import Client, Scheduler, SpecCluster, Worker
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
            "resources": budget.resources(),
            "memory_limit": 0,  # it holds nothing; the steps' memory is watched where they are started
            "protocol": "inproc",
        },
    }
    settings = {"distributed.admin.system-monitor.interval": "10s", "distributed.worker.profile.enabled": False}
    with (
        dask.config.set(settings),
        SpecCluster({"worker": worker}, scheduler, silence_logs=logging.CRITICAL) as cluster,
        Client(cluster) as client,
    ):
        yield client


def smallest_worker(client: Client) -> Budget:
    """What every worker of the cluster has at least.

    Raises
    ------
    ClusterError
        If there is no worker, or one does not say what it has: its tasks could not be counted.
    """
    workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    if not workers:
        raise ClusterError("the Dask cluster has no worker", hint=WORKER_COMMAND)
    offered = [worker.get("resources", {}) for worker in workers]
    if any(not {"cpus", "memory"} <= resources.keys() for resources in offered):
        raise ClusterError("a worker of the Dask cluster names no resources cpus and memory", hint=WORKER_COMMAND)
    return Budget(min(int(each["cpus"]) for each in offered), min(int(each["memory"]) for each in offered))
