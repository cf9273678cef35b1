"""What a data scientist types with ml/ as working directory, to the letter."""

from __future__ import annotations

from pathlib import Path

from simulation.station import Station
from tests.pipeline.backend import run_python

NOTEBOOK = """
import sys
import pandas as pd
raw_data = pd.read_parquet(sys.argv[1])

from config import OrganizationConfig
from features import FeatureEngineer

# Load configuration
config = OrganizationConfig.load_from_file('config/manufacturing_org.json')

# Engineer features
engineer = FeatureEngineer(config)
df_engineered, feature_cols = engineer.engineer_features(raw_data)

import config, features, ml.config, ml.features
assert ml.features.FeatureEngineer is features.FeatureEngineer is FeatureEngineer
assert ml.config.OrganizationConfig is config.OrganizationConfig is OrganizationConfig
assert isinstance(df_engineered, pd.DataFrame)
assert feature_cols == engineer.get_feature_names_out()
assert set(feature_cols) < set(df_engineered.columns)
assert (df_engineered[feature_cols].dtypes == "float32").all()
assert set(df_engineered["asset_id"]) == set(raw_data["asset_id"])
print(len(feature_cols), len(df_engineered))
"""


def test_the_readme_lines_work(root: Path, station: Station) -> None:
    raw = root.parent / "raw.parquet"
    station.readings.iloc[:1500].to_parquet(raw)
    finished = run_python("-W", "error", "-c", NOTEBOOK, str(raw), root=root)
    assert finished.returncode == 0, finished.stderr
    columns, rows = map(int, finished.stdout.split())
    assert columns > 100
    assert rows > 1000
    assert not any(root.iterdir())
