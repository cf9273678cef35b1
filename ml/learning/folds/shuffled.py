"""Folds of shuffled rows: what careless pipelines do, kept only to show how much it flatters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.arrays import Bools, Int64s
from ml.errors import TooFewFailuresError


@dataclass(frozen=True)
class ShuffledRowFolds:
    """Cross-validation folds of single rows, stratified by label, without purging. They leak.

    Neighbouring rows share nearly all of their window and their label, so that most held-out rows have a near copy
    among the training rows, and every score is too good. Whoever shows a score of these folds has to say ``leaks``.

    Parameters
    ----------
    n_splits
        Number of folds.
    seed
        Seed of the order in which rows are dealt out.
    """

    n_splits: int
    seed: int

    def split(self, frame: pd.DataFrame, mask: Bools) -> Iterator[tuple[Int64s, Int64s]]:
        """Yield ``(train, held_out)`` row positions for each fold, as `EventFolds.split` does.

        Raises TooFewFailuresError if a class has fewer rows than there are folds.
        """
        label = frame["label"].to_numpy()
        rows = np.flatnonzero(mask & (label >= 0))
        drawn = np.random.default_rng(self.seed).permutation(rows)
        fold = np.empty(len(frame), dtype=np.int64)
        for value in (0, 1):
            of_class = drawn[label[drawn] == value]
            if len(of_class) < self.n_splits:
                raise TooFewFailuresError(
                    f"{len(of_class)} rows have the label {value}, too few for {self.n_splits} folds",
                    field="tuningConfig.cvFolds",
                    hint="lower tuningConfig.cvFolds, or give a longer dataRange or more assets",
                )
            fold[of_class] = np.arange(len(of_class)) % self.n_splits
        for number in range(self.n_splits):
            held_out = fold[rows] == number
            yield rows[~held_out], rows[held_out]
