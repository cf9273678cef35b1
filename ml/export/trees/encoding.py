"""What becomes of a row before trees compare it: zeros that mean missing, and sets of categories as columns of 0 and 1.

With ``zero_as_missing``, LightGBM sends values within 1e-35 of zero where it sends NaN. A split on a categorical
feature asks whether the value, cut to a whole number, is one of a set; a comparison with a bound cannot ask that, so
each set becomes one more column, 1 for a member and 0 for anything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.arrays import Float32s, Int64s
from ml.export.builder import INT64, GraphBuilder

MAX_CATEGORY = 4095
"""Largest category that is exported; the table of a feature's sets has a row for each."""

# LightGBM replaces |x| <= kZeroThreshold by 0 when it reads a row; the constant is a float32 there (meta.h).
LIGHTGBM_ZERO = np.float32(1e-35)


@dataclass(frozen=True)
class Membership:
    """A set of categories that splits ask for: whole numbers from 0, ascending."""

    feature: int
    categories: tuple[int, ...]


@dataclass(frozen=True)
class Encoding:
    """Columns that trees compare: the features, then one column for each of `memberships`.

    Attributes
    ----------
    zero_is_missing
        Features in which values within 1e-35 of zero are missing.
    memberships
        Sets of categories, those of a feature together.
    """

    n_features: int
    zero_is_missing: frozenset[int] = frozenset()
    memberships: tuple[Membership, ...] = ()

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.n_features + len(self.memberships)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Features that splits take as categories, in the order of their sets."""
        return tuple(dict.fromkeys(membership.feature for membership in self.memberships))

    def moved(self, place: Int64s, width: int, used: Int64s) -> Encoding:
        """The same for rows of `width` columns that have feature i, one of `used`, at ``place[i]``."""
        zeros = self.zero_is_missing & set(used.tolist())
        return Encoding(
            width,
            frozenset(int(place[feature]) for feature in zeros),
            tuple(Membership(int(place[each.feature]), each.categories) for each in self.memberships),
        )

    def sources(self) -> Int64s:
        """The feature that each column comes from, (n_columns,)."""
        return np.array([*range(self.n_features), *(each.feature for each in self.memberships)], dtype=np.int64)

    def columns_of(self, feature: int) -> Int64s:
        """The columns that hold memberships of `feature`."""
        numbers = [number for number, each in enumerate(self.memberships) if each.feature == feature]
        return np.array(numbers, dtype=np.int64) + self.n_features

    def members(self, feature: int) -> Float32s:
        """0 or 1 for each category of `feature` and each of its sets, (n_categories + 1, n_sets).

        The last row, of zeros, stands for everything that no set holds.
        """
        sets = [each.categories for each in self.memberships if each.feature == feature]
        table = np.zeros((max(map(max, sets)) + 2, len(sets)), dtype=np.float32)
        for number, categories in enumerate(sets):
            table[list(categories), number] = 1
        return table


def add_encoding(graph: GraphBuilder, features: str, encoding: Encoding) -> str:
    """The columns of float32 `features` (N, n_features): float32 (N, n_columns)."""
    columns = [_with_missing_zeros(graph, features, encoding)]
    columns += [_memberships(graph, features, encoding, feature) for feature in encoding.categorical]
    if len(columns) == 1:
        return columns[0]
    return graph.shared_node("Concat", columns, axis=1)[0]


def _with_missing_zeros(graph: GraphBuilder, features: str, encoding: Encoding) -> str:
    if not encoding.zero_is_missing:
        return features
    concerned = np.zeros((1, encoding.n_features), dtype=np.bool_)
    concerned[0, sorted(encoding.zero_is_missing)] = True
    (size,) = graph.shared_node("Abs", [features])
    (tiny,) = graph.shared_node("LessOrEqual", [size, graph.shared_constant(LIGHTGBM_ZERO)])
    (missing,) = graph.shared_node("And", [tiny, graph.shared_constant(concerned)])
    return graph.shared_node("Where", [missing, graph.shared_constant(np.float32(np.nan)), features])[0]


def _memberships(graph: GraphBuilder, features: str, encoding: Encoding, feature: int) -> str:
    """The columns of one feature's sets, (N, n_sets), by a table with a row for each category.

    What is no category (NaN, below or beyond them) takes the last row, so nothing is cast that an integer cannot hold.
    """
    table = encoding.members(feature)
    last = graph.shared_constant(np.float32(len(table) - 1))
    (value,) = graph.shared_node("Gather", [features, graph.shared_constant(np.int64(feature))], axis=1)
    (above,) = graph.shared_node("Greater", [value, graph.shared_constant(np.float32(-1))])
    (below,) = graph.shared_node("Less", [value, last])
    (known,) = graph.shared_node("And", [above, below])
    (row,) = graph.shared_node("Where", [known, value, last])
    (index,) = graph.shared_node("Cast", [row], to=INT64)  # cuts off the fraction, as LightGBM does
    return graph.shared_node("Gather", [graph.shared_constant(table), index], axis=0)[0]
