"""Step 1: an organisation's SCADA history becomes a clean, labelled, regular grid.

    python scripts/data_prep.py config/manufacturing_org.json [--inspect]

Reads: the configured database or file. Writes, under artifacts/<organisation>/<version>: prepared_data.parquet,
data_summary.json, and prepared_data.csv if dataConfig.preparedFormat says so. Exit status: see ml/errors.py.
"""

from __future__ import annotations

if __package__ in (None, ""):
    import _bootstrap  # noqa: F401

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig
from ml.progress import ProgressCallback
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step


@dataclass(frozen=True)
class PreparationResult:
    """Where the prepared data is, and what was found in the source."""

    prepared_data: Path
    prepared_csv: Path | None
    data_summary: Path
    rows: int
    assets: int
    failure_events: int
    sensors: list[str]
    first_time: str
    last_time: str
    positive_rate: float | None
    """Share of the labelled rows that are positive."""
    warnings: list[dict[str, Any]]
    """Findings in their JSON form."""

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result; the backend reads the keys from ``dataPoints`` to ``dataFile``."""
        return {
            "preparedDataPath": str(self.prepared_data),
            "dataSummaryPath": str(self.data_summary),
            "rows": self.rows,
            "assets": self.assets,
            "failureEvents": self.failure_events,
            "dataPoints": self.rows,
            "features": self.sensors,
            "dateRange": {"start": self.first_time, "end": self.last_time},
            "failureRate": self.positive_rate,
            "dataFile": str(self.prepared_csv or self.prepared_data),
            "warnings": self.warnings,
        }


def build_parser() -> argparse.ArgumentParser:
    """The command line of this step."""
    parser = argparse.ArgumentParser(prog="data_prep.py", description="Prepare an organisation's history.")
    parser.add_argument("config", help="configuration of the organisation (JSON)")
    parser.add_argument(
        "--inspect", action="store_true", help="prepare nothing: say what the source is, as python -m ml.inspect"
    )
    add_common_options(parser)
    return parser


def run(config: OrganizationConfig, *, progress: ProgressCallback | None = None) -> PreparationResult:
    """Read the source, put it on the grid, label it, write it.

    Raises ConfigError, DataError, SourceError, StorageError, IsolationError as ml/errors.py describes them.
    """
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.ingest.inputs import prepare_and_keep
    from ml.ingest.present_columns import with_present_columns
    from ml.ingest.summary.warnings import warnings_of
    from ml.workspace.paths import for_config

    paths = for_config(config)
    config = with_present_columns(config, paths)
    summary = prepare_and_keep(config, paths, progress)
    return PreparationResult(
        prepared_data=paths.prepared_data(config.version),
        prepared_csv=paths.prepared_csv(config.version) if config.data_config.prepared_format == "csv" else None,
        data_summary=paths.data_summary(config.version),
        rows=summary["gridRows"],
        assets=summary["assets"],
        failure_events=summary["failureEvents"]["total"],
        sensors=list(config.schema_config.sensor_columns),
        first_time=summary["firstTime"],
        last_time=summary["lastTime"],
        positive_rate=summary["positiveRate"],
        warnings=warnings_of(config, summary, summary["samplingIntervalSeconds"]),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the step from a command line; returns the exit status."""
    given = sys.argv[1:] if argv is None else argv
    if "--inspect" in given:
        from ml.inspect.__main__ import main as inspect

        return inspect([argument for argument in given if argument != "--inspect"])
    return run_step("data_prep", build_parser(), lambda config, _, progress: run(config, progress=progress), argv)


if __name__ == "__main__":
    raise SystemExit(main())
