"""What a model's graph may hold, found out before onnxruntime sees it: nobody says that it is what was exported.

onnxruntime checks types and shapes, but not the numbers inside a tree ensemble, nor what a graph will need: a feature
that no row has is read from foreign memory, a node that leads back to an earlier one never ends, and ten bytes ask for
a terabyte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ml.arrays import Int64s
from ml.errors import IntegrityError
from ml.export.builder import ML_DOMAIN

_TREES = "TreeEnsemble"
_UNBOUNDED = frozenset({"Loop", "Scan", "SequenceMap"})  # their work does not follow from the size of their inputs
_OLD_TREES = frozenset({"TreeEnsembleClassifier"})  # in float32; not written by any release
_TREES_OF_SENSORS = "TreeEnsembleRegressor"
_SAME_SHAPE = frozenset({"Imputer", "Scaler", "Binarizer", "Normalizer"})  # onnx does not tell that of them
_GROWING = frozenset({"ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"})
_FREE_VALUES = 1 << 20
_VALUES_PER_INPUT = 64
"""A tensor of one row may have so many values for each value of the row, beside the free ones."""

_CHILDREN = {"nodes_truenodeids": "nodes_trueleafs", "nodes_falsenodeids": "nodes_falseleafs"}
"""Ids of the nodes on the one side and the other, and whether they are leaves."""


def check_graph(model: onnx.ModelProto) -> None:
    """Refuse a model whose trees are not trees, or that needs more for a row than a model of that width can.

    Raises
    ------
    IntegrityError
        It says which node, and what of it.
    """
    try:
        onnx.checker.check_model(model)  # working out shapes ends the process where a node reads what a later one makes
    except onnx.checker.ValidationError as error:
        raise IntegrityError(f"the model is not valid ONNX: {str(error).splitlines()[0][:200]}") from error
    width = max((_row_values(value) for value in model.graph.input), default=1)
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.op_type in _UNBOUNDED or (node.op_type in _OLD_TREES and node.domain == ML_DOMAIN):
                raise IntegrityError(f"the model has a node of the kind {node.op_type}, which no exported model has")
    sizes = _check_sizes(model, _FREE_VALUES + _VALUES_PER_INPUT * width)
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.op_type == _TREES:
                _check_trees(node, sizes.get(node.input[0], 0))
            elif node.op_type == _TREES_OF_SENSORS:
                _check_trees_of_sensors(node, sizes.get(node.input[0], 0))


def _check_sizes(model: onnx.ModelProto, limit: int) -> dict[str, int]:
    """Have onnx work out the shape of every tensor for one row, and hold it to `limit` values; gives their numbers."""
    of_one_row = onnx.ModelProto()
    of_one_row.CopyFrom(model)
    for value in of_one_row.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            if not dimension.HasField("dim_value"):
                dimension.dim_value = 1
    for graph in _graphs(of_one_row.graph):
        del graph.value_info[:]  # what the file says of its own tensors
        for node in graph.node:
            if node.op_type in _SAME_SHAPE and node.domain == ML_DOMAIN:
                node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output[:1]))
    try:
        inferred = onnx.shape_inference.infer_shapes(of_one_row, strict_mode=True)
    except Exception as error:  # C++ errors of several kinds
        raise IntegrityError(f"the shapes in the model do not fit together: {str(error)[:200]}") from error
    sizes: dict[str, int] = {}
    for graph in _graphs(inferred.graph):
        found = {value.name: _values(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        sizes |= {name: size for name, size in found.items() if size is not None}
        sizes |= {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
        for node in graph.node:
            for name in filter(None, node.output):
                size = found.get(name)
                if size is None and _may_grow(node, sizes):
                    raise IntegrityError(f"how large {name!r} ({node.op_type}) in the model gets cannot be told")
                if size is not None and size > limit:
                    raise IntegrityError(f"{name!r} ({node.op_type}) in the model has {size:,} values for one row")
    return sizes


def _may_grow(node: onnx.NodeProto, sizes: Mapping[str, int]) -> bool:
    """Whether a result of unknown size is that because it follows from numbers, not from inputs of unknown size."""
    whole = node.domain == ML_DOMAIN or any(name and name not in sizes for name in node.input)
    return node.op_type in _GROWING or not whole


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _graphs(inner)


def _row_values(value: onnx.ValueInfoProto) -> int:
    sizes = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim if dimension.HasField("dim_value")]
    return max(1, int(math.prod(sizes)))


def _values(value: onnx.ValueInfoProto) -> int | None:
    """How many values a tensor has; None if it is not known."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    sizes = [dimension.dim_value for dimension in kind.shape.dim if dimension.HasField("dim_value")]
    known = len(sizes) == len(kind.shape.dim) and min(sizes, default=0) >= 0
    return math.prod(sizes) if known else None


