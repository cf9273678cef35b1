from __future__ import annotations

import numpy as np
import pytest

from ml.errors import TooFewFailuresError
from ml.learning.folds.shuffled import ShuffledRowFolds
from tests.unit.learning.grid_frames import regular_plant


def test_every_labelled_row_is_held_out_once_and_classes_are_balanced() -> None:
    frame = regular_plant(2, 300, 60, horizon=600)
    label, mask = frame["label"].to_numpy(), np.arange(len(frame)) % 7 > 0
    folds = list(ShuffledRowFolds(3, seed=1).split(frame, mask))
    everything = np.sort(np.concatenate([held_out for _, held_out in folds]))
    assert everything.tolist() == np.flatnonzero(mask & (label >= 0)).tolist()
    for train, held_out in folds:
        assert sorted([*train, *held_out]) == everything.tolist()
        assert label[held_out].mean() == pytest.approx(label[everything].mean(), abs=0.01)
    again = list(ShuffledRowFolds(3, seed=1).split(frame, mask))
    assert all((a[1] == b[1]).all() for a, b in zip(folds, again, strict=True))


def test_fewer_rows_of_a_class_than_folds_are_refused() -> None:
    frame = regular_plant(1, 40, 100, horizon=0, length=2)
    frame["label"] = 0
    with pytest.raises(TooFewFailuresError, match="0 rows have the label 1"):
        next(ShuffledRowFolds(3, seed=1).split(frame, np.ones(len(frame), dtype=bool)))
