"""Features that a model takes as categories instead of as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.arrays import Float32s
from ml.errors import ConfigError
from ml.learning.feature_rows import FeatureRows
from ml.options.base import nearest
from ml.windows.catalogue import CATEGORY

_FIELD = "trainingConfig.lgbParams.categoricalFeatures"


def categorical_columns(X: Float32s | FeatureRows, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Columns of the features named in `wanted`, and of those that are categories by their name.

    Raises ConfigError if there is no such feature, or it holds other values than the whole numbers that can be
    exported.

    Parameters
    ----------
    X, names
        Features, (n_rows, n_features), NaN where missing, and their names.
    """
    by_name = [name for name in names if name.endswith(CATEGORY)]
    numbers = [_number(names, name) for name in dict.fromkeys((*wanted, *by_name))]
    if numbers:
        for rows in X.batches() if isinstance(X, FeatureRows) else [X]:
            for number in numbers:
                _check_categories(rows[:, number], names[number])
    return numbers


def _number(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise ConfigError(
            f'there is no feature "{name}" to take as categorical',
            field=_FIELD,
            hint=f"did you mean {nearest(name, names) or names[0]}?",
        )
    return list(names).index(name)


def _check_categories(values: Float32s, name: str) -> None:
    from ml.export.trees.encoding import MAX_CATEGORY

    known = values[~np.isnan(values)]
    if ((known < 0) | (known > MAX_CATEGORY) | (known != np.floor(known))).any():
        raise ConfigError(
            f'the feature "{name}" cannot be categorical: it holds other values than whole numbers from 0 to '
            f"{MAX_CATEGORY}",
            field=_FIELD,
        )
