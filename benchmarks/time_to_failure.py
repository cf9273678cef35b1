"""How good the time to failure is, on turbofans that ran to failure and on pumps of a fleet never trained on.

    EAGLE_ML_DATA_DIR=<folder> .venv/bin/python benchmarks/time_to_failure.py [FD001] [FD002] [station]

Turbofans: trained by a backtest of five folds of engines. Printed are the coverage of the 80 % interval on engines that
the models had not seen, and the error of the median at the last cycle of the official test files, capped at
125 cycles (RMSE and the score of NASA's challenge). Station: trained on the demo's twelve pumps, measured on 24 others.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.results import keep
from ml.config import OrganizationConfig
from ml.ingest.inputs import prepared_data
from ml.learning.times.measured import measure, story
from ml.predict import load_model
from ml.predict.model import LoadedModel
from ml.workspace.paths import OrganizationPaths
from simulation.database import write_sqlite
from simulation.station import simulate
from tests.pipeline.backend import Json, spawn
from tests.pipeline.public_data import VARIABLE, data_folder, turbofan_config
from tests.pipeline.small_plant import write_json

CAP = 125
_HOUR = 3600
_LIMIT_SECONDS = 7200
_DEMO = Path(__file__).resolve().parents[1] / "ml" / "config" / "manufacturing_org.json"


def step(name: str, work: Path, config: Json, wish: str) -> tuple[Json, float]:
    """The result of a step with ``timeToFailure`` as wished, and the CPU seconds that it took."""
    root = work / "workspace"
    root.mkdir(exist_ok=True)
    training = {**config.get("trainingConfig", {}), "timeToFailure": wish, "threads": 1}
    file = write_json(work / "config.json", config | {"trainingConfig": training})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = spawn(name, file, root=root, within=_LIMIT_SECONDS)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert outcome.exit_code == 0, outcome.document
    return outcome.document, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def loaded(work: Path, config: Json) -> LoadedModel:
    """The model of the workspace."""
    return load_model(config["organizationId"], version=config["version"], root=work / "workspace")


def turbofans(folder: Path, name: str, work: Path) -> dict[str, Any]:
    """Coverage on held-out engines, and the error at the last cycle of the test files."""
    train_file, test_file = (_table(folder, f"{part}_{name}") for part in ("train", "test"))
    config = turbofan_config(train_file, operating=name == "FD002") | {"version": "v1"}
    config["dataConfig"] = config["dataConfig"] | {"testSplit": 0.2}
    config["trainingConfig"] = {"lgbParams": {"learningRate": 0.1}}
    config["validationConfig"] = {"scheme": "backtest"}
    document, _ = step("train_model", work, config, "on")
    model = loaded(work, config)
    readings = pd.read_csv(test_file) if test_file.suffix == ".csv" else pd.read_parquet(test_file)
    frame = model.grid_of(readings)
    last = (frame["asset_id"] != frame["asset_id"].shift(-1)).to_numpy()
    p50 = model.times_to_failure(model.engineer.matrix(frame, rows=last))["p50"].to_numpy(np.float64) / _HOUR
    left = pd.read_csv(folder / "cmapss" / f"rul_{name}.csv").set_index("asset_id")["rul_after_last_cycle"]
    left.index = left.index.astype(str)
    truth = np.minimum(left.loc[frame["asset_id"][last].astype(str)].to_numpy(np.float64), CAP)
    error = np.minimum(p50, CAP) - truth
    nasa = np.where(error < 0, np.exp(-error / 13) - 1, np.exp(error / 10) - 1).sum()
    return {"outOfFold": document["timeToFailure"], "rmse": float(np.sqrt((error**2).mean())), "nasaScore": float(nasa)}


def station(work: Path) -> dict[str, Any]:
    """Coverage on a fleet that was never trained on."""
    config: Json = json.loads(_DEMO.read_text(encoding="utf-8"))
    for name, options in (("known", {}), ("new", {"seed": 101, "n_assets": 24, "days": 120})):
        write_sqlite(simulate(**options), work / f"{name}.sqlite")
    config["scadaDbConfig"]["database"] = str(work / "known.sqlite")
    _, prepared = step("data_prep", work, config, "off")
    _, without = step("train_model", work, config, "off")
    document, with_times = step("train_model", work, config, "on")
    model = loaded(work, config)
    config["scadaDbConfig"]["database"] = str(work / "new.sqlite")
    other = OrganizationConfig.from_dict(config | {"version": "new_fleet"})
    paths = OrganizationPaths(other.organization_id, work / "workspace")
    frame = prepared_data(other, paths, None).data.frame
    known = (frame["label"] >= 0).to_numpy()
    features = model.engineer.matrix(frame, rows=known)
    _, label = model.predict_features(features)
    horizon, interval = model.metadata.horizon_seconds, model.engineer.interval
    told = story(
        frame, np.flatnonzero(known), model.times_to_failure(features).to_numpy(), label == 1,
        horizon=horizon, interval=interval,
    )  # fmt: skip
    found = measure(told, "test", horizon=horizon, seed=0).model_dump(mode="json", by_alias=True)
    seconds = {"dataPrep": prepared, "trainingWithout": without, "trainingWith": with_times}
    return {"ownTestPart": document["timeToFailure"], "newFleet": found, "cpuSeconds": seconds}


def _table(folder: Path, stem: str) -> Path:
    return next(path for kind in ("csv", "parquet") if (path := folder / "cmapss" / f"{stem}.{kind}").is_file())


def main() -> int:
    """Run what is named, all by default, and keep the figures."""
    parser = argparse.ArgumentParser(description="How good the time to failure is.")
    parser.add_argument("names", nargs="*", default=["FD001", "FD002", "station"])
    names = parser.parse_args().names
    folder = data_folder()
    if folder is None and names != ["station"]:
        sys.stderr.write(f"{VARIABLE} must name the folder of the public data\n")
        return 2
    for name in names:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as work:
            figures = station(Path(work)) if name == "station" else turbofans(folder or Path(), name, Path(work))
        figures["seconds"] = round(time.monotonic() - start)
        keep(f"time_to_failure_{name}", figures)
        sys.stdout.write(f"{name}: {json.dumps(figures)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
