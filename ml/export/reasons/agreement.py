"""How well the contributions of ``reasons.onnx`` agree with exact ones, on rows that the table was not fitted on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from ml.options.base import Section

_NAMED = 3


class Agreement(Section):
    """Contributions of the graph beside exact ones (TreeSHAP), by sensor, on rows that the table was not fitted on."""

    rows: NonNegativeInt = Field(description="Rows compared: those in alarm, or the highest scores if few are.")
    same_first_sensor: NonNegativeFloat = Field(description="Share of them in which both name the same sensor first.")
    same_first_three: NonNegativeFloat = Field(description="Share in which the three largest are the same sensors.")
    relative_error: NonNegativeFloat = Field(
        description="Mean over rows of the sum of absolute differences over the sum of absolute exact contributions."
    )


def agreement(given: NDArray[np.float64], exact: NDArray[np.float64]) -> Agreement:
    """Compare contributions (n_rows, n_sensors), at least one row; what raised the score most comes first."""
    ours, theirs = (np.argsort(-each, axis=1, kind="stable")[:, :_NAMED] for each in (given, exact))
    size = np.abs(exact).sum(axis=1)
    error = np.divide(np.abs(given - exact).sum(axis=1), size, out=np.zeros(len(size)), where=size > 0)
    return Agreement(
        rows=len(given),
        same_first_sensor=float((ours[:, 0] == theirs[:, 0]).mean()),
        same_first_three=float((np.sort(ours, axis=1) == np.sort(theirs, axis=1)).all(axis=1).mean()),
        relative_error=float(error.mean()),
    )
