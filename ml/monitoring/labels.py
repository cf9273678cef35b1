"""Look for failures whose record looks wrong; a table with evidence, for people to decide on. Nothing is applied.

    python -m ml.monitoring.labels CONFIG

Reads: the prepared data of the configured version, and the scores of its validation, by models that had not seen the
rows. Writes: artifacts/<organisation>/<version>/failures_proposed.csv, which can be edited and used as
failureConfig.events. Exit status: see ml/errors.py.
"""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig
from ml.errors import MissingArtifactError
from ml.workspace.paths import for_config
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step

STEP = "labels"
_FORMULA = r"^\s*[=+\-@]"  # as a spreadsheet would read it


@dataclass(frozen=True)
class LabelsResult:
    """Where the table is, and how many proposals of each kind are in it."""

    table: Path
    recorded: int
    proposed: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        return {"proposalsPath": str(self.table), "recordedFailures": self.recorded, "proposed": self.proposed}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ml.monitoring.labels", description="Look for failures that look wrong."
    )
    parser.add_argument("config", help="configuration of the organisation (JSON); its version must be validated")
    add_common_options(parser)
    return parser


def run(config: OrganizationConfig) -> LabelsResult:
    """Write the table of recorded failures and proposals.

    Raises
    ------
    MissingArtifactError
        If the version has no prepared data, or has not been validated.
    IntegrityError, IsolationError, StorageError
        As ml/errors.py describes them.
    """
    import pandas as pd

    from ml.ingest.inputs import kept_data
    from ml.monitoring.suspects import RECORDED, suspects
    from ml.workspace.files import read_json, write_text

    paths = for_config(config)
    report = read_json(paths.validation_report(config.version, ".json"), "the validation report")
    if not paths.predictions(config.version).is_file():
        raise MissingArtifactError("the version has no scores of its validation", hint="run validate_model.py")
    data = kept_data(config, paths, sensors=False).data
    scores = pd.read_parquet(paths.predictions(config.version))
    joined = data.frame.merge(scores.drop(columns="label"), on=["asset_id", "timestamp"], how="left")
    score = joined[next(name for name in scores.columns if name not in data.frame.columns)]
    table = suspects(
        data.frame,
        score.to_numpy(dtype="float32"),
        report["threshold"],
        horizon=report["horizonSeconds"],
        interval=data.interval,
        spacing=max(config.validation_config.alarm_cooldown_seconds, data.interval),
    )
    names = table["asset"].astype("str")
    safe = names.where(~names.str.match(_FORMULA), "'" + names)
    file = paths.proposed_failures(config.version)
    write_text(file, table.assign(asset=safe).to_csv(index=False))
    is_recorded = table["source"] == RECORDED
    return LabelsResult(file, int(is_recorded.sum()), dict(sorted(Counter(table["finding"][~is_recorded]).items())))


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""
    return run_step(
        STEP, build_parser(), lambda config, *_: run(config), argv, reads_version=lambda config, _: config.version
    )


if __name__ == "__main__":
    sys.exit(main())
