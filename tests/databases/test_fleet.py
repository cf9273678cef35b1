"""Passwords of a fleet on a cluster: looked up by the workers, and known to nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dask_cluster import dask_cluster
from tests.databases.history import create_table, document, readings
from tests.databases.server import Database
from tests.pipeline.backend import Json, fleet
from tests.pipeline.small_plant import write_json

PASSWORD = "c4nary-of-the-fleet"


@pytest.fixture
def plant(database: Database) -> Database:
    create_table(database, readings())
    database.execute(f"ALTER ROLE {database.reader} PASSWORD '{PASSWORD}'")
    return database


def test_workers_look_passwords_up_and_the_cluster_never_sees_them(plant: Database, tmp_path: Path) -> None:
    """The variable is set for the workers alone; what scheduler and workers hold is what their dashboards show."""
    from distributed import Client

    configs, root = tmp_path / "configs", tmp_path / "workspace"
    for folder in (configs, root):
        folder.mkdir()
    kept = {"EAGLE_SECRET_by_variable__scada": PASSWORD, "EAGLE_ML_SECRETS": str(tmp_path / "secrets")}
    (tmp_path / "secrets" / "by_file").mkdir(parents=True)
    (tmp_path / "secrets" / "by_file" / "scada").write_text(f"{PASSWORD}\n", encoding="utf-8")
    references = {"by_variable": {"passwordEnv": "scada"}, "by_file": {"passwordFile": "scada"}}
    for organization, reference in references.items():
        config = document(plant, {"password": None, **reference}) | {"organizationId": organization}
        write_json(configs / f"{organization}.json", config)

    # functions within this one are sent as they are; others would be imported from this file
    def of_scheduler(dask_scheduler: Any) -> bytes:
        import cloudpickle

        rest = (dask_scheduler.get_events(), list(dask_scheduler.transition_log), dask_scheduler.get_logs())
        kept: bytes = cloudpickle.dumps(([task.run_spec for task in dask_scheduler.tasks.values()], repr(rest)))
        return kept

    def of_worker(dask_worker: Any) -> bytes:
        import cloudpickle

        rest = (dict(dask_worker.data), list(dask_worker.state.log), dask_worker.get_logs())
        kept: bytes = cloudpickle.dumps(([task.run_spec for task in dask_worker.state.tasks.values()], repr(rest)))
        return kept

    seen: list[bytes] = []
    with (
        dask_cluster(tmp_path, workers=2, worker_environment=kept) as cluster,
        Client(cluster.address, set_as_default=False) as client,
    ):

        def look(event: Json) -> bool:
            if event.get("event") == "organization":
                seen.extend((client.run_on_scheduler(of_scheduler), *client.run(of_worker).values()))
            return False

        outcome = fleet(configs, "--steps", "data_prep", "--scheduler", cluster.address, root=root, terminate_on=look)
    assert outcome.document["counts"] == {"done": 2}, outcome.document
    assert any(str(configs / "by_file.json").encode() in state for state in seen), "it would be found if it were there"
    seen += [outcome.stdout_text.encode(), outcome.stderr_text.encode()]
    seen += [file.read_bytes() for file in root.rglob("*") if file.is_file()]
    assert [content[:200] for content in seen if PASSWORD.encode() in content] == []
