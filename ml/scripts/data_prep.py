"""Step 1: an organisation's SCADA history becomes a clean, labelled, regular grid.

    python scripts/data_prep.py config/manufacturing_org.json

Reads: the configured database or file. Writes, under artifacts/<organisation>/<version>: prepared_data.parquet,
data_summary.json. Exit status: see ml/errors.py.
"""

from __future__ import annotations

if __package__ in (None, ""):
    import _bootstrap  # noqa: F401

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig
from ml.progress import ProgressCallback
from ml.workspace.actor import add_actor_option
from ml.workspace.harness import run_step


@dataclass(frozen=True)
class PreparationResult:
    """Where the prepared data is, and what was found in the source."""

    prepared_data: Path
    data_summary: Path
    rows: int
    assets: int
    failure_events: int
    warnings: list[dict[str, str]]

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        return {
            "preparedDataPath": str(self.prepared_data),
            "dataSummaryPath": str(self.data_summary),
            "rows": self.rows,
            "assets": self.assets,
            "failureEvents": self.failure_events,
            "warnings": self.warnings,
        }


def build_parser() -> argparse.ArgumentParser:
    """The command line of this step."""
    parser = argparse.ArgumentParser(prog="data_prep.py", description="Prepare an organisation's history.")
    parser.add_argument("config", help="configuration of the organisation (JSON)")
    add_actor_option(parser)
    return parser


def run(config: OrganizationConfig, *, progress: ProgressCallback | None = None) -> PreparationResult:
    """Read the source, put it on the grid, label it, write it.

    Raises
    ------
    ConfigError, DataError, SourceError, StorageError, IsolationError
        As ml/errors.py describes them.
    """
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.pipeline.inputs import prepare_and_keep
    from ml.workspace.paths import for_config

    paths = for_config(config)
    summary = prepare_and_keep(config, paths, progress)
    return PreparationResult(
        prepared_data=paths.prepared_data(config.version),
        data_summary=paths.data_summary(config.version),
        rows=summary["gridRows"],
        assets=summary["assets"],
        failure_events=summary["failureEvents"]["total"],
        warnings=list(summary["findings"]),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the step from a command line; returns the exit status."""
    return run_step("data_prep", build_parser(), lambda config, _, progress: run(config, progress=progress), argv)


if __name__ == "__main__":
    raise SystemExit(main())
