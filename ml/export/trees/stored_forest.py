"""A fitted random forest as a table of its nodes, which is read without running anything.

One Parquet row per node, trees one after the other. scikit-learn trusts the arrays of a fitted tree: a child or feature
out of range is read from foreign memory, and a node that leads back to itself is walked for ever. So they are checked
before scikit-learn gets them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import NODE_DTYPE, Tree

from ml.arrays import Float64s
from ml.errors import IntegrityError, MissingArtifactError
from ml.workspace.files import write_bytes
from ml.workspace.safe_open import read_bytes

MAX_NODES = 50_000_000
"""Largest forest that `read_forest` opens: about 4 GB in memory."""

_NO_CHILD = -1
_CLASSES = np.array([0, 1])
_SCHEMA = pa.schema(
    [("tree", pa.int32())]
    + [(name, pa.from_numpy_dtype(NODE_DTYPE[name])) for name in NODE_DTYPE.names]
    + [("share_0", pa.float64()), ("share_1", pa.float64())]
)
_WIDTH = b"n_features"
_MAX_WIDTH = 10**7

Nodes = npt.NDArray[Any]  # records of NODE_DTYPE


def write_forest(forest: RandomForestClassifier, path: Path) -> None:
    """Write a forest fitted on the labels 0 and 1; the same forest gives the same bytes. Raises StorageError."""
    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    nodes = np.concatenate([state["nodes"] for state in states])
    shares = np.concatenate([state["values"][:, 0, :] for state in states])
    columns = [
        np.repeat(np.arange(len(states)), [state["node_count"] for state in states]),
        *(nodes[name] for name in NODE_DTYPE.names),
        *shares.T,
    ]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    width = str(int(forest.n_features_in_)).encode()
    content = pa.BufferOutputStream()
    pyarrow.parquet.write_table(
        pa.table(arrays, schema=_SCHEMA.with_metadata({_WIDTH: width})), content, compression="zstd"
    )
    write_bytes(path, content.getvalue().to_pybytes())


def read_forest(path: Path) -> RandomForestClassifier:
    """The forest in a file of `write_forest`, ready to predict on one thread.

    Raises MissingArtifactError if there is no such file, and IntegrityError if it is anything else than a table of
    sound trees, or larger than `MAX_NODES`.
    """
    table, width = _read(path)
    trees = table.column("tree").to_numpy()
    if not len(trees) or trees[0] != 0 or not np.isin(np.diff(trees), (0, 1)).all():
        raise _damaged(path, "its trees do not come one after the other")
    nodes = np.zeros(len(trees), dtype=NODE_DTYPE)
    for name in NODE_DTYPE.names:
        nodes[name] = table.column(name).to_numpy()
    shares = np.column_stack([table.column("share_0").to_numpy(), table.column("share_1").to_numpy()])
    bounds = np.flatnonzero(np.diff(trees)) + 1
    parts = list(zip(np.split(nodes, bounds), np.split(shares, bounds), strict=True))
    for number, (of_tree, of_classes) in enumerate(parts):
        if not _is_sound(of_tree, of_classes, width):
            raise _damaged(path, f"tree {number} has nodes, features or values that cannot be")
    return _forest([_tree(*part, width) for part in parts], width)


def _read(path: Path) -> tuple[pa.Table, int]:
    """The table, and the number of features that its forest was fitted on."""
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise MissingArtifactError(f"there is no file {path.name}") from None
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > MAX_NODES:
            raise _damaged(path, f"it has {file.metadata.num_rows:,} nodes; allowed are {MAX_NODES:,}")
        table = file.read()
        width = int((table.schema.metadata or {}).get(_WIDTH, b"0"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, "it is not a table that this program wrote") from error
    if not table.schema.equals(_SCHEMA) or not 0 < width <= _MAX_WIDTH:
        raise _damaged(path, "it has other columns than a forest")
    if any(column.null_count for column in table.columns):
        raise _damaged(path, "it has empty cells")
    return table, width


def _is_sound(nodes: Nodes, shares: Float64s, width: int) -> bool:
    """Whether every node but the root is the child of one earlier node, which scikit-learn's builders guarantee."""
    left, right = nodes["left_child"], nodes["right_child"]
    splits = np.flatnonzero(left != _NO_CHILD)
    children = np.concatenate([left[splits], right[splits]])
    return bool(
        np.array_equal(np.sort(children), np.arange(1, len(nodes)))
        and (children > np.tile(splits, 2)).all()
        and (right[left == _NO_CHILD] == _NO_CHILD).all()
        and ((nodes["feature"][splits] >= 0) & (nodes["feature"][splits] < width)).all()
        and not np.isnan(nodes["threshold"][splits]).any()  # infinity parts missing values from all others
        and np.isfinite(shares).all()
    )


def _tree(nodes: Nodes, shares: Float64s, width: int) -> DecisionTreeClassifier:
    grown = Tree(width, np.array([len(_CLASSES)], dtype=np.intp), 1)
    grown.__setstate__(
        {
            "max_depth": _depth(nodes),
            "node_count": len(nodes),
            "nodes": nodes,
            "values": np.ascontiguousarray(shares).reshape(len(nodes), 1, len(_CLASSES)),
        }
    )
    tree = DecisionTreeClassifier()
    tree.tree_ = grown
    return _fitted(tree, width)


def _depth(nodes: Nodes) -> int:
    """Longest way from the root; children come after their parents."""
    depth = np.zeros(len(nodes), dtype=np.int64)
    for number in np.flatnonzero(nodes["left_child"] != _NO_CHILD):
        for child in (nodes["left_child"][number], nodes["right_child"][number]):
            depth[child] = depth[number] + 1
    return int(depth.max())


def _forest(trees: list[DecisionTreeClassifier], width: int) -> RandomForestClassifier:
    forest = RandomForestClassifier(n_estimators=len(trees), n_jobs=1)
    forest.estimators_ = trees
    return _fitted(forest, width)


def _fitted(model: Any, width: int) -> Any:
    """`model` with what scikit-learn sets when it fits two classes."""
    model.n_features_in_, model.n_outputs_ = width, 1
    model.classes_, model.n_classes_ = _CLASSES, len(_CLASSES)
    return model


def _damaged(path: Path, reason: str) -> IntegrityError:
    return IntegrityError(f"{path.name} does not hold a fitted random forest: {reason}")
