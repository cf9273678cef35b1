"""The steps of the pipeline, in order: what a fleet must know of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ml.errors import EagleError
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.manifest import verify

TUNED_CONFIG = "training_config.json"
MONITOR = "monitor"
"""What a process of an organisation can run beside the steps."""
STOPPED_EXITS = (130, 143)
"""Exit status of a step that was told to stop."""


@dataclass(frozen=True)
class Step:
    """One step; its name is that of its module in `ml.scripts`."""

    has_results: Callable[[OrganizationPaths, str], bool]
    """Whether what it writes of a version is there."""
    gives_config: bool = False
    """Whether it writes a configuration that the later steps take."""
    gives_verdict: bool = False
    """Whether it may refuse the model for its quality, which ends the pipeline."""
    follows_verdict: bool = False
    """Whether the validation report is about the model that it leaves."""


def _has_version(paths: OrganizationPaths, version: str) -> bool:
    try:
        verify(paths.version(version), paths.organization_id, version)
    except EagleError:
        return False
    return True


STEPS = {
    "data_prep": Step(lambda paths, version: paths.prepared_data(version).is_file()),
    "hyperparameter_tuning": Step(
        lambda paths, version: paths.tuning_file(version, TUNED_CONFIG).is_file(), gives_config=True
    ),
    "train_model": Step(_has_version),
    "validate_model": Step(
        lambda paths, version: paths.validation_report(version, ".json").is_file(),
        gives_verdict=True,
        follows_verdict=True,
    ),
    "convert_to_onnx": Step(_has_version, follows_verdict=True),
}
"""Name -> step, in the order of the pipeline."""
