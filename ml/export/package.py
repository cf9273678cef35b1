"""Write a model's ONNX form and metadata into a version's folder, after proving that it is exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.export.adversarial import adversarial_rows
from ml.export.metadata import ModelMetadata, Parity
from ml.export.model_graph import build_model
from ml.export.parity import check_parity
from ml.export.session import Scorer
from ml.export.trees import TreeEnsemble

MODEL_FILE = "model.onnx"
METADATA_FILE = "metadata.json"

_Rows = NDArray[np.float32]


def exact_model(
    ensemble: TreeEnsemble,
    predict: Callable[[_Rows], NDArray[np.float64]],
    metadata: ModelMetadata,
    *,
    real_rows: _Rows,
    parity_rows: int,
) -> tuple[bytes, ModelMetadata]:
    """The ONNX model, and the metadata with the figures of its comparison with the trained model.

    Compared are the real rows and as many adversarial ones as make up `parity_rows`, at least half of them
    adversarial: values on every threshold and beside it, NaN, infinities, zeros and denormals.

    Parameters
    ----------
    predict
        The trained model on features that are not scaled: float32 (n_rows, n_features) to float64 (n_rows,).
    real_rows
        Float32 features, (n_rows, n_features), not scaled.

    Raises
    ------
    ParityError
        If one bit of one probability differs.
    """
    scaling: dict[str, Any] = metadata.scaling.model_dump()
    content = build_model(
        ensemble,
        n_features=len(metadata.features),
        scaling=scaling,
        threshold=metadata.threshold,
        metadata={"organizationId": metadata.organization_id, "version": metadata.version},
    )
    base = np.ascontiguousarray(real_rows[: parity_rows // 2])
    probing = adversarial_rows(
        ensemble,
        parity_rows - len(base),
        seed=metadata.training.seed,
        base_rows=base if len(base) else None,
        scaling=scaling,
    )
    figures = check_parity(predict, Scorer(content), np.concatenate([base, probing]), threshold=metadata.threshold)
    return content, metadata.model_copy(update={"parity": Parity(probabilities=figures)})


def write_package(folder: Path, content: bytes | None, metadata: ModelMetadata) -> None:
    """Write metadata.json, and model.onnx where there is one."""
    if content is not None:
        (folder / MODEL_FILE).write_bytes(content)
    (folder / METADATA_FILE).write_bytes(metadata.to_json_bytes())
