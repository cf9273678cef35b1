"""Step 5: make the ONNX model of a trained version, prove that it is exact, and publish it.

    python scripts/convert_to_onnx.py conversion_config.json [model.txt] [sample_data]

Reads: models/<organisation>/versions/<version> (or the model file named), validation_report.json, and rows to compare
on (the prepared data, or the file named). Writes: model.onnx, window.onnx and metadata.json of the version; and, by
conversionConfig.publish, the link models/<organisation>/current. Exit status 5 if the version may not be published or
differs from the trained model; others: ml/errors.py.
"""

from __future__ import annotations

if __package__ in (None, ""):
    import _bootstrap  # noqa: F401

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.config import OrganizationConfig
from ml.errors import IntegrityError
from ml.findings import Finding
from ml.progress import ProgressCallback, silent
from ml.workspace.configurations import beside_config
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step

if TYPE_CHECKING:
    from ml.evaluation.model_version import TrainedVersion
    from ml.export.metadata import ModelMetadata
    from ml.export.package import OnnxModels
    from ml.workspace.paths import OrganizationPaths


_PUBLISHED_UNPROVEN = Finding(
    "PUBLISHED_WITHOUT_PASSED_VALIDATION",
    "The version was published though no validation report of it has passed; the audit log says so.",
    "conversionConfig.publish",
    'run validate_model.py, and publish with "if_valid"',
)


@dataclass(frozen=True)
class ConversionResult:
    """The exported model, how it compares with the trained one, and whether it is now the current one."""

    model_path: Path
    parity: dict[str, Any]
    published: bool
    previous_version: str | None
    forced: bool = False
    """Whether it was published without a passed validation."""

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        return {
            "modelPath": str(self.model_path),
            "parity": self.parity,
            "published": self.published,
            "previousVersion": self.previous_version,
            "warnings": [_PUBLISHED_UNPROVEN.to_json()] if self.forced else [],
        }


def build_parser() -> argparse.ArgumentParser:
    """The command line of this step."""
    parser = argparse.ArgumentParser(prog="convert_to_onnx.py", description="Export and publish a model.")
    parser.add_argument("config", help="configuration of the organisation (JSON)")
    parser.add_argument(
        "model",
        nargs="?",
        help="the stored model, such as model.txt; default: the version's own; no pickle",
    )
    parser.add_argument(
        "sample_data",
        nargs="?",
        help="prepared data, or CSV/Parquet of readings, to compare on; default: what data_prep wrote",
    )
    add_common_options(parser)
    return parser


