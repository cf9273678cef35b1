"""Trees that the workers of a cluster grow together, each on its own rows, by LightGBM's data-parallel learning.

The mechanism is that of `lightgbm.dask`: one task pinned to each worker, LightGBM's own sockets between them
(``tree_learner: data``), the model from the first of them. `lightgbm.dask` itself hands a worker all its partitions as
one float32 matrix, of which LightGBM then makes bins: 16 GB for twenty million rows of two hundred features, before
training has begun. It also finds thresholds of bins by other rows than one process would, cannot stop early, and waits
for ever when a worker dies. Here each member

* computes the features of its rows batch by batch and keeps their bins only, a byte for each;
* bins by thresholds from the same drawn rows as the local engine, so that its rows are binned to the same bits;
* stops by a metric over the validation rows of all members (`ml.scale.partitioned.stopping_metric`);
* is a process of its own, which is killed when another member is lost (`ml.scale.partitioned.member`).

A group that has lost a member begins again with the workers that are left, at most `ATTEMPTS` times.
"""

from __future__ import annotations

import logging
import random
import secrets
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ml.arrays import Bools
from ml.errors import ClusterError, EagleError
from ml.scale.partitioned.exchange import TOKEN_BYTES, Address
from ml.scale.partitioned.masks import shares
from ml.scale.partitioned.member import Group, Growth, MemberRows
from ml.scale.partitioned.members import MemberLostError, run_member

if TYPE_CHECKING:
    from distributed import Client, Future

ATTEMPTS = 4
RECOVERY_SECONDS = 10
"""How long to wait for a lost worker's replacement before going on with those that are left."""
STALL_SECONDS = 3600
"""Without a word of any member for so long, an attempt is given up."""

_POLL_SECONDS = 0.2
_LOWEST_PORT, _HIGHEST_PORT = 20_000, 32_000
"""Below the range from which systems take ports for outgoing connections: they stay free until members listen."""

_log = logging.getLogger(__name__)

OnProgress = Callable[[dict[str, Any]], None]


def grow_together(client: Client, common: Growth, rows: Bools, stop_by: Bools | None, on_progress: OnProgress) -> str:
    """LightGBM's text of the model fitted on `rows`.

    Raises ClusterError if members were lost in every attempt, or no worker is left; EagleError: what a member raises.

    Parameters
    ----------
    rows, stop_by
        (n_rows,), true for the rows to fit, and to stop by.
    on_progress
        Called with what members tell, with their ``rank``, in this thread.
    """
    n_workers, reason = 0, ""
    for attempt in range(ATTEMPTS):
        workers = _workers(client, n_workers)
        n_workers = max(n_workers, len(workers))
        try:
            return _attempt(client, workers, common, rows, stop_by, on_progress)
        except MemberLostError as lost:
            reason = str(lost)
            _log.warning(
                "attempt %d of %d to grow trees on %d workers: %s", attempt + 1, ATTEMPTS, len(workers), reason
            )
    raise ClusterError(
        f"{ATTEMPTS} attempts to grow trees have lost a member, the last one because {reason}",
        hint="look at the logs of the scheduler and its workers",
    )


def _workers(client: Client, wanted: int) -> list[str]:
    """Addresses of the workers, sorted; as many as are `wanted` if they come in time."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        addresses = sorted(_addresses(client))
        if len(addresses) >= wanted and addresses:
            return addresses
        if time.monotonic() > deadline:
            if not addresses:
                raise ClusterError("no worker of the Dask cluster is left")
            return addresses
        time.sleep(_POLL_SECONDS)


def _addresses(client: Client) -> set[str]:
    """Addresses of the workers that the scheduler knows, asked of itself: the client's own notes may lag behind."""
    try:
        return set(client.nthreads())
    except OSError:
        raise ClusterError("the scheduler of the Dask cluster is gone") from None


def _attempt(
    client: Client, workers: list[str], common: Growth, rows: Bools, stop_by: Bools | None, on_progress: OnProgress
) -> str:
    name = f"trees-{uuid.uuid4().hex[:12]}"
    group = _group(client, workers) if len(workers) > 1 else None
    of_rows = shares(rows, len(workers))
    of_stop = [None] * len(workers) if stop_by is None else shares(stop_by, len(workers))
    told: list[dict[str, Any]] = []
    client.subscribe_topic(name, lambda event: told.append(event[1]))
    try:
        payload = client.scatter(common, broadcast=True, hash=False)
    except OSError as error:
        raise MemberLostError(f"a worker is gone: {error}") from None
    futures = [
        client.submit(
            run_member, name, payload, MemberRows(rank, own, stop), group,
            key=f"{name}-{rank}", pure=False, workers=[worker], allow_other_workers=False,
        )
        for rank, (worker, own, stop) in enumerate(zip(workers, of_rows, of_stop, strict=True))
    ]  # fmt: skip
    try:
        return _model(client, workers, futures, told, on_progress)
    finally:
        client.cancel([*futures, payload], force=True)
        with suppress(Exception):  # the scheduler may be gone, and with it the subscription
            client.unsubscribe_topic(name)


def _model(
    client: Client, workers: list[str], futures: list[Future], told: list[dict[str, Any]], on_progress: OnProgress
) -> str:
    """Wait for all members; raises what one of them raised, and MemberLostError if a worker is gone."""
    heard = time.monotonic()
    while True:
        while told:
            on_progress(told.pop(0))
            heard = time.monotonic()
        errors = [future.exception() for future in futures if future.status == "error"]
        if any(isinstance(error, EagleError) for error in errors):
            raise next(error for error in errors if isinstance(error, EagleError))
        if errors or any(future.status in {"cancelled", "lost"} for future in futures):
            raise MemberLostError(f"{errors[0]}" if errors else "the scheduler gave a member up")
        if all(future.status == "finished" for future in futures):
            text: str = futures[0].result()
            return text
        if lost := set(workers) - _addresses(client):
            raise MemberLostError(f"{len(lost)} of {len(workers)} workers are gone")
        if time.monotonic() - heard > STALL_SECONDS:
            raise MemberLostError(f"no member has said a word for {STALL_SECONDS} seconds")
        time.sleep(_POLL_SECONDS)


def _group(client: Client, workers: list[str]) -> Group:
    """Addresses for each member, and one for the exchange at the first."""
    from distributed.comm import get_address_host

    try:
        found = client.run(free_ports, 2, workers=workers)
    except OSError as error:
        raise MemberLostError(f"a worker is gone: {error}") from None
    machines: list[Address] = [(get_address_host(worker), found[worker][0]) for worker in workers]
    if len(set(machines)) < len(machines):
        raise MemberLostError("two workers of one machine have found the same port")
    return Group(tuple(machines), (machines[0][0], found[workers[0]][1]), secrets.token_bytes(TOKEN_BYTES))


def free_ports(count: int) -> list[int]:
    """Different ports that nothing on this machine listens on, drawn at random: other workers of it draw, too."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(_LOWEST_PORT, _HIGHEST_PORT), _HIGHEST_PORT - _LOWEST_PORT):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no port from {_LOWEST_PORT} to {_HIGHEST_PORT} is free")
