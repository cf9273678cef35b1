"""Models that onnxruntime would open, and then read foreign memory, never end, or ask for a terabyte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ml.errors import IntegrityError
from ml.export.graph.model import build_model
from ml.export.session import Scorer
from tests.unit.export.trained_models import N_FEATURES

Change = Callable[[onnx.ModelProto], None]
IDS = ("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "tree_roots", "leaf_targetids", "nodes_trueleafs")


@pytest.fixture
def model(gbdt: Any) -> onnx.ModelProto:
    content = build_model(gbdt.ensemble, n_features=N_FEATURES, scaling=None, threshold=0.5, metadata={})
    return onnx.load_model_from_string(content)


def refused(model: onnx.ModelProto, reason: str) -> None:
    with pytest.raises(IntegrityError, match=reason):
        Scorer(model.SerializeToString())


def attribute(model: onnx.ModelProto, name: str) -> onnx.AttributeProto:
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    return next(found for found in node.attribute if found.name == name)


@pytest.mark.parametrize("value", [10**6, -1, 2**40, -(2**62)])
@pytest.mark.parametrize("name", IDS)
def test_ids_out_of_range(model: onnx.ModelProto, name: str, value: int) -> None:
    attribute(model, name).ints[0] = value
    refused(model, f"{name} of a tree ensemble of the model must be from 0")


def test_a_node_that_leads_back(model: onnx.ModelProto) -> None:
    inner = next(i for i, leaf in enumerate(attribute(model, "nodes_trueleafs").ints) if not leaf)
    attribute(model, "nodes_truenodeids").ints[inner] = inner
    refused(model, "two parents")


@pytest.mark.parametrize(
    "name", ["nodes_falseleafs", "nodes_truenodeids", "leaf_targetids", "nodes_modes", "nodes_splits"]
)
def test_lists_of_different_lengths(model: onnx.ModelProto, name: str) -> None:
    found = attribute(model, name)
    if found.ints:
        del found.ints[-1]
    else:
        found.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found.t)[:-1]))
    refused(model, "different lengths|do not fit together")


def test_a_tensor_that_is_not_what_it_says(model: onnx.ModelProto) -> None:
    attribute(model, "nodes_splits").t.raw_data = b"123"
    refused(model, "raw_data size")


def before_the_rows(model: onnx.ModelProto, *nodes: onnx.NodeProto, result: str, **constants: Any) -> onnx.ModelProto:
    """Add the value `result` of new nodes to every row."""
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "input":
                node.input[place] = "changed"
    added = helper.make_node("Add", ["input", result], ["changed"])
    for place, node in enumerate((*nodes, added)):
        model.graph.node.insert(place, node)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model


SHAPE = np.array([10**6, 10**6])
ONE = np.array([1.0], np.float32)
TALL, WIDE = np.ones((30_000, 1), np.float32), np.ones((1, 30_000), np.float32)
SUM = helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0)
BOMBS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "Expand": ([helper.make_node("Expand", ["single", "shape"], ["big"]), SUM], {"single": ONE, "shape": SHAPE}),
    "ConstantOfShape": ([helper.make_node("ConstantOfShape", ["shape"], ["big"]), SUM], {"shape": SHAPE}),
    "Tile": (
        [helper.make_node("Tile", ["single", "times"], ["big"]), SUM],
        {"single": ONE, "times": np.array([10**12])},
    ),
    "Range": (
        [helper.make_node("Range", ["zero", "end", "step"], ["big"]), SUM],
        {"zero": np.float32(0), "end": np.float32(1e12), "step": np.float32(1)},
    ),
    "two sides of a sum": ([helper.make_node("Add", ["tall", "wide"], ["big"]), SUM], {"tall": TALL, "wide": WIDE}),
    "product of matrices": ([helper.make_node("MatMul", ["tall", "wide"], ["big"]), SUM], {"tall": TALL, "wide": WIDE}),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_graph_that_asks_for_too_much(model: onnx.ModelProto, kind: str) -> None:
    nodes, constants = BOMBS[kind]
    refused(before_the_rows(model, *nodes, result="sum", **constants), "values for one row|cannot be told")


def test_a_size_that_follows_from_the_readings(model: onnx.ModelProto) -> None:
    nodes = [
        helper.make_node("Cast", ["input"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "flat"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        SUM,
    ]
    refused(before_the_rows(model, *nodes, result="sum", flat=np.array([-1])), "cannot be told")


def test_an_endless_loop(model: onnx.ModelProto) -> None:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("x", TensorProto.FLOAT, [1])],
        [info("d", TensorProto.BOOL, []), info("y", TensorProto.FLOAT, [1])],
    )
    loop = helper.make_node("Loop", ["times", "true", "single"], ["looped"], body=body)
    constants = {"times": np.int64(2**62), "true": np.bool_(True), "single": ONE}
    refused(before_the_rows(model, loop, result="looped", **constants), "of the kind Loop")


def test_rows_of_no_known_width(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "K"
    refused(model, "does not map|must be from 0|cannot be told|do not fit together")


def test_results_that_are_not_those_of_the_rows(model: onnx.ModelProto) -> None:
    nodes = [
        helper.make_node("Expand", ["input", "many"], ["more"]),
        helper.make_node("Sub", ["more", "more"], ["zero"]),
    ]
    before_the_rows(model, *nodes, result="zero", many=np.array([100, N_FEATURES]))
    scorer = Scorer(model.SerializeToString())
    with pytest.raises(IntegrityError, match="two probabilities and one label"):
        scorer.score(np.zeros((1, N_FEATURES), np.float32))
    with pytest.raises(IntegrityError, match="fails on rows"):
        scorer.score(np.zeros((3, N_FEATURES), np.float32))


def test_a_node_that_reads_what_a_later_one_makes(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]
    refused(model, "not valid ONNX")


def test_a_name_that_is_no_text(model: onnx.ModelProto) -> None:
    content = model.SerializeToString().replace(b"score", b"sc\x8cre")
    with pytest.raises(IntegrityError, match="not an ONNX model"):
        Scorer(content)
