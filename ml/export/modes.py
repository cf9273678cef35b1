"""``modes.onnx``: features in, the probability of each mode of failure out, given that a failure lies ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeInt

from ml.arrays import Float32s
from ml.errors import ParityError
from ml.export.adversarial import adversarial_rows
from ml.export.builder import FLOAT, GraphBuilder, value_info
from ml.export.graph.calibration import add_logistic
from ml.export.graph.model import INPUT
from ml.export.graph.parts import add_scaling, add_score
from ml.export.graph.scaling import StoredScaling, apply_scaling
from ml.export.onnx_runtime import onnxruntime
from ml.export.session import BATCH_ROWS, batches, open_model
from ml.export.trees.ensemble import TreeEnsemble
from ml.options.base import Section

MODES_FILE = "modes.onnx"
MODE_PROBABILITIES = "mode_probabilities"
_PROBING_ROWS = 2_000  # for each mode
_SINGLE_ROWS = 500

Probability = Annotated[float, Field(ge=0, le=1)]


class Modes(Section):
    """What ``modes.onnx`` gives for a row of features: each mode's probability, given a failure within the horizon.

    Times the probability of a failure, as a product of float32, it is the probability of that mode.
    """

    names: tuple[str, ...] = Field(min_length=2, description="Columns of `mode_probabilities`, in order.")
    name_of: dict[str, str] = Field(
        description="Mode as the data has it -> its name here: its own, or other, where rare modes are pooled. Modes "
        "that are missing here are never named."
    )
    failures: dict[str, NonNegativeInt] = Field(description="Failures by mode that it was fitted on.")
    thresholds: tuple[Probability | None, ...] = Field(
        description="By mode: where its probability, times that of a failure, is an alarm of this mode; by F1 on the "
        "validation part, null where no row there has the mode."
    )
    parity_rows: NonNegativeInt = Field(
        default=0, description="Rows in which the graph gave the trained models' probabilities, bit by bit."
    )


def build_modes(
    ensembles: Sequence[TreeEnsemble], *, scaling: StoredScaling | None, metadata: Mapping[str, str]
) -> bytes:
    """The ONNX model of a binary model for each mode.

    Input as of ``model.onnx``: ``input`` float32 (N, n_features), not scaled. Output: ``mode_probabilities`` float32
    (N, n_modes), each rounded once from float64.
    """
    graph = GraphBuilder()
    n_features = ensembles[0].n_features
    scaled = add_scaling(graph, INPUT, scaling, n_features)
    scores = [add_score(graph, scaled, form, output=f"score_{number}") for number, form in enumerate(ensembles)]
    positive = add_logistic(graph, graph.node("Concat", scores, "scores", axis=1))
    graph.node("Cast", [positive], MODE_PROBABILITIES, to=FLOAT)
    inputs = [value_info(INPUT, FLOAT, ["N", n_features])]
    outputs = [value_info(MODE_PROBABILITIES, FLOAT, ["N", len(ensembles)])]
    return graph.to_bytes("modes", inputs, outputs, metadata)


def exact_modes(
    predict: Callable[[Float32s], Float32s],
    ensembles: Sequence[TreeEnsemble],
    described: Modes,
    *,
    scaling: StoredScaling,
    real_rows: Float32s,
    seed: int,
    metadata: Mapping[str, str],
) -> tuple[bytes, Modes]:
    """``modes.onnx``, and what metadata says of it, after a comparison with the trained models bit by bit.

    Compared are real rows, and rows built around the splits of each mode's trees, in batches; 500 of them one by one.

    Parameters
    ----------
    predict
        The trained models: scaled features (n_rows, n_features) to float32 (n_rows, n_modes).
    real_rows
        Features (n_rows, n_features), not scaled.

    Raises
    ------
    ParityError
        A probability has other bits than the trained model's.
    """
    content = build_modes(ensembles, scaling=scaling, metadata=metadata)
    base = np.ascontiguousarray(real_rows[:: max(1, -(-len(real_rows) // _PROBING_ROWS))])
    options: dict[str, Any] = {"base_rows": base if len(base) else None, "scaling": scaling}
    probing = [
        adversarial_rows(form, _PROBING_ROWS, seed=seed + number, **options) for number, form in enumerate(ensembles)
    ]
    rows = np.concatenate([base, *probing])
    session = open_model(content)
    given, expected = run_modes(session, rows), predict(apply_scaling(rows, scaling))
    single = np.linspace(0, len(rows) - 1, min(_SINGLE_ROWS, len(rows))).astype(np.int64)
    alone = np.concatenate([run_modes(session, rows[at : at + 1]) for at in single])
    differing = int((given.view(np.uint32) != expected.view(np.uint32)).sum())
    differing += int((alone.view(np.uint32) != expected[single].view(np.uint32)).sum())
    if differing:
        raise ParityError(
            f"{MODES_FILE} differs from the trained models in {differing} of {given.size} probabilities; allowed is "
            "none",
            hint="the trained model is untouched; the version must not be published",
        )
    return content, described.model_copy(update={"parity_rows": len(rows)})


def run_modes(session: onnxruntime.InferenceSession, X: Float32s) -> Float32s:
    """``mode_probabilities``, float32 (n_rows, n_modes), of features that are not scaled."""
    n_modes = session.get_outputs()[0].shape[1]
    parts = [session.run([MODE_PROBABILITIES], {INPUT: X[part]})[0] for part in batches(len(X), BATCH_ROWS)]
    return np.concatenate([np.empty((0, n_modes), dtype=np.float32), *parts])
