"""Step 4: hold a trained version to its thresholds, through the ONNX model that would be shipped.

    python scripts/validate_model.py validation_config.json [test_data]

Reads: models/<organisation>/versions/<version>, and the held-out test part of the prepared data (or the file named).
Writes, under artifacts/<organisation>/<version>: validation_report.json, validation_report.html, predictions.parquet
and validation_plots/. Exit status 5 if a threshold is not met (you get the report even then); others: see ml/errors.py.
"""

from __future__ import annotations

if __package__ in (None, ""):
    import _bootstrap  # noqa: F401

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.config import OrganizationConfig
from ml.errors import QualityGateError
from ml.progress import ProgressCallback
from ml.workspace.configurations import beside_config
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step

if TYPE_CHECKING:
    from ml.evaluation.report.report import ValidationReport


@dataclass(frozen=True)
class ValidationResult:
    """The verdict and where the report is."""

    report: ValidationReport
    report_html: Path
    report_json: Path
    predictions: Path
    episodes: Path | None = None
    """Of a model of normal behaviour: its strongest past episodes."""

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        content = self.report.to_json()
        return {
            "verdict": content["verdict"],
            "reportPath": str(self.report_html),
            "reportJsonPath": str(self.report_json),
            "predictionsPath": str(self.predictions),
            "metrics": content["metrics"],
            "references": content["references"],
            "gates": content["gates"],
            **({"episodesPath": str(self.episodes)} if self.episodes else {}),
            "warnings": content["warnings"],
        }


def build_parser() -> argparse.ArgumentParser:
    """The command line of this step."""
    parser = argparse.ArgumentParser(prog="validate_model.py", description="Validate an organisation's model.")
    parser.add_argument("config", help="configuration of the organisation (JSON)")
    parser.add_argument(
        "test_data", nargs="?", help="prepared data, or CSV/Parquet of readings; default: the held-out test part"
    )
    add_common_options(parser)
    return parser


def run(
    config: OrganizationConfig, test_data: str | None = None, *, progress: ProgressCallback | None = None
) -> ValidationResult:
    """Score the test rows, write the report, and say whether the version may be published.

    Raises QualityGateError if a threshold is not met; everything has been written then; ConfigError, DataError,
    StorageError, IsolationError, IntegrityError as ml/errors.py describes them.
    """
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.evaluation.evaluate import evaluate
    from ml.evaluation.model_version import load_version
    from ml.workspace.files import make_folder, staged_file, write_bytes, write_json, write_text
    from ml.workspace.paths import for_config

    paths = for_config(config)
    trained = load_version(config, paths)
    evaluated = evaluate(config, paths, trained, test_data, progress)
    plots = paths.plots(config.version)
    make_folder(plots)
    for name, picture in evaluated.pictures.items():
        write_bytes(plots / f"{name}.png", picture)
    write_text(plots / "timeline.csv", evaluated.timeline_csv)
    if evaluated.episodes_csv is not None:
        write_text(paths.episodes(config.version), evaluated.episodes_csv)
    with staged_file(paths.predictions(config.version)) as staged:
        evaluated.predictions.to_parquet(staged, index=False)
    write_text(paths.validation_report(config.version, ".html"), evaluated.html)
    write_json(paths.validation_report(config.version, ".json"), evaluated.report.to_json())
    result = ValidationResult(
        evaluated.report,
        paths.validation_report(config.version, ".html"),
        paths.validation_report(config.version, ".json"),
        paths.predictions(config.version),
        None if evaluated.episodes_csv is None else paths.episodes(config.version),
    )
    if evaluated.report.status != "PASSED":
        raise QualityGateError(evaluated.report.verdict, hint=f"the report says why: {result.report_html}")
    return result


def main(argv: list[str] | None = None) -> int:
    """Run the step from a command line; returns the exit status."""
    return run_step(
        "validate_model",
        build_parser(),
        lambda config, arguments, progress: run(
            config, beside_config(arguments.test_data, arguments.config, config), progress=progress
        ),
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
