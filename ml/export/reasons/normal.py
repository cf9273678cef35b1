"""The reasons of a model of normal behaviour: what each sensor has of a score, which is exact and needs no table."""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s
from ml.errors import ParityError
from ml.export.builder import FLOAT, GraphBuilder, value_info
from ml.export.graph.model import INPUT
from ml.export.graph.normal import NormalForm
from ml.export.graph.parts import add_scaling
from ml.export.graph.scaling import StoredScaling, apply_scaling
from ml.export.reasons.agreement import Agreement
from ml.export.reasons.exact import Reasons
from ml.export.reasons.graph import CONTRIBUTIONS
from ml.export.session import open_model


def normal_reasons(
    form: NormalForm, sensors: tuple[str, ...], rows: Float32s, *, scaling: StoredScaling, metadata: dict[str, str]
) -> tuple[bytes, Reasons]:
    """``reasons.onnx``, whose contributions add up to the score, and what metadata says of it.

    Parameters
    ----------
    sensors
        Names, in the order of the form.
    rows
        Features (n_rows, n_features), not scaled, on which the graph is held against the form.

    Raises
    ------
    ParityError
        A contribution of the graph has other bits.
    """
    graph = GraphBuilder()
    scaled = add_scaling(graph, INPUT, scaling, form.n_features)
    graph.node("Cast", [form.add_shares(graph, scaled)], CONTRIBUTIONS, to=FLOAT)
    inputs = [value_info(INPUT, FLOAT, ["N", form.n_features])]
    content = graph.to_bytes("reasons", inputs, [value_info(CONTRIBUTIONS, FLOAT, ["N", len(sensors)])], metadata)
    (given,) = open_model(content).run([CONTRIBUTIONS], {INPUT: rows})
    wanted = form.shares(apply_scaling(rows, scaling)).astype(np.float32)
    differing = int((given.view(np.uint32) != wanted.view(np.uint32)).sum())
    if differing:
        raise ParityError(
            f"reasons.onnx differs from the model: {differing} of {given.size} contributions; allowed is none",
            hint="the trained model is untouched; the version must not be published",
        )
    agreement = Agreement(rows=len(rows), same_first_sensor=1.0, same_first_three=1.0, relative_error=0.0)
    return content, Reasons(sensors=sensors, expected_score=0.0, agreement=agreement, parity_rows=len(rows))
