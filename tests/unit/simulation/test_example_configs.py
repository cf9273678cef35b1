from __future__ import annotations

from pathlib import Path

import pytest

from ml.config import OrganizationConfig
from simulation.database import TABLE
from simulation.station import DEFAULT_INTERVAL_SECONDS, SENSORS, SIGNALS, TARGET

FOLDER = Path(__file__).resolve().parents[3] / "ml" / "config"


@pytest.mark.parametrize("name", ["manufacturing_org", "power_generation_org", "chemical_process_org"])
def test_the_example_is_valid_and_survives_saving(name: str, tmp_path: Path) -> None:
    config = OrganizationConfig.load_from_file(FOLDER / f"{name}.json")
    config.save_to_file(tmp_path / "saved.json")
    assert OrganizationConfig.load_from_file(tmp_path / "saved.json") == config


def test_the_manufacturing_example_describes_the_simulated_station() -> None:
    config = OrganizationConfig.load_from_file(FOLDER / "manufacturing_org.json")
    assert config.schema_config.continuous_columns == SENSORS
    assert config.schema_config.boolean_columns == SIGNALS
    assert config.schema_config.target_column == TARGET
    assert config.data_config.sampling_interval_seconds == DEFAULT_INTERVAL_SECONDS
    assert config.scada_db_config is not None
    assert config.scada_db_config.table == TABLE


def test_lags_of_the_manufacturing_example_lie_on_its_grid() -> None:
    config = OrganizationConfig.load_from_file(FOLDER / "manufacturing_org.json")
    assert config.schema_config.lag_seconds is not None
    assert [lag % DEFAULT_INTERVAL_SECONDS for lag in config.schema_config.lag_seconds] == [0, 0, 0]
