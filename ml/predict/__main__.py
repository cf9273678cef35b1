"""Score a file of readings with the published model.

    python -m ml.predict CONFIG DATA OUT [--version VERSION]

Reads: models/<organisation>/current, and a CSV or Parquet file of readings of any size and order. Writes: OUT, whole
or not at all, with one row per asset and grid instant: asset_id, timestamp, probability, label. Memory does not grow
with the file; sorted readings are kept in artifacts/<organisation> meanwhile. Exit status: see ml/errors.py.
"""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.config import OrganizationConfig
from ml.errors import UsageError
from ml.predict import CURRENT
from ml.progress import ProgressCallback, silent
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step

if TYPE_CHECKING:
    from ml.predict.scoring import Scored

STEP = "predict"


@dataclass(frozen=True)
class PredictionResult:
    """Where the scores are, by which model, and what was found in the readings."""

    predictions: Path
    model_version: str
    manifest_digest: str
    data_digest: str
    scored: Scored

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        return {
            "predictionsPath": str(self.predictions),
            "manifestSha256": self.manifest_digest,
            "dataDigest": self.data_digest,
            **self.scored.to_json(),
        }


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ml.predict", description="Score a file of readings.")
    parser.add_argument("config", help="configuration of the organisation (JSON); says where the columns are in DATA")
    parser.add_argument("data", help="CSV or Parquet of readings, in any order; no target is needed")
    parser.add_argument("out", help=".parquet or .csv to write: asset_id, timestamp, probability (or score), label")
    parser.add_argument("--version", default=CURRENT, help="version of the model; default: the published one")
    add_common_options(parser)
    return parser


def run(
    config: OrganizationConfig,
    data: str | Path,
    out: str | Path,
    *,
    version: str = CURRENT,
    progress: ProgressCallback | None = None,
) -> PredictionResult:
    """Score every grid row of the readings in `data` and write them to `out`.

    Raises
    ------
    UsageError
        If `out` is neither .parquet nor .csv, or is `data`.
    MissingArtifactError, IntegrityError, IsolationError, BusyError
        As `ml.predict.load_model`; also if a file lies with another organisation.
    DataError, StorageError
        As ml/errors.py describes them.
    """
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.ingest.inputs import refuse_foreign_tables
    from ml.predict import load_model
    from ml.predict.output import SUFFIXES
    from ml.predict.scoring import score_file
    from ml.workspace.files import scratch_directory, sha256, staged_file
    from ml.workspace.paths import for_config

    paths = for_config(config)
    source = paths.readable_file(data, "the data")
    refuse_foreign_tables(config, paths, "layoutConfig.")
    target = paths.writable_file(out, "the output")
    if target.suffix not in SUFFIXES:
        raise UsageError(f"the output must end in {' or '.join(SUFFIXES)}, not {target.suffix or 'without a suffix'}")
    if target == source:
        raise UsageError("the output is the data itself", hint="name another file to write")
    tell = progress or silent
    tell(0.0, 1.0, "reading the model")
    model = load_model(config.organization_id, version)
    if model.engineer.config.schema_config.event_inputs:
        refuse_foreign_tables(config, paths, "failureConfig.")
    with scratch_directory(paths.run(model.version), "readings") as scratch, staged_file(target) as staged:
        scored = score_file(model, config, source, staged, scratch=scratch, progress=tell)
    return PredictionResult(target, model.version, model.manifest_digest, sha256(source), scored)


def _version(config: OrganizationConfig, arguments: argparse.Namespace) -> str:
    """The version to read, by its own name."""
    from ml.workspace.paths import for_config
    from ml.workspace.versions.store import published_version

    if arguments.version != CURRENT:
        return str(arguments.version)
    return published_version(for_config(config))


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""
    return run_step(
        STEP,
        build_parser(),
        lambda config, arguments, progress: run(
            config, arguments.data, arguments.out, version=config.version, progress=progress
        ),
        argv,
        reads_version=_version,
    )


if __name__ == "__main__":
    sys.exit(main())