def run(
    config: OrganizationConfig,
    model: str | None = None,
    sample_data: str | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> ConversionResult:
    """Export, compare, install, publish.

    Raises QualityGateError if the version should be published but has no passed validation report for exactly this
    model; ParityError if one bit of the ONNX model's probabilities differs; ConfigError, DataError, StorageError,
    IsolationError, IntegrityError as ml/errors.py describes them.
    """
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.arrays import spread
    from ml.evaluation.model_version import load_version
    from ml.export.package import MODEL_FILE, exact_models, with_modes, with_times
    from ml.ingest import inputs
    from ml.learning.times.measured import stored_times
    from ml.workspace.paths import for_config
    from ml.workspace.versions.release import has_passed, require_passed_report
    from ml.workspace.versions.store import is_current, link_model, publish

    tell = progress or silent
    paths = for_config(config)
    tell(0, 3, "reading the version")
    model_file = None if model is None else _model_file(paths, model)
    trained = load_version(config, paths, model_file)
    if sample_data is None:
        sample = inputs.kept_data(config, paths).data
    else:
        sample = inputs.external_data(trained.config, paths, Path(sample_data)).data

    tell(1, 3, "comparing the ONNX model with the trained one")
    parity_rows = config.conversion_config.parity_rows
    rows = spread((sample.frame["label"] >= 0).to_numpy(), parity_rows)
    real_rows = trained.engineer.matrix(sample.frame, rows=rows)
    # Its figures are of the version's own alarms, so another model in its place does not get it.
    times = None if model_file else stored_times(trained.folder, trained.metadata.time_to_failure, trained.engineer)
    models, metadata = exact_models(
        trained.estimator,
        trained.engineer,
        trained.metadata if times else trained.metadata.model_copy(update={"time_to_failure": None}),
        frame=sample.frame,
        real_rows=real_rows,
        parity_rows=parity_rows,
        others=[
            *([times.model.ensemble()] if times else []),
            *(trained.modes.ensembles() if trained.modes else []),
        ],
    )
    models, metadata = _with_kept_reasons(trained, models, metadata)
    models, metadata = with_modes(models, metadata, trained.modes, real_rows)
    if times is not None:
        models, metadata = with_times(models, times, metadata, real_rows=real_rows, parity_rows=parity_rows)
    if not (is_current(paths, config.version) and _is_shipped(trained.folder, models)):
        _install(config, paths, trained, models, metadata, model_file)
    link_model(paths, config.version)

    tell(2, 3, "publishing")
    published, previous, forced = False, None, False
    if config.conversion_config.publish != "never":
        if config.conversion_config.publish == "if_valid":
            hint = 'run validate_model.py, or set conversionConfig.publish to "never" or "always"'
            require_passed_report(paths, config.version, hint=hint)
        forced = not has_passed(paths, config.version)
        change = publish(paths, config.version, config_digest=config.digest(), forced=forced)
        published, previous = True, change.previous
    tell(3, 3, "done")
    parity = metadata.parity.model_dump(mode="json", by_alias=True) if metadata.parity else {}
    return ConversionResult(paths.version(config.version) / MODEL_FILE, parity, published, previous, forced)


def _model_file(paths: OrganizationPaths, argument: str) -> Path:
    """The model named on the command line, if it is of a kind that can be read without running it."""
    if Path(argument).suffix in (".pkl", ".pickle", ".joblib"):
        raise IntegrityError(
            f"{Path(argument).name} is a pickle, which can run any program when it is opened; it was not opened",
            hint="leave the argument out to export the version's own model, or give its model.txt or model.parquet",
        )
    return paths.readable_file(argument, "the model")


def _install(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    trained: TrainedVersion,
    models: OnnxModels,
    metadata: ModelMetadata,
    model_file: Path | None,
) -> None:
    """Put the exported model into the version; the rest of the version stays as it is."""
    from ml.export.package import write_package
    from ml.learning.held_out import HELD_OUT_FILE
    from ml.learning.modes.models import mode_files
    from ml.learning.times.measured import TIMES_MODEL_FILE, TIMES_STORY_FILE
    from ml.workspace.files import write_bytes
    from ml.workspace.safe_open import read_bytes
    from ml.workspace.versions.store import stage_version

    with stage_version(paths, config.version) as folder:
        own_model = trained.estimator.model_file
        kept = [own_model, "scaler.pkl", *mode_files(0 if trained.modes is None else len(trained.modes.models))]
        if model_file is None and trained.judged is not None:
            kept.append(HELD_OUT_FILE)
        if metadata.time_to_failure is not None:
            kept += [TIMES_MODEL_FILE, TIMES_STORY_FILE]
        for name in kept:
            write_bytes(folder / name, read_bytes(trained.folder / name))
        if model_file is not None:
            write_bytes(folder / own_model, read_bytes(model_file))
        write_package(folder, metadata, models)


def _with_kept_reasons(
    trained: TrainedVersion, models: OnnxModels, metadata: ModelMetadata
) -> tuple[OnnxModels, ModelMetadata]:
    """The reasons that training wrote for the same model, if any: those made here are fitted on other rows."""
    from ml.export.package import MODEL_FILE, REASONS_FILE
    from ml.workspace.safe_open import read_bytes

    file = trained.folder / REASONS_FILE
    if not (file.is_file() and trained.metadata.reasons and _holds(trained.folder / MODEL_FILE, models.model)):
        return models, metadata
    kept = metadata.model_copy(update={"reasons": trained.metadata.reasons})
    return replace(models, reasons=read_bytes(file)), kept


def _is_shipped(folder: Path, models: OnnxModels) -> bool:
    return all(_holds(folder / name, content) for name, content in models.files.items())


def _holds(file: Path, content: bytes) -> bool:
    from ml.workspace.safe_open import read_bytes

    return file.is_file() and read_bytes(file) == content


def main(argv: list[str] | None = None) -> int:
    """Run the step from a command line; returns the exit status."""
    return run_step(
        "convert_to_onnx",
        build_parser(),
        lambda config, arguments, progress: run(
            config,
            arguments.model,
            beside_config(arguments.sample_data, arguments.config, config),
            progress=progress,
        ),
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
