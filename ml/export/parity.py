"""The proof that an ONNX model gives the trained model's bits, and the refusal where it does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.errors import ParityError
from ml.export.graph.model import INPUT, LEAVES, build_leaf_probe
from ml.export.graph.scaling import StoredScaling
from ml.export.metadata import LeafFigures, ParityFigures
from ml.export.session import BATCH_ROWS, Scorer, batches, open_model
from ml.export.trees.ensemble import TreeEnsemble

_PATHS_AT_ONCE = 4_000_000
_HINT = "the trained model is untouched; the version must not be published"


def check_parity(
    predict: Callable[[Float32s], Float64s], scorer: Scorer, rows: Float32s, *, threshold: float
) -> ParityFigures:
    """Compare the ONNX model with ``float32(predict(rows))``, bit by bit, and its labels with the threshold.

    Raises ParityError if a single bit or label differs.

    Parameters
    ----------
    predict
        The trained model: float32 rows, (n_rows, n_features), to float64 probabilities, (n_rows,).
    rows
        What to compare on, as given to the ONNX model: not scaled.
    """
    bits = labels = 0
    furthest = 0.0
    for part in batches(len(rows), BATCH_ROWS):
        expected = np.asarray(predict(rows[part])).astype(np.float32)
        probability, label = scorer.score(rows[part])
        bits += int((probability.view(np.uint32) != expected.view(np.uint32)).sum())
        labels += int((label != (expected >= np.float32(threshold))).sum())
        furthest = max(furthest, float(np.abs(probability.astype(np.float64) - expected).max()))
    figures = ParityFigures(rows=len(rows), differing_bits=bits, differing_labels=labels, max_difference=furthest)
    if bits or labels:
        raise ParityError(
            f"the ONNX model differs from the trained model: {bits} of {len(rows)} rows have another probability "
            f"(by up to {furthest:.3g}), {labels} another label; allowed is none",
            hint=_HINT,
        )
    return figures


def check_leaves(
    apply: Callable[[Float32s], Int64s],
    ensemble: TreeEnsemble,
    rows: Float32s,
    *,
    scaling: StoredScaling | None = None,
) -> LeafFigures:
    """Compare the leaf that each row reaches in each tree.

    Raises ParityError if a row reaches another leaf.

    Parameters
    ----------
    apply
        The trained model's own leaf numbers, (n_rows, n_trees): ``predict(pred_leaf=True)``, ``apply``.
    rows
        Float32 rows, (n_rows, n_features), not scaled.
    """
    session = open_model(build_leaf_probe(ensemble, scaling=scaling))
    differing = 0
    for part in batches(len(rows), max(1, _PATHS_AT_ONCE // ensemble.n_trees)):
        (leaves,) = session.run([LEAVES], {INPUT: rows[part]})
        differing += int((leaves != np.asarray(apply(rows[part])).reshape(leaves.shape)).sum())
    if differing:
        raise ParityError(
            f"the ONNX trees differ from the trained ones: {differing} of {len(rows)} x {ensemble.n_trees} paths end "
            "in another leaf; allowed is none",
            hint=_HINT,
        )
    return LeafFigures(rows=len(rows), trees=ensemble.n_trees, differing=differing)
