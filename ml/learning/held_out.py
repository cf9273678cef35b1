"""Answers on rows by models that have not seen them, kept beside a model that has seen them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools
from ml.learning.events.failures import epoch_seconds

HELD_OUT_FILE = "held_out.parquet"
_MODE = "mode_"

IntArray = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True)
class HeldOutFold:
    """What one model says about its test rows.

    Attributes
    ----------
    row
        Their places in the grid frame, ascending, (n_rows,).
    probability
        float32 (n_rows,).
    threshold
        The model's own.
    rounds
        Its trees.
    modes
        float32 (n_rows, n_modes): of each mode, given a failure; None where none are told apart.
    """

    row: IntArray
    probability: Float32s
    threshold: float
    rounds: int
    modes: Float32s | None = None


@dataclass(frozen=True)
class HeldOut:
    """The answers of all folds, by ascending row; every array has shape (n_rows,).

    Attributes
    ----------
    row
        Place in the grid frame.
    probability, threshold
        float32: by the row's model, and that model's own.
    fold
        Number of the row's model, from 1.
    parts
        ``fold N`` -> figures of that model, for JSON.
    modes
        float32 (n_rows, n_modes), by the row's model: of each mode, given a failure.
    """

    row: IntArray
    asset: npt.NDArray[Any]
    seconds: IntArray
    probability: Float32s
    threshold: Float32s
    fold: IntArray
    parts: dict[str, dict[str, Any]]
    modes: Float32s

    @classmethod
    def of(cls, frame: pd.DataFrame, folds: Sequence[HeldOutFold]) -> Self:
        """The answers of some folds, which have no row in common, on a grid frame."""
        row = np.concatenate([fold.row for fold in folds])
        order = np.argsort(row, kind="stable")
        sizes = [len(fold.row) for fold in folds]
        table = frame.iloc[row[order]]
        return cls(
            row[order],
            table["asset_id"].astype(str).to_numpy(),
            epoch_seconds(table["timestamp"]),
            np.concatenate([fold.probability for fold in folds])[order],
            np.repeat(np.array([fold.threshold for fold in folds], dtype=np.float32), sizes)[order],
            np.repeat(np.arange(1, len(folds) + 1), sizes)[order],
            {
                f"fold {number}": {"rows": len(fold.row), "threshold": fold.threshold, "rounds": fold.rounds}
                for number, fold in enumerate(folds, start=1)
            },
            np.concatenate(
                [np.empty((len(fold.row), 0), np.float32) if fold.modes is None else fold.modes for fold in folds]
            )[order],
        )

    def describe(self) -> dict[str, Any]:
        """The folds, for JSON."""
        return {"folds": len(self.parts), **self.parts}

    def mask(self, n_rows: int) -> Bools:
        """Which rows of the frame have an answer, (n_rows,)."""
        mask = np.zeros(n_rows, dtype=np.bool_)
        mask[self.row] = True
        return mask

    def save(self, folder: Path) -> None:
        """Write the answers into a version's folder, without the figures of the models."""
        columns = {
            name: getattr(self, name) for name in ("row", "asset", "seconds", "probability", "threshold", "fold")
        }
        columns |= {f"{_MODE}{number}": column for number, column in enumerate(self.modes.T, start=1)}
        pd.DataFrame(columns).to_parquet(folder / HELD_OUT_FILE, index=False)

    @classmethod
    def load(cls, folder: Path, parts: dict[str, dict[str, Any]]) -> Self | None:
        """The answers in a version's folder, whose manifest was checked before; None where it keeps none."""
        file = folder / HELD_OUT_FILE
        if not file.is_file():
            return None
        table = pd.read_parquet(file)
        modes = [name for name in table.columns if name.startswith(_MODE)]
        own = {name: table[name].to_numpy() for name in table.columns if name not in modes}
        return cls(**own, parts=parts, modes=table[modes].to_numpy(dtype=np.float32))