def _check_trees(node: onnx.NodeProto, width: int) -> None:
    """Every list as long as there are nodes or leaves, every id in range, and no node with two parents.

    So no node leads back to an earlier one: it would have the earlier one's parent and itself above it.
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    feature = _ints(attributes, "nodes_featureids")
    target, leaves = _ints(attributes, "leaf_targetids"), len(_tensor(attributes, "leaf_weights"))
    roots = _ints(attributes, "tree_roots")
    lengths = {
        "nodes_splits": len(_tensor(attributes, "nodes_splits")),
        "nodes_modes": len(_tensor(attributes, "nodes_modes")),
        **{name: len(_ints(attributes, name)) for name in (*_CHILDREN, *_CHILDREN.values())},
    }
    wrong = next((name for name, length in lengths.items() if length != len(feature)), None)
    if wrong is not None or len(target) != leaves:
        raise IntegrityError(f"a tree ensemble of the model has lists of different lengths ({wrong or 'leaves'})")
    _in_range(feature, width, "nodes_featureids")
    _in_range(target, attributes["n_targets"].i if "n_targets" in attributes else 1, "leaf_targetids")
    _in_range(roots, len(feature), "tree_roots")
    below = [roots]
    for child, is_leaf in _CHILDREN.items():
        _in_range(_ints(attributes, is_leaf), 2, is_leaf)
        ends = _ints(attributes, is_leaf) == 1
        ids = _ints(attributes, child)
        _in_range(ids[ends], leaves, child)
        _in_range(ids[~ends], len(feature), child)
        # A tree that is one leaf is written as a node with that leaf on both sides.
        below.append(ids[~ends])
    if len(feature) and np.bincount(np.concatenate(below), minlength=1).max() > 1:
        raise IntegrityError("a node in the trees of the model has two parents")


def _check_trees_of_sensors(node: onnx.NodeProto, width: int) -> None:
    """As `_check_trees`, of the older kind whose leaves have several targets; nodes are numbered over all trees."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    ids, tree = _ints(attributes, "nodes_nodeids"), _ints(attributes, "nodes_treeids")
    modes = np.array(attributes["nodes_modes"].strings if "nodes_modes" in attributes else ())
    listed = ("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids")
    lengths = [len(tree), len(modes), len(_tensor(attributes, "nodes_values_as_tensor"))]
    lengths += [len(_ints(attributes, name)) for name in listed]
    owner, sensor, target = (_ints(attributes, f"target_{name}") for name in ("treeids", "ids", "nodeids"))
    if {*lengths} != {len(ids)} or {len(owner), len(sensor)} != {len(target)}:
        raise IntegrityError("a tree ensemble of the model has lists of different lengths")
    if len(_tensor(attributes, "target_weights_as_tensor")) != len(target):
        raise IntegrityError("a tree ensemble of the model has lists of different lengths (target_weights_as_tensor)")
    if not np.array_equal(np.sort(ids), np.arange(len(ids))) or (np.diff(tree) < 0).any():
        raise IntegrityError("the nodes in the trees of the model are not numbered one after another")
    is_split = modes == b"BRANCH_LEQ"
    if not (is_split | (modes == b"LEAF")).all():
        raise IntegrityError("a node in the trees of the model is neither a comparison nor a leaf")
    _in_range(_ints(attributes, listed[0]), width, listed[0])
    _in_range(target, len(ids), "target_nodeids")
    _in_range(sensor, attributes["n_targets"].i if "n_targets" in attributes else 1, "target_ids")
    tree_of, first = np.empty(len(ids), dtype=np.int64), np.flatnonzero(np.diff(tree, prepend=-1))
    tree_of[ids] = tree
    below = [ids[first]]
    for name in listed[1:]:
        child = _ints(attributes, name)[is_split]
        _in_range(child, len(ids), name)
        if (tree_of[child] != tree[is_split]).any():
            raise IntegrityError("a node in the trees of the model leads into another tree")
        below.append(child)
    if len(ids) and (np.bincount(np.concatenate(below), minlength=1).max() > 1 or (tree_of[target] != owner).any()):
        raise IntegrityError("a node in the trees of the model has two parents, or its values are another tree's")


def _in_range(ids: Int64s, count: int, name: str) -> None:
    if ids.size and not (ids.min() >= 0 and ids.max() < count):
        raise IntegrityError(f"{name} of a tree ensemble of the model must be from 0 to {count - 1:,}")


def _ints(attributes: Mapping[str, onnx.AttributeProto], name: str) -> Int64s:
    return np.array(attributes[name].ints if name in attributes else (), dtype=np.int64)


def _tensor(attributes: Mapping[str, onnx.AttributeProto], name: str) -> NDArray[Any]:
    if name not in attributes:
        raise IntegrityError(f"a tree ensemble of the model has no {name}")
    try:
        return np.asarray(numpy_helper.to_array(attributes[name].t)).ravel()
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(f"{name} of a tree ensemble of the model is damaged") from error
