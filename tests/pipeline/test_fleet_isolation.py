"""What a cluster gets to see of an organisation: names and numbers, and for as long as its task runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from distributed import Client, LocalCluster

from ml.scale.fleet.budget import Budget
from ml.scale.fleet.pools import cluster_pool, work_off
from ml.scale.fleet.task import OrganizationTask, Outcome
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json

PASSWORD = "Tr0ub4dor-canary"
RELEASE_SECONDS = 5.0  # messages to scheduler and worker, on a busy machine
SHARE = Budget(1, 2 * 1024**3)


def everything_kept(scheduler: Any, worker: Any) -> bytes:
    """Whatever Dask holds about tasks, as bytes: the graph, the payload, the log of events and of transitions."""
    tasks = [task.run_spec for task in scheduler.tasks.values()]
    tasks += [task.run_spec for task in worker.state.tasks.values()]
    rest = (dict(worker.data), scheduler.get_events(), list(scheduler.transition_log), list(worker.state.log))
    return cloudpickle.dumps((tasks, repr(rest)))


@pytest.mark.parametrize("secret", [{"password": PASSWORD}, {"passwordEnv": "FLEET_TEST"}], ids=str)
def test_no_password_reaches_the_cluster(
    secret: dict[str, str], database: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"EAGLE_SECRET_{ORGANIZATION}__FLEET_TEST", PASSWORD)
    config = plant_config(database)
    config["scadaDbConfig"] |= {"user": "reader", **secret}
    file = write_json(tmp_path / "config.json", config)
    task = OrganizationTask("run", ORGANIZATION, "v1", str(file), str(root), ("data_prep",), SHARE, force=False)
    assert PASSWORD.encode() not in cloudpickle.dumps(task)
    seen: list[bytes] = []
    outcomes: list[Outcome] = []
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0", resources=SHARE.resources()) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        scheduler, worker = cluster.scheduler, next(iter(cluster.workers.values()))

        def look(_: dict[str, Any]) -> None:
            seen.append(everything_kept(scheduler, worker))

        work_off(lambda _: cluster_pool(client, "run", look), [task], SHARE, SHARE.memory, outcomes.append)
        seen.append(everything_kept(scheduler, worker))
        deadline = time.monotonic() + RELEASE_SECONDS
        while (kept := [*worker.data, *worker.state.tasks, *scheduler.tasks]) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert kept == []
    assert [outcome.state for outcome in outcomes] == ["done"]
    assert str(file).encode() in seen[0]  # it would be found if it were there
    assert [content for content in seen if PASSWORD.encode() in content] == []
