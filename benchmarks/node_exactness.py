"""Does the TypeScript client say, from raw readings, what the trained model says? Counted on every test row.

    EAGLE_ML_DATA_DIR=<folder> .venv/bin/python benchmarks/node_exactness.py

Two organisations: the simulated station of the demo (its newest part, which was held out) and, where EAGLE_ML_DATA_DIR
names the public data, turbofans FD001 (all rows of the test file). The readings are replayed in Node.js as they were
taken; probabilities are compared with float32 of the trained model's own by their bits. Prints a line for each, writes
benchmarks/results/node_exactness.json, and ends with exit status 1 if one bit differs. `make client` comes first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from ml.config import OrganizationConfig  # noqa: E402 - found through the line above
from ml.evaluation.model_version import load_version  # noqa: E402
from ml.ingest.inputs import kept_data  # noqa: E402
from ml.ingest.prepare import prepare  # noqa: E402
from ml.learning.training import split_of  # noqa: E402
from ml.scripts import train_model  # noqa: E402
from ml.workspace.paths import for_config, workspace_root  # noqa: E402
from simulation.station import simulate  # noqa: E402
from tests.pipeline.public_data import data_folder, turbofan_config  # noqa: E402

RESULTS = REPOSITORY / "benchmarks" / "results" / "node_exactness.json"
Json = dict[str, Any]


def compare_station(work: Path) -> Json:
    """The demo's organisation, without the search for parameters: rows of the test part."""
    readings = work / "station.parquet"
    table = simulate().readings
    table.to_parquet(readings)
    content = json.loads((REPOSITORY / "ml" / "config" / "manufacturing_org.json").read_text(encoding="utf-8"))
    del content["scadaDbConfig"]
    config = OrganizationConfig.from_dict(content | {"dataSource": {"path": str(readings)}})
    train_model.run(config)
    version = load_version(config, for_config(config))
    frame = kept_data(config, for_config(config)).data.frame
    test = split_of(version.config, frame, version.engineer).test
    return _replay(config, table, "created_timestamp", frame, test, work)


def compare_turbofans(work: Path, folder: Path) -> Json:
    """FD001: every row of the engines of the test file."""
    train, test = (next((folder / "cmapss").glob(f"{part}_FD001.*")) for part in ("train", "test"))
    config = OrganizationConfig.from_dict(turbofan_config(train, operating=False))
    train_model.run(config)
    frame = prepare(config, source_path=test).frame
    table = pd.read_csv(test) if test.suffix == ".csv" else pd.read_parquet(test)
    return _replay(config, table, "timestamp", frame, np.ones(len(frame), dtype=np.bool_), work)


def _replay(
    config: OrganizationConfig, table: pd.DataFrame, time: str, frame: pd.DataFrame, rows: Any, work: Path
) -> Json:
    version = load_version(config, for_config(config))
    channels = list(version.engineer.channels)
    probability = version.predict(version.engineer.matrix(frame, rows=rows)).astype(np.float32)
    stamps = pd.to_datetime(table[time], utc=True).dt.as_unit("us").astype("int64") / 1000
    cells = table[channels].astype(object).where(table[channels].notna(), None)
    wanted = frame[rows]
    content = {
        "channels": channels,
        "readings": list(zip(table["asset_id"], stamps, *(cells[name] for name in channels), strict=True)),
        "expected": {
            "assets": wanted["asset_id"].tolist(),
            "seconds": wanted["timestamp"].to_numpy("datetime64[s]").astype(np.int64).tolist(),
            "bits": probability.view(np.uint32).tolist(),
            "labels": (probability >= np.float32(version.metadata.threshold)).astype(int).tolist(),
        },
    }
    file = work / "expected.json"
    file.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    script = REPOSITORY / "benchmarks" / "node_exactness.mjs"
    names = (str(workspace_root() / "models"), config.organization_id, config.version, str(file))
    found = json.loads(subprocess.run(["node", str(script), *names], check=True, stdout=subprocess.PIPE).stdout)
    engineer = version.engineer
    shape = {"lookBack": engineer.look_back, "channels": len(channels), "features": len(engineer.features)}
    return shape | found


def main() -> int:
    """Compare, print, keep; returns the exit status."""
    results: dict[str, Json] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ML_BASE_PATH"] = folder
        results["simulated station"] = compare_station(Path(folder))
        public = data_folder()
        if public is not None:
            results["turbofans FD001"] = compare_turbofans(Path(folder), public)
    for name, found in results.items():
        sys.stdout.write(
            f"{name}: {found['rows']:,} rows, {found['alarms']:,} alarms, {found['differingBits']} bits different, "
            f"{found['differingLabels']} labels flipped\n"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return int(any(found["differingBits"] or found["differingLabels"] for found in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
