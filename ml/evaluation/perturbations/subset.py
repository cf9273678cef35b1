"""A part of a grid frame that is small enough to compute many times, with every window whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.arrays import Bools

# A segment that does not fit as a whole is cut into about so many pieces: enough to draw from all of its history,
# few enough that the rows spent on the windows before each piece stay a small share.
PIECES = 20


@dataclass(frozen=True)
class Subset:
    """Rows of a grid frame, and which of them count; the others only give windows their context."""

    frame: pd.DataFrame
    scored: Bools


@dataclass(frozen=True)
class _Piece:
    """Scored rows from ``start`` to before ``stop``, with context from ``context``; positions in the frame."""

    context: int
    start: int
    stop: int


def robustness_subset(frame: pd.DataFrame, scored: Bools, *, look_back: int, max_rows: int, seed: int) -> Subset:
    """Choose about ``max_rows`` rows by whole pieces of segments, each with the ``look_back - 1`` rows before it.

    If everything fits, everything is taken. Otherwise half of the budget goes to pieces with positive rows, because a
    curve needs both classes, and the rest to pieces drawn from what is left. At least one piece is always taken.

    Parameters
    ----------
    frame
        Grid frame, shape ``(n_rows, ...)``; left as it is.
    scored
        Rows that count, shape ``(n_rows,)``.

    Returns
    -------
    Subset
        Its frame has a new index, and each run of neighbouring rows is a segment of its own.
    """
    segment = frame["segment"].to_numpy()
    pieces = _pieces(segment, scored, look_back, piece_rows=max(1, max_rows))
    if sum(piece.stop - piece.context for piece in pieces) > max_rows:
        pieces = _pieces(segment, scored, look_back, piece_rows=max(max_rows // PIECES, 1))
        pieces = _draw(pieces, (frame["label"] == 1).to_numpy() & scored, max_rows, seed)
    kept, counted = np.zeros(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
    for piece in pieces:
        kept[piece.context : piece.stop] = True
        counted[piece.start : piece.stop] = scored[piece.start : piece.stop]
    positions = np.flatnonzero(kept)
    starts = np.diff(positions, prepend=-2) > 1
    starts[1:] |= np.diff(segment[positions]) != 0
    part = frame.iloc[positions].reset_index(drop=True)
    return Subset(part.assign(segment=(np.cumsum(starts) - 1).astype(np.int32)), counted[positions])


def _pieces(segment: NDArray[np.int32], scored: Bools, look_back: int, piece_rows: int) -> list[_Piece]:
    """Cut the scored stretch of each segment into pieces of ``piece_rows``, in row order."""
    borders = np.flatnonzero(np.diff(segment)) + 1
    pieces = []
    for first, end in zip([0, *borders], [*borders, len(segment)], strict=True):
        inside = np.flatnonzero(scored[first:end])
        if not inside.size:
            continue
        low, high = first + int(inside[0]), first + int(inside[-1]) + 1
        pieces += [
            _Piece(max(first, start - look_back + 1), start, min(start + piece_rows, high))
            for start in range(low, high, piece_rows)
        ]
    return pieces


def _draw(pieces: list[_Piece], positive: Bools, max_rows: int, seed: int) -> list[_Piece]:
    """Pieces in random order within the budget, those with positive rows first up to half of it."""
    order = np.random.default_rng(seed).permutation(len(pieces)).tolist()
    with_positives = [i for i in order if positive[pieces[i].start : pieces[i].stop].any()]
    chosen: set[int] = set()
    rows = 0
    for candidates, budget in ((with_positives, max_rows / 2), (order, max_rows)):
        for i in candidates:
            size = pieces[i].stop - pieces[i].context
            if i not in chosen and (not chosen or rows + size <= budget):
                chosen.add(i)
                rows += size
    return [pieces[i] for i in sorted(chosen)]
