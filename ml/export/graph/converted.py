"""scikit-learn classifiers through skl2onnx, in float64, so that the comparison bit by bit has a chance.

skl2onnx promises likeness, not equality: where a classifier multiplies matrices, its library adds in another order than
onnxruntime, and both take exponentials and sums as the processor offers them. So a conversion is a proposal, and
`ml.export.parity` decides, on the machine that exports: Gaussian naive Bayes and quadratic discriminant analysis come
out equal in every bit on one and are refused on another; logistic regression, a small neural network and linear
discriminant analysis are refused everywhere. Trees have a graph of their own (`ml.export.trees.ensemble`), and so has
logistic regression (`ml.export.graph.forms`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from ml.arrays import Float64s
from ml.errors import ParityError
from ml.export.builder import OPSET
from ml.export.graph.forms import ConvertedForm

_ML_OPSET = 3  # the newest whose operators skl2onnx writes; they mean the same in the set that our graphs declare
_PROBABILITIES = 1  # the second output
_HINT = "use lightgbm, random_forest or logistic_regression"


def from_scikit_learn(model: Any, fill: Float64s) -> ConvertedForm:
    """A fitted binary classifier as a graph.

    Parameters
    ----------
    model
        Fitted on float64 rows and the labels 0 and 1. What predicts must be
        ``model.predict_proba(form.filled(rows))[:, 1]``.
    fill
        What stands in the place of missing values, (n_features,).

    Raises
    ------
    ParityError
        skl2onnx cannot convert it, or only in float32, or it was not fitted on both labels.
    """
    name = type(model).__name__
    classes = np.asarray(getattr(model, "classes_", ())).tolist()
    if classes != [0, 1]:
        raise ParityError(f"this {name} cannot be exported: it was fitted on the labels {classes}; needed are 0 and 1")
    content = _converted(model, name, len(fill))
    output = content.graph.output[_PROBABILITIES]
    if output.type.tensor_type.elem_type != onnx.TensorProto.DOUBLE:
        raise ParityError(f"{name} cannot be exported exactly: skl2onnx computes it in float32", hint=_HINT)
    return ConvertedForm(content, output.name, np.asarray(fill, dtype=np.float64))


def _converted(model: Any, name: str, n_features: int) -> onnx.ModelProto:
    import skl2onnx
    from skl2onnx.common.data_types import DoubleTensorType

    try:
        return skl2onnx.to_onnx(
            model,
            initial_types=[("X", DoubleTensorType([None, n_features]))],
            target_opset={"": OPSET, "ai.onnx.ml": _ML_OPSET},
            options={id(model): {"zipmap": False}},
        )
    except Exception as error:  # skl2onnx raises what its converters meet: many types, no common base
        reason = str(error).partition("\n")[0][:200]
        raise ParityError(f"{name} cannot be exported: skl2onnx does not convert it ({reason})", hint=_HINT) from error
