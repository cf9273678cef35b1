"""The proof that the window graph gives the features and probabilities that were computed offline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s, Int64s
from ml.errors import ParityError
from ml.export.graph.parts import LABEL, PROBABILITIES
from ml.export.metadata import WindowFigures
from ml.export.onnx_runtime import onnxruntime
from ml.export.session import Scorer, batches
from ml.export.window.graph import FEATURES
from ml.export.window.readings import TIMESTAMP, WINDOW
from ml.features import FeatureEngineer
from ml.windows.channels import stored_columns

_STRETCH_ROWS = 64
_WINDOW_CELLS_AT_ONCE = 2_000_000  # a batch of windows and what the graph makes of it take about 200 MB
_HINT = "the trained model is untouched; the version must not be published"


def window_batch(frame: pd.DataFrame, engineer: FeatureEngineer, rows: Int64s) -> tuple[Float64s, Int64s]:
    """What a client sends for some rows of a grid frame: the inputs ``window`` and ``timestamp``.

    Parameters
    ----------
    rows
        Positions in `frame`, (n,).

    Returns
    -------
    Readings float64 (n, W, C), NaN before the segment's start, and epoch seconds int64 (n,).
    """
    first = max(0, int(rows.min()) - engineer.look_back + 1)
    part = frame.iloc[first : int(rows.max()) + 1]
    readings = np.column_stack(stored_columns(part, engineer.config.schema_config)).astype(np.float64)
    segment = part["segment"].to_numpy(dtype=np.int64)
    newest = rows - first
    samples = newest[:, None] + np.arange(1 - engineer.look_back, 1)
    inside = (samples >= 0) & (segment[np.maximum(samples, 0)] == segment[newest][:, None])
    window = readings[np.maximum(samples, 0)]
    window[~inside] = np.nan
    seconds = part["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
    return window, seconds[newest]


def sample_rows(frame: pd.DataFrame, n_rows: int) -> Int64s:
    """Positions of up to `n_rows` rows that represent a grid frame, ascending.

    A quarter of them follow the starts of segments, where history is short; the others are evenly spread stretches.
    """
    segment = frame["segment"].to_numpy(dtype=np.int64)
    starts = np.flatnonzero(np.diff(segment, prepend=segment[:1] - 1))
    early = _spread(starts, n_rows // 4 // _STRETCH_ROWS)
    anywhere = _spread(np.arange(len(frame)), (n_rows - len(early) * _STRETCH_ROWS) // _STRETCH_ROWS)
    stretches = np.concatenate([early, anywhere])[:, None] + np.arange(_STRETCH_ROWS)
    return np.unique(np.minimum(stretches, len(frame) - 1))


def check_windows(
    engineer: FeatureEngineer,
    frame: pd.DataFrame,
    rows: Int64s,
    *,
    probe: onnxruntime.InferenceSession,
    model: onnxruntime.InferenceSession,
    scorer: Scorer,
) -> WindowFigures:
    """Compare what the window graph makes of raw readings with the offline features, and the probabilities of both.

    Raises ParityError if a single cell, bit of a probability, or label differs.

    Parameters
    ----------
    rows
        Positions in `frame`, ascending, (n,).
    probe, model
        Sessions of `build_feature_probe` and `build_window_model`.
    scorer
        The model on features that were computed offline.
    """
    cells = bits = labels = 0
    worst = ""
    for part, window, timestamp in _inputs(engineer, frame, rows):
        inputs = {WINDOW: window, TIMESTAMP: timestamp}
        expected = _offline(frame, engineer, part)
        (features,) = probe.run([FEATURES], inputs)
        wrong = ~((features == expected) | (np.isnan(features) & np.isnan(expected)))
        cells += int(wrong.sum())
        if wrong.any() and not worst:
            worst = engineer.get_feature_names_out()[int(wrong.sum(axis=0).argmax())]
        probability, label = scorer.score(expected)
        probabilities, decided, given = model.run([PROBABILITIES, LABEL, FEATURES], inputs)
        computed = ~np.isnan(given)
        cells += int((given != features)[computed].sum())
        bits += int((probabilities[:, 1].view(np.uint32) != probability.view(np.uint32)).sum())
        labels += int((decided != label).sum())
    figures = WindowFigures(
        rows=len(rows),
        cells=len(rows) * len(engineer.features),
        differing_cells=cells,
        differing_bits=bits,
        differing_labels=labels,
    )
    if cells or bits or labels:
        first = f", the first of them of {worst}" if worst else ""
        raise ParityError(
            f"the window graph differs from the offline features: {cells} of {figures.cells} cells{first}; {bits} "
            f"of {len(rows)} rows have another probability, {labels} another label; allowed is none",
            hint=_HINT,
        )
    return figures


def _spread(positions: Int64s, count: int) -> Int64s:
    """`count` of the positions, evenly spread; all of them where there are no more."""
    if count >= len(positions):
        return positions
    return positions[np.linspace(0, len(positions) - 1, count).astype(np.int64)]


def _batches(engineer: FeatureEngineer, rows: Int64s) -> Iterator[Int64s]:
    """Rows that lie close together, in batches of bounded size."""
    cells = engineer.look_back * len(engineer.channels)
    for stretch in np.split(rows, np.flatnonzero(np.diff(rows) > engineer.look_back) + 1):
        for part in batches(len(stretch), max(1, _WINDOW_CELLS_AT_ONCE // cells)):
            yield stretch[part]


def _inputs(engineer: FeatureEngineer, frame: pd.DataFrame, rows: Int64s) -> Iterator[tuple[Int64s, Float64s, Int64s]]:
    """Rows with their inputs, complete windows apart from others, which would lead them to the other branch."""
    for part in _batches(engineer, rows):
        window, timestamp = window_batch(frame, engineer, part)
        complete = _are_complete(engineer, window)
        for kind in (complete, ~complete):
            if kind.any():
                yield part[kind], window[kind], timestamp[kind]


def _are_complete(engineer: FeatureEngineer, window: Float64s) -> Bools:
    """Which windows (n, W, C) hold every reading; a counter that was reset lacks one, (n,)."""
    counters = [name in engineer.config.schema_config.counter_columns for name in engineer.channels]
    totals = window[:, :, counters]
    rising = np.all(totals[:, 1:] >= totals[:, :-1], axis=(1, 2))
    complete: Bools = np.logical_and(np.all(np.isfinite(window), axis=(1, 2)), rising)
    return complete


def _offline(frame: pd.DataFrame, engineer: FeatureEngineer, rows: Int64s) -> Float32s:
    """The engineer's own features of some rows, from the rows and their history alone: float32 (n, n_features)."""
    first = max(0, int(rows[0]) - engineer.look_back)
    part = frame.iloc[first : int(rows[-1]) + 1]
    wanted = np.zeros(len(part), dtype=np.bool_)
    wanted[rows - first] = True
    return np.ascontiguousarray(engineer.matrix(part, rows=wanted))
