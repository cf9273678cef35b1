"""Features of a long frame: chunks of rows, each with the history that its first row needs, side by side in threads.

A chunk's features are those of the whole frame, because a feature depends on the last W rows only; memory beside the
result is that of the chunks at work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.arrays import Bools, Float32s, Int64s
from ml.errors import DataError
from ml.options.schema import SchemaConfig
from ml.windows.channels import segment_starts, stored_columns
from ml.windows.operations import Target
from ml.windows.parallel import for_each
from ml.windows.program import Program

Order = Literal["C", "F"]

_ROWS = 1 << 13  # rows of a chunk: their samples stay in the second-level cache
_WINDOWS = 16  # a chunk is about so many times W where there are rows enough for all threads: little is read twice


def compute(
    program: Program, frame: pd.DataFrame, schema: SchemaConfig, look_back: int, *,
    rows: Bools | None, order: Order, threads: int,
) -> Float32s:  # fmt: skip
    """The program's features, float32 (n_wanted, n_features).

    Raises DataError if `rows` is not one truth value per row of the frame.

    Parameters
    ----------
    frame
        Grid frame of shape (n_rows, ...).
    look_back
        W, samples that the features of a row depend on.
    rows
        (n_rows,), true for the rows wanted; the others serve as history. None for all.
    order
        "F", column-major, as they are computed, or "C", row-major.
    """
    if rows is not None and (rows.dtype != np.bool_ or rows.shape != (len(frame),)):
        raise DataError(
            f"`rows` is {rows.dtype} of shape {rows.shape}; allowed is one bool per row of the frame, ({len(frame)},)"
        )
    wanted = len(frame) if rows is None else int(np.count_nonzero(rows))
    out = np.empty((wanted, program.width), dtype=np.float32, order=order)
    columns = _Columns.of(frame, schema)
    chunks = _chunks(len(frame), look_back, rows, threads)
    for_each(lambda chunk: _compute(program, columns, chunk, rows, out), chunks, threads)
    return out


class _Columns(NamedTuple):
    """A grid frame's columns as arrays of shape (n_rows,)."""

    stored: list[NDArray[Any]]
    segment: NDArray[Any]
    seconds: Int64s

    @classmethod
    def of(cls, frame: pd.DataFrame, schema: SchemaConfig) -> _Columns:
        seconds = frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
        return cls(stored_columns(frame, schema), frame["segment"].to_numpy(), seconds)


class _Chunk(NamedTuple):
    """Rows begin .. end of a frame with their history from `first` on; `wanted` of them go to `to` in the output."""

    first: int
    begin: int
    end: int
    to: int
    wanted: int


def _chunks(n_rows: int, look_back: int, rows: Bools | None, threads: int) -> Iterator[_Chunk]:
    """The chunks that hold wanted rows: of equal length, and so many that no thread is left without one."""
    count = math.ceil(n_rows / max(_ROWS, _WINDOWS * look_back))
    size = max(1, math.ceil(n_rows / (threads * math.ceil(count / threads)))) if count else 1
    done = 0
    for begin in range(0, n_rows, size):
        end = min(begin + size, n_rows)
        wanted = end - begin if rows is None else int(np.count_nonzero(rows[begin:end]))
        if wanted:
            yield _Chunk(max(0, begin - look_back), begin, end, done, wanted)
        done += wanted


def _compute(program: Program, columns: _Columns, chunk: _Chunk, rows: Bools | None, out: Float32s) -> None:
    """Write a chunk's features into its rows of `out` (n_wanted, n_features)."""
    block = program.block(
        [values[chunk.first : chunk.end] for values in columns.stored],
        segment_starts(columns.segment[chunk.first : chunk.end]),
        columns.seconds[chunk.first : chunk.end],
        chunk.begin - chunk.first,
    )
    keep = slice(None) if rows is None or chunk.wanted == block.rows else rows[chunk.begin : chunk.end]
    if isinstance(keep, slice) and out.flags.f_contiguous:
        program.run(block, Target(out.reshape(-1, order="F"), out.shape[0], chunk.to))
        return
    every = np.empty((program.width, block.rows), dtype=np.float32)
    program.run(block, Target(every.reshape(-1), block.rows, 0))
    out[chunk.to : chunk.to + chunk.wanted] = every[:, keep].T
