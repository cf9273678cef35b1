"""A year of one plant in weekly steps: what monitoring reports against the hidden truth, and when a new model is made.

    python -m benchmarks.simulated_year [--weeks 52] [--without-feedback] [--name simulated_year]

A simulated station runs for 17 weeks, a model is made, and then weeks go by. Each week operators answer 70 % of the
alarms of the published model, wrongly in 10 %. ``ml.monitor`` looks from the day the model went live to the present.
Where it says that a new model is due, ``ml.retrain`` makes one. In month 5 the vibration sensors are replaced by ones
that read half as much again. In month 8 all wear moves from the bearing to the hydraulics.

``covered`` is the share of weeks in which the interval of the precision holds the share of alarms that were right in
truth. ``worseBy`` is the average precision that a new version lost in the four weeks after it went live, against the
one before on the same rows; negative where it gained. A run takes about ten minutes of one CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks import results
from ml import monitor
from ml.config import OrganizationConfig
from ml.predict import load_model
from ml.scale.fleet.budget import Budget
from ml.scale.fleet.retraining import retrain
from ml.scale.fleet.task import OrganizationTask
from simulation.station import SENSORS, START, TARGET, simulate
from simulation.wear import WearLaw

ORGANIZATION = "plant"
HISTORY_WEEKS, SENSOR_WEEK, MODE_WEEK = 17, 18, 31  # the last two: after the model is there
ANSWERED, WRONG = 0.7, 0.1
INTERVAL, HORIZON = 3600, 43_200
LAW = WearLaw(mean_life_days=8.0)
STEPS = ("data_prep", "train_model", "validate_model", "convert_to_onnx")
WEEK = timedelta(weeks=1)


def plant(weeks: int, seed: int, assets: int) -> pd.DataFrame:
    """Readings of the station with both changes, in the order of time."""
    length = {"n_assets": assets, "days": 7 * (HISTORY_WEEKS + weeks), "interval_seconds": INTERVAL}
    usual = simulate(seed=seed, law=LAW, **length).readings
    other = simulate(seed=seed, law=replace(LAW, bearing_share=(0.01, 0.05)), **length).readings
    begin = START + HISTORY_WEEKS * WEEK
    changed = begin + MODE_WEEK * WEEK
    rows = pd.concat([usual[usual["created_timestamp"] < changed], other[other["created_timestamp"] >= changed]])
    replaced = rows["created_timestamp"] >= begin + SENSOR_WEEK * WEEK
    rows["vibration"] = rows["vibration"].where(~replaced, 1.5 * rows["vibration"] + 1.0)
    return rows.sort_values("created_timestamp", kind="stable", ignore_index=True)


def configuration(folder: Path, *, feedback: bool) -> Path:
    """The plant's configuration; gates judge what the comparison with the published version does not."""
    config: dict[str, Any] = {
        "organizationId": ORGANIZATION,
        "schemaConfig": {
            "assetColumn": "asset_id",
            "continuousColumns": [name for name in SENSORS if name not in ("total_volume", "voltage", "rpm")],
            "booleanColumns": ["pump_status"],
            "targetColumn": TARGET,
            "rollingWindows": [6, 24],
            "lagSeconds": [3600, 14_400],
        },
        "dataSource": {"path": str(folder / "readings.parquet")},
        "dataRange": {"last": "365d"},
        "dataConfig": {
            "samplingIntervalSeconds": INTERVAL,
            "predictionHorizonSeconds": HORIZON,
            "recoverySeconds": 7200,
        },
        "failureConfig": {"allowAsFeatures": ["pump_status"]},
        "trainingConfig": {
            "threads": 1,
            "lgbParams": {"numLeaves": 15, "learningRate": 0.1, "numIterations": 120, "minDataInLeaf": 20},
            "earlyStoppingRounds": 15,
        },
        "validationConfig": {
            "scheme": "holdout",
            "robustnessRows": 100,
            "latencyRuns": 5,
            "minPrecision": 0.4,
            "minRecall": 0.3,
        },
        "conversionConfig": {"parityRows": 500},
        "monitoringConfig": {"keepVersions": 100},  # all are compared at the end
    }
    if feedback:
        (folder / "answers.csv").write_text("asset_id,alarm,answered,verdict\n")
        config["feedbackConfig"] = {
            "path": str(folder / "answers.csv"),
            "alarmColumn": "alarm", "answeredColumn": "answered", "verdictColumn": "verdict",
        }  # fmt: skip
    file = folder / "config.json"
    file.write_text(json.dumps(config, indent=1))
    return file


