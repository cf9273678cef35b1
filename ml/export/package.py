"""Write a model's ONNX forms and metadata into a version's folder, after proving that they are exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ml.arrays import Float32s
from ml.export.adversarial import adversarial_rows, edge_rows
from ml.export.graph.forms import ModelForm
from ml.export.graph.model import build_model
from ml.export.graph.normal import NormalForm
from ml.export.graph.scaling import apply_scaling
from ml.export.metadata import FileChecksum, ModelMetadata, Parity
from ml.export.modes import MODES_FILE, exact_modes
from ml.export.parity import check_leaves, check_parity
from ml.export.reasons.exact import ExplainedModel, Reasons, exact_reasons
from ml.export.reasons.normal import normal_reasons
from ml.export.session import Scorer, open_model
from ml.export.times.exact import ExportedTimes, exact_times
from ml.export.trees.ensemble import TreeEnsemble
from ml.export.window.graph import build_feature_probe, build_window_model
from ml.export.window.parity import check_windows, sample_rows
from ml.features import FeatureEngineer
from ml.windows.catalogue import watched_channels
from ml.workspace.files import sha256, write_bytes

MODEL_FILE = "model.onnx"
WINDOW_FILE = "window.onnx"
REASONS_FILE = "reasons.onnx"
TIMES_FILE = "time_to_failure.onnx"
METADATA_FILE = "metadata.json"
_LEAF_ROWS = 5_000
_WINDOW_ROWS = 4_096
_TIMES_ROWS = 4_096


class ExportableModes(Protocol):
    """The trained models of the modes of failure; features are scaled."""

    def predict(self, X: Float32s) -> Float32s:
        """Probability of each mode, given a failure, (n_rows, n_modes)."""

    def ensembles(self) -> list[TreeEnsemble]:
        """The trees of each mode."""


class ExportableModel(ExplainedModel, Protocol):
    """A trained model as its own library predicts; its features are scaled."""

    def form(self) -> ModelForm:
        """What a graph is built of."""


@dataclass(frozen=True)
class OnnxModels:
    """The ONNX forms of one model: from features (``model.onnx``), and from raw readings (``window.onnx``).

    ``reasons.onnx`` says what each sensor adds to a score; None where the model type has no contributions.
    ``time_to_failure.onnx`` says when a failure is to be expected; None where no such model was trained.
    ``modes.onnx`` says which mode a failure has; None where none are told apart.
    """

    model: bytes
    window: bytes
    reasons: bytes | None = None
    times: bytes | None = None
    modes: bytes | None = None

    @property
    def files(self) -> dict[str, bytes]:
        """Name and content of each file."""
        named = {MODEL_FILE: self.model, WINDOW_FILE: self.window, REASONS_FILE: self.reasons}
        named |= {TIMES_FILE: self.times}
        named |= {MODES_FILE: self.modes}
        return {name: content for name, content in named.items() if content is not None}


def exact_models(
    trained: ExportableModel,
    engineer: FeatureEngineer,
    metadata: ModelMetadata,
    *,
    frame: pd.DataFrame,
    real_rows: Float32s,
    parity_rows: int,
    others: Sequence[TreeEnsemble] = (),
) -> tuple[OnnxModels, ModelMetadata]:
    """The ONNX models, and the metadata with the figures of their comparison with the trained model.

    Raises ParityError if one bit of one probability, or one feature, differs.

    Parameters
    ----------
    frame
        Grid frame whose rows, a few thousand of them, the window graph is compared on.
    real_rows, parity_rows
        As in `exact_model`.
    others
        Trees of the version's other graphs, whose features ``window.onnx`` gives as well.
    """
    model, metadata = exact_model(trained, metadata, real_rows=real_rows, parity_rows=parity_rows)
    form = trained.form()
    window = build_window_model(
        engineer,
        form,
        threshold=metadata.threshold,
        metadata=_graph_metadata(metadata),
        calibration=metadata.calibration,
        also=sorted({int(each) for trees in others for each in trees.used_features() if each < len(metadata.features)}),
    )
    figures = check_windows(
        engineer,
        frame,
        sample_rows(frame, min(parity_rows, _WINDOW_ROWS)),
        probe=open_model(build_feature_probe(engineer)),
        model=open_model(window),
        scorer=Scorer(model),
    )
    parity = metadata.parity and metadata.parity.model_copy(update={"windows": figures})
    metadata = metadata.model_copy(update={"parity": parity})
    models = OnnxModels(model, window)
    made = _reasons(trained, form, engineer, metadata, real_rows)
    if made is not None:
        models, metadata = replace(models, reasons=made[0]), metadata.model_copy(update={"reasons": made[1]})
    return models, metadata


def with_modes(
    models: OnnxModels, metadata: ModelMetadata, trained: ExportableModes | None, real_rows: Float32s
) -> tuple[OnnxModels, ModelMetadata]:
    """With ``modes.onnx``, where the version tells modes of failure apart; raises as `exact_modes`."""
    if trained is None or metadata.modes is None:
        return models, metadata
    content, described = exact_modes(
        trained.predict,
        trained.ensembles(),
        metadata.modes,
        scaling=metadata.scaling.model_dump(),
        real_rows=real_rows,
        seed=metadata.training.seed,
        metadata=_graph_metadata(metadata),
    )
    return replace(models, modes=content), metadata.model_copy(update={"modes": described})


def _reasons(
    trained: ExportableModel, form: ModelForm, engineer: FeatureEngineer, metadata: ModelMetadata, real_rows: Float32s
) -> tuple[bytes, Reasons] | None:
    if isinstance(form, NormalForm):
        rows = _probing_rows(form, _LEAF_ROWS, real_rows[:_LEAF_ROWS], metadata)
        sensors = form.sensors(watched_channels(engineer.config))
        scaling: dict[str, Any] = metadata.scaling.model_dump()
        return normal_reasons(form, sensors, rows, scaling=scaling, metadata=_graph_metadata(metadata))
    if not isinstance(form, TreeEnsemble):
        return None
    return exact_reasons(
        trained,
        form,
        engineer.features,
        scaling=metadata.scaling.model_dump(),
        calibration=metadata.calibration,
        threshold=metadata.threshold,
        real_rows=real_rows,
        probing_rows=_probing_rows(form, _LEAF_ROWS, real_rows[:_LEAF_ROWS], metadata),
        metadata=_graph_metadata(metadata),
    )


def exact_model(
    trained: ExportableModel, metadata: ModelMetadata, *, real_rows: Float32s, parity_rows: int
) -> tuple[bytes, ModelMetadata]:
    """The ONNX model on features, and the metadata with the figures of its comparison with the trained model.

    Compared are the real rows and as many adversarial ones as make up `parity_rows`, at least half of them
    adversarial: values on every threshold and beside it, NaN, infinities, zeros and denormals. Paths through trees,
    where the model has any, are compared on the last 5,000 of these rows.

    Raises ParityError if one bit of one probability, or one path, differs.

    Parameters
    ----------
    real_rows
        Float32 features, (n_rows, n_features), not scaled.
    """
    form = trained.form()
    scaling: dict[str, Any] = metadata.scaling.model_dump()
    content = build_model(
        form,
        n_features=len(metadata.features),
        scaling=scaling,
        threshold=metadata.threshold,
        metadata=_graph_metadata(metadata),
        calibration=metadata.calibration,
    )
    base = np.ascontiguousarray(real_rows[:: max(1, -(-len(real_rows) // max(parity_rows // 2, 1)))])
    rows = np.concatenate([base, _probing_rows(form, parity_rows - len(base), base, metadata)])
    probabilities = check_parity(
        lambda part: metadata.calibration.predict(trained, apply_scaling(part, scaling)),
        Scorer(content),
        rows,
        threshold=metadata.threshold,
    )
    leaves = None
    if isinstance(form, TreeEnsemble):
        leaves = check_leaves(
            lambda part: trained.leaves(apply_scaling(part, scaling)), form, rows[-_LEAF_ROWS:], scaling=scaling
        )
    parity = Parity(probabilities=probabilities, leaves=leaves)
    return content, metadata.model_copy(update={"parity": parity})


def _probing_rows(form: ModelForm, n_rows: int, base: Float32s, metadata: ModelMetadata) -> Float32s:
    options: dict[str, Any] = {
        "seed": metadata.training.seed,
        "base_rows": base if len(base) else None,
        "scaling": metadata.scaling.model_dump(),
    }
    if isinstance(form, TreeEnsemble):
        return adversarial_rows(form, n_rows, **options)
    return edge_rows(form.n_features, n_rows, **options)


def write_package(folder: Path, metadata: ModelMetadata, models: OnnxModels | None) -> None:
    """Write the ONNX models where there are any, then metadata.json with the checksums of all that is in `folder`."""
    if models is not None:
        for name, content in models.files.items():
            write_bytes(folder / name, content)
    files = {file.name: _checksum(file) for file in sorted(folder.iterdir()) if file.name != METADATA_FILE}
    write_bytes(folder / METADATA_FILE, metadata.model_copy(update={"files": files}).to_json_bytes())


def _checksum(file: Path) -> FileChecksum:
    return FileChecksum(sha256=sha256(file), bytes=file.stat().st_size)


def _graph_metadata(metadata: ModelMetadata) -> dict[str, str]:
    return {"organizationId": metadata.organization_id, "version": metadata.version}


def with_times(
    models: OnnxModels, times: ExportedTimes, metadata: ModelMetadata, *, real_rows: Float32s, parity_rows: int
) -> tuple[OnnxModels, ModelMetadata]:
    """The same with ``time_to_failure.onnx``, and what metadata says of it; parameters and error as `exact_models`."""
    n_rows = min(parity_rows, _TIMES_ROWS)
    content = exact_times(
        times,
        n_features=len(metadata.features),
        scaling=metadata.scaling.model_dump(),
        real_rows=real_rows,
        n_rows=n_rows,
        seed=metadata.training.seed,
        metadata=_graph_metadata(metadata),
    )
    described = times.described(n_rows)
    return replace(models, times=content), metadata.model_copy(update={"time_to_failure": described})
