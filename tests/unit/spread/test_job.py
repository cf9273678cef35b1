"""What the workers of a search are told: the rows and the settings, and nothing about where they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import IsolationError, MissingArtifactError
from ml.scada.prepared import Prepared, write_prepared
from ml.spread.job import read_job, written_job
from ml.workspace.paths import OrganizationPaths
from tests.unit.learning.grid_frames import regular_plant

SECRET = "canary"


def config_of(organization: str) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": organization,
            "schemaConfig": {"continuousColumns": ["pressure"]},
            "scadaDbConfig": {"database": f"{SECRET}_history", "user": f"{SECRET}_user", "password": SECRET},
            "tuningConfig": {"storage": f"postgresql://{SECRET}@host/trials", "storagePasswordEnv": f"{SECRET}_name"},
        }
    )


@pytest.fixture
def data() -> Prepared:
    frame = regular_plant(2, 90, 60, horizon=600)
    frame.insert(2, "segment", np.zeros(len(frame), dtype=np.int32))
    frame.insert(3, "pressure", np.arange(len(frame), dtype=np.float32) / 7)
    frame["status"] = pd.Categorical(["labelled"] * len(frame))
    return Prepared(frame, {"horizonSeconds": 600}, interval=60, max_gap=120)


@pytest.mark.parametrize("kept", [False, True])
def test_a_worker_reads_what_was_written_for_it(data: Prepared, tmp_path: Path, kept: bool) -> None:
    config, file = config_of("plant_a"), tmp_path / "prepared.parquet"
    write_prepared(file, data, organization_id="plant_a", config_digest="")
    with written_job(config, OrganizationPaths("plant_a", tmp_path), data, file if kept else None) as job:
        assert SECRET not in job.read_text()
        read, rows = read_job("plant_a", tmp_path, job)
        assert len(list(job.parent.iterdir())) == (1 if kept else 2)
    assert read.schema_config == config.schema_config
    assert read.training_config == config.training_config
    pd.testing.assert_frame_equal(rows.frame[data.frame.columns], data.frame, check_categorical=False)
    assert (rows.interval, rows.max_gap) == (60, 120)
    assert not job.parent.exists()
    with pytest.raises(MissingArtifactError):
        read_job("plant_a", tmp_path, job)


def test_a_job_of_another_organisation_is_refused(data: Prepared, tmp_path: Path) -> None:
    with written_job(config_of("plant_a"), OrganizationPaths("plant_a", tmp_path), data, None) as job:
        with pytest.raises(IsolationError):
            read_job("plant_b", tmp_path, job)
        outside = tmp_path / "copy.json"
        outside.write_bytes(job.read_bytes())
        with pytest.raises(IsolationError, match="another organisation's"):
            read_job("plant_b", tmp_path, outside)