def onsets(rows: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Epoch seconds at which each asset's failures begin: the truth."""
    found = {}
    for asset, own in rows.groupby("asset_id"):
        failed = own[TARGET].to_numpy() == 1
        starts = failed & ~np.append(False, failed[:-1])
        found[str(asset)] = own["created_timestamp"].to_numpy("datetime64[s]").astype(np.int64)[starts]
    return found


class Operators:
    """They see the alarms of the published model, know in most cases what came of them, and write it down."""

    def __init__(self, folder: Path, truth: dict[str, np.ndarray[Any, Any]], seed: int) -> None:
        self._file, self._truth = folder / "answers.csv", truth
        self._random = np.random.default_rng(seed)
        self._seen: set[tuple[str, int]] = set()

    def look(self, alarms: pd.DataFrame, now: datetime) -> None:
        """Answer alarms whose horizon has passed, each once."""
        with self._file.open("a", encoding="utf-8") as file:
            for asset, start, end in alarms.itertuples(index=False):
                if (asset, start) in self._seen or end + HORIZON >= now.timestamp():
                    continue
                self._seen.add((asset, start))
                answers, errs = self._random.random() < ANSWERED, self._random.random() < WRONG
                if answers:
                    right = self.is_right(asset, start, end) != errs
                    said = ["dismissed", "confirmed"][right]
                    file.write(f"{asset},{_iso(start)},{_iso(end + HORIZON)},{said}\n")

    def is_right(self, asset: str, start: int, end: int) -> bool:
        """Whether the failure that the alarm announced came."""
        times = self._truth[asset]
        return bool(((times > start) & (times <= end + HORIZON) & (start >= times - 2 * HORIZON)).any())

    def share_right(self, alarms: pd.DataFrame) -> float | None:
        """Of alarms: the true precision."""
        right = [self.is_right(*alarm) for alarm in alarms.itertuples(index=False)]
        return float(np.mean(right)) if right else None


def alarms_of(scored: pd.DataFrame, readings: pd.DataFrame) -> pd.DataFrame:
    """Asset, first and last epoch second of each alarm outside failures, by counting."""
    rows = scored[scored["label"] == 1].copy()
    rows["second"] = rows["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
    failed = readings[readings[TARGET] == 1]
    at = -(-failed["created_timestamp"].to_numpy("datetime64[s]").astype(np.int64) // INTERVAL) * INTERVAL
    inside = {
        (asset, second + k * INTERVAL) for asset, second in zip(failed["asset_id"], at, strict=True) for k in (0, 1, 2)
    }
    rows = rows[[key not in inside for key in zip(rows["asset_id"], rows["second"], strict=True)]]
    begins = (rows["second"].diff() > INTERVAL) | (rows["asset_id"] != rows["asset_id"].shift())
    groups = rows.groupby(begins.cumsum())
    return groups.agg(asset=("asset_id", "first"), start=("second", "first"), end=("second", "last"))


def year(folder: Path, weeks: int, seed: int, assets: int, *, feedback: bool) -> dict[str, Any]:
    """Let the weeks go by."""
    os.environ["ML_BASE_PATH"] = str(folder / "workspace")
    rows = plant(weeks, seed, assets)
    config_file = configuration(folder, feedback=feedback)
    config = OrganizationConfig.load_from_file(config_file)
    truth = onsets(rows)
    operators = Operators(folder, truth, seed)
    live = now = (START + HISTORY_WEEKS * WEEK).to_pydatetime()
    versions, told, paused = [_new_version(folder, config_file, rows, now)], [], now - 52 * WEEK
    for week in range(1, weeks + 1):
        now = now + WEEK
        past = rows[rows["created_timestamp"] < now]
        past.to_parquet(folder / "readings.parquet")
        model = load_model(ORGANIZATION)
        newest = past[past["created_timestamp"] >= live - timedelta(seconds=model.engineer.look_back * INTERVAL)]
        scored = model.predict(newest)
        alarms = alarms_of(scored[scored["timestamp"] >= live], past)
        if feedback:
            operators.look(alarms, now)
        found = monitor.run(config, since=live, until=now).content
        ripe = alarms[alarms["end"] + HORIZON < now.timestamp()]
        precision = found["precision"]
        told.append(
            {
                "week": week, "version": model.version, "alarms": found["alarms"]["count"], "counted": len(alarms),
                "judged": precision["right"] + precision["wrong"], "precision": precision["value"],
                "interval": precision["interval"], "truth": operators.share_right(ripe),
                "missed": found["failures"]["missed"], "failures": found["failures"]["count"],
                "retrain": found["retrain"], "reasons": [each["code"] for each in found["reasons"]],
            }
        )  # fmt: skip
        print(json.dumps(told[-1]), file=sys.stderr, flush=True)
        if found["retrain"] == "yes" and now >= paused:
            made = _new_version(folder, config_file, rows, now)
            told[-1]["made"] = made["state"]
            if made["state"] == "done":
                live = now
                versions.append({**made, "week": week})
            else:
                paused = now + timedelta(days=config.monitoring_config.pause_days)
    for before, after in pairwise(versions):
        after["worseBy"] = _loss(rows, truth, before["version"], after["version"], after["week"])
    with_truth = [each for each in told if each["truth"] is not None]
    held = [each["interval"][0] <= each["truth"] <= each["interval"][1] for each in with_truth]
    return {
        "weeks": told,
        "versions": versions,
        "covered": float(np.mean(held)),
        "firstAskedAfterSensor": _first(told, SENSOR_WEEK),
        "firstAskedAfterMode": _first(told, MODE_WEEK),
        "askedBefore": sum(each["retrain"] == "yes" for each in told if each["week"] <= SENSOR_WEEK),
    }


def _new_version(folder: Path, config_file: Path, rows: pd.DataFrame, now: datetime) -> dict[str, Any]:
    rows[rows["created_timestamp"] < now].to_parquet(folder / "readings.parquet")
    root = Path(os.environ["ML_BASE_PATH"])
    root.mkdir(exist_ok=True)
    share = Budget(1, 2 << 30)
    task = OrganizationTask("year", ORGANIZATION, "v1", str(config_file), str(root), STEPS, share, force=False)
    outcome = retrain(task, lambda _: None)
    told = outcome.to_json()
    print(
        json.dumps({key: told[key] for key in ("version", "state", "reason", "seconds")}), file=sys.stderr, flush=True
    )
    if outcome.state not in ("done", "refused"):
        raise SystemExit(f"retraining ended with {outcome.error}")
    return {"version": outcome.version, "state": outcome.state, "week": 0}


def _loss(rows: pd.DataFrame, truth: dict[str, Any], before: str, after: str, week: int) -> float | None:
    """Average precision lost in the four weeks after a publication; None without both classes in them."""
    begin = START + (HISTORY_WEEKS + week) * WEEK
    time = rows["created_timestamp"]
    part = rows[(time >= begin - WEEK) & (time < begin + 4 * WEEK)]
    scores = []
    for version in (before, after):
        scored = load_model(ORGANIZATION, version).predict(part)
        scored = scored[(scored["timestamp"] >= begin) & scored["probability"].notna()]
        seconds = scored["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
        label = np.array(
            [
                ((truth[a] > s) & (truth[a] <= s + HORIZON)).any()
                for a, s in zip(scored["asset_id"], seconds, strict=True)
            ]
        )
        if label.all() or not label.any():
            return None
        scores.append(average_precision_score(label, scored["probability"]))
    return float(scores[0] - scores[1])


def _first(told: list[dict[str, Any]], after: int) -> int | None:
    """Weeks from a change until a new model was asked for."""
    return next((each["week"] - after for each in told if each["week"] > after and each["retrain"] == "yes"), None)


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def main() -> None:
    """Run and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulated_year", description=__doc__)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--assets", type=int, default=5)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--without-feedback", action="store_true")
    parser.add_argument("--name", default="simulated_year")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = year(Path(folder), given.weeks, given.seed, given.assets, feedback=not given.without_feedback)
    results.keep(given.name, figures)
    print(json.dumps({key: value for key, value in figures.items() if key != "weeks"}, indent=1))


if __name__ == "__main__":
    main()
