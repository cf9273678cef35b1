"""Step 2 (optional): search the model's parameters by cross-validation on the training and validation parts.

    python scripts/hyperparameter_tuning.py tuning_config.json [prepared_data]

Folds are purged blocks of asset and time with failure events balanced over them; the test part is not looked at.
Feature selection is not used in the search: it ranks features by the labels of rows that folds hold out, so scores
would be too good. Parameters are searched on all features; train_model.py selects as configured.
Reads: prepared_data.parquet (or the file named), else the configured source. Writes, under
artifacts/<organisation>/<version>/hyperparameter_results: trials.csv, trials.json, best_parameters.json, history.png,
importance.png, parallel_coordinates.png and training_config.json, which train_model.py takes as it is. Windows, lags
and families are searched where tuningConfig.searchSpace names them. A search that was stopped or killed goes on from
its journal, or the database of tuningConfig.storage, and ends as an undisturbed one. With
tuningConfig.workers above 1 several processes run trials beside each other; which of them ends first then decides what
is tried next. Exit status: see ml/errors.py.
"""

from __future__ import annotations

if __package__ in (None, ""):
    import _bootstrap  # noqa: F401

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.config import OrganizationConfig
from ml.findings import Finding
from ml.progress import ProgressCallback
from ml.workspace.configurations import beside_config
from ml.workspace.process.libraries import require_psycopg
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step

if TYPE_CHECKING:
    from ml.ingest.prepared.data import Prepared
    from ml.learning.search.search import SearchResult

JOURNAL = "journal.log"
LEAKING = {"folds": "leaks"}  # beside every score of shuffled rows


@dataclass(frozen=True)
class TuningResult:
    """The best parameters, how much they gain, and the configuration to train with."""

    training_config: Path
    best_parameters: dict[str, Any]
    best_score: float | None
    """None where there was nothing to search by."""
    baseline_score: float | None
    metric: str
    trials: int
    selection: str
    """What became of feature selection."""
    leaks: bool
    """Whether the scores come from shuffled rows, and are too good."""
    warnings: list[dict[str, Any]]
    """Findings in their JSON form."""

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        return {
            "trainingConfigPath": str(self.training_config),
            "bestParameters": self.best_parameters,
            "bestScore": self.best_score,
            "baselineScore": self.baseline_score,
            "scoringMetric": self.metric,
            "trials": self.trials,
            "selection": self.selection,
            **(LEAKING if self.leaks else {}),
            "warnings": self.warnings,
        }


def build_parser() -> argparse.ArgumentParser:
    """The command line of this step."""
    parser = argparse.ArgumentParser(prog="hyperparameter_tuning.py", description="Search a model's parameters.")
    parser.add_argument("config", help="configuration of the organisation (JSON)")
    parser.add_argument(
        "prepared_data", nargs="?", help="prepared data, or CSV/Parquet of readings; default: what data_prep wrote"
    )
    add_common_options(parser)
    return parser


def run(
    config: OrganizationConfig, prepared_data: str | None = None, *, progress: ProgressCallback | None = None
) -> TuningResult:
    """Search, and write the results and the training configuration.

    Raises ConfigError, DataError, SourceError, StorageError, BusyError, IsolationError, MissingLibraryError as
    ml/errors.py describes them.
    """
    from ml.learning import estimators

    estimators.check(config.training_config.model_type)
    _check_what_is_there(config)
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.ingest import inputs
    from ml.ingest.failures.copies import without_copies
    from ml.ingest.failures.since import with_event_inputs
    from ml.ingest.present_columns import with_present_columns
    from ml.ingest.summary.warnings import told_with_failures, warnings_of
    from ml.learning.search.feature_sets import with_features
    from ml.learning.search.results import write_results
    from ml.workspace.files import make_folder, write_text
    from ml.workspace.paths import for_config

    paths = for_config(config)
    config = with_present_columns(config, paths)
    folder = paths.tuning(config.version)
    journal, training_config = (paths.tuning_file(config.version, name) for name in (JOURNAL, "training_config.json"))
    data = inputs.prepared_data(config, paths, progress, argument=prepared_data).data
    make_folder(folder)
    searched = _to_search(config, data)
    result = None
    if searched is not None:
        with told_with_failures(data.summary):
            result = _search(
                with_event_inputs(without_copies(searched, data.summary), data.summary), data, journal, progress
            )
    if result is None:
        write_text(training_config, config.to_json() + "\n")
        return _nothing_to_search(config, training_config, warnings_of(config, data.summary, data.interval))
    leaks = config.tuning_config.shuffled_folds == "leaks"
    write_results(folder, result, marks=LEAKING if leaks else {})
    best_training = result.best.model_copy(update={"model_type": config.training_config.model_type})
    tuned = with_features(config, result.best_features).model_copy(update={"training_config": best_training})
    write_text(training_config, tuned.to_json() + "\n")
    best = next(trial for trial in result.trials if trial["number"] == result.best_number)
    return TuningResult(
        training_config=training_config,
        best_parameters=best["params"],
        best_score=result.best_score,
        baseline_score=result.baseline_score,
        metric=result.metric,
        trials=len(result.trials),
        selection="none" if config.feature_config.selection.method == "none" else "not used in the search",
        leaks=leaks,
        warnings=warnings_of(config, data.summary, data.interval),
    )


def _to_search(config: OrganizationConfig, data: Prepared) -> OrganizationConfig | None:
    """The configuration of the model type that is searched; None where that has nothing to search."""
    from ml.learning import estimators
    from ml.learning.auto import CLASSIFIER, ENOUGH, known_failures, with_model_type

    if config.training_config.model_type == estimators.AUTO:
        enough = known_failures(config, data.frame) >= max(ENOUGH, 3 * config.data_config.min_failure_events)
        return with_model_type(config, CLASSIFIER) if enough else None
    return config if estimators.get(config.training_config.model_type).search_space() else None


def _nothing_to_search(config: OrganizationConfig, file: Path, warnings: list[dict[str, Any]]) -> TuningResult:
    """Of a model type that has no parameters to search, or too few failures to search by."""
    finding = Finding(
        "NOTHING_TO_SEARCH",
        f"{config.training_config.model_type} has nothing to search by; the configuration was passed on as it is",
        "tuningConfig",
    )
    metric = config.tuning_config.scoring_metric
    return TuningResult(file, {}, None, None, metric, 0, "none", False, [*warnings, finding.to_json()])


def _check_what_is_there(config: OrganizationConfig) -> None:
    """Raise MissingLibraryError, ConfigError or IsolationError now, not after the data is prepared."""
    tuning = config.tuning_config
    if tuning.storage is not None:
        require_psycopg("tuningConfig.storage")
        tuning.storage_secret(config.organization_id)


def _search(
    config: OrganizationConfig, data: Prepared, journal: Path, progress: ProgressCallback | None
) -> SearchResult:
    from ml.learning.search.rows import search_rows
    from ml.learning.search.search import search
    from ml.scale.parallel_search import side_by_side

    rows = search_rows(config, data.frame, data.interval)
    return search(
        rows,
        config.training_config,
        config.tuning_config,
        progress=progress,
        storage_path=journal,
        owner=f"{config.organization_id}/{config.version}",
        side_by_side=side_by_side(config, data, journal),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the step from a command line; returns the exit status."""
    return run_step(
        "hyperparameter_tuning",
        build_parser(),
        lambda config, arguments, progress: run(
            config, beside_config(arguments.prepared_data, arguments.config, config), progress=progress
        ),
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
