"""The ONNX models of a version as clients get them: their bytes, and how long they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float32s, Int64s
from ml.evaluation.latency import Latency, time_calls
from ml.evaluation.model_version import TrainedVersion
from ml.export.graph.parts import LABEL, PROBABILITIES
from ml.export.package import MODEL_FILE, WINDOW_FILE, exact_model
from ml.export.session import Scorer, open_model
from ml.export.window.parity import window_batch
from ml.export.window.readings import TIMESTAMP, WINDOW
from ml.workspace.safe_open import read_bytes

_LATENCY_ROWS = 200
_LATENCY_WINDOWS = 50
_LATENCY_CELLS = 5_000_000  # readings of all windows together: 40 MB


def shipped_model(trained: TrainedVersion, frame: pd.DataFrame, rows: Bools, parity_rows: int) -> bytes:
    """The version's model.onnx, or, where it was not exported yet, the bytes that an export gives.

    Parameters
    ----------
    frame, rows
        Grid frame, and which of its rows an export is checked on, (n_rows,).
    parity_rows
        How many rows it is checked on at most.
    """
    file = trained.folder / MODEL_FILE
    if file.is_file():
        return read_bytes(file)
    return exact_model(
        trained.estimator,
        trained.metadata,
        real_rows=trained.engineer.matrix(frame, rows=rows),
        parity_rows=parity_rows,
    )[0]


def model_latency(content: bytes, features: Float32s, runs: int) -> Latency:
    """Time from a row of features to its probability, through model.onnx on one thread."""
    sample = np.ascontiguousarray(features[_spread(len(features), _LATENCY_ROWS)])
    return time_calls(Scorer(content).score, np.split(sample, len(sample)), runs)


def window_latency(trained: TrainedVersion, frame: pd.DataFrame, rows: Bools, runs: int) -> Latency | None:
    """Time from a window of raw readings to its probability, through window.onnx; None where the version has none."""
    file = trained.folder / WINDOW_FILE
    if not file.is_file():
        return None
    session = open_model(file)
    positions = np.flatnonzero(rows)
    cells = trained.engineer.look_back * len(trained.engineer.channels)
    chosen = positions[_spread(len(positions), max(1, min(_LATENCY_WINDOWS, _LATENCY_CELLS // cells)))]

    def answer(given: dict[str, npt.NDArray[Any]]) -> None:
        session.run([PROBABILITIES, LABEL], given)

    return time_calls(answer, [_window(trained, frame, chosen[i : i + 1]) for i in range(len(chosen))], runs)


def _window(trained: TrainedVersion, frame: pd.DataFrame, row: Int64s) -> dict[str, npt.NDArray[Any]]:
    window, timestamp = window_batch(frame, trained.engineer, row)
    return {WINDOW: window, TIMESTAMP: timestamp}


def _spread(n_rows: int, count: int) -> Int64s:
    return np.linspace(0, n_rows - 1, min(count, n_rows)).astype(np.int64)
