"""The Dask cluster that one organisation is worked on: one that is there already, or processes of this machine."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from ml.errors import ClusterError
from ml.scale.clients import SCHEDULER_VARIABLE, existing_cluster
from ml.windows.parallel import available_cpus
from ml.workspace.libraries import require_dask

if TYPE_CHECKING:
    from distributed import Client

MEMORY_SHARE = 0.8
"""Of the machine's memory, for all processes of an embedded cluster together."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_HINT = "start workers with: dask worker SCHEDULER --nthreads 1 --memory-limit 3GB --no-dashboard"


@contextmanager
def worker_processes() -> Iterator[Client]:
    """A client of the scheduler that ``DASK_SCHEDULER_ADDRESS`` names; else of an embedded cluster.

    The embedded one has a process with one thread for each CPU that this process may use, listens on loopback only,
    and ends with this process. A worker above its share of the memory is killed.

    Raises
    ------
    MissingLibraryError
        If dask is not installed.
    ClusterError
        If there is no scheduler at the address, or it has no worker.
    """
    require_dask('trainingConfig.engine "dask"')
    address = os.environ.get(SCHEDULER_VARIABLE)
    with existing_cluster(address) if address else _embedded(available_cpus()) as client:
        if not client.nthreads():
            raise ClusterError("the Dask cluster has no worker", hint=_HINT)
        yield client


@contextmanager
def _embedded(workers: int) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    settings = {
        # Rows of an organisation must not be left on the disk of a worker.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.interval": "10s",
    }
    _start_silent_tracker()
    with (
        tempfile.TemporaryDirectory(prefix="eagle-workers-") as folder,
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            memory_limit=int(MEMORY_SHARE * MEMORY_LIMIT / workers),
            local_directory=folder,
            preload=["ml.scale.partitioned.quiet_worker"],
            env=dict.fromkeys(_THREAD_VARIABLES, "1"),
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _start_silent_tracker() -> None:
    """Start the process with which Python clears up after this one, before multiprocessing does.

    After a step that had to be ended it would warn on the step's stderr, which carries JSON only.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before
