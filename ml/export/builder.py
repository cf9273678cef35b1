"""An ONNX graph under construction: nodes and constants added by name, then the bytes of the finished model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import checker, helper, numpy_helper

OPSET = 18
ML_DOMAIN = "ai.onnx.ml"
ML_OPSET = 5  # the first with a TreeEnsemble in float64
IR_VERSION = 10  # what that operator set came with, and the newest that onnxruntime-node 1.26 must read
PRODUCER = "eagle-ml"

FLOAT, DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
INT32, INT64, BOOL = onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


class GraphBuilder:
    """Collects nodes in the order in which they run; every method returns the name of what it added.

    `constant` and `node` take the name to use. `shared_constant` and `shared_node` make one up, a number after the
    operator, and return what is there already when they are asked for the same thing again.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._shared_nodes: dict[Hashable, tuple[str, ...]] = {}
        self._shared_constants: dict[Hashable, str] = {}

    def branch(self, name: str) -> GraphBuilder:
        """A graph for one side of `choose`; its nodes may read what this one holds, by name."""
        return GraphBuilder(f"{self._prefix}{name}_")

    def choose(
        self, condition: str, then: tuple[GraphBuilder, Sequence[str]], otherwise: tuple[GraphBuilder, Sequence[str]]
    ) -> tuple[str, ...]:
        """Run one of two branches; each comes with the float64 results that it has to offer, in the same order."""
        number = len(self._shared_nodes)
        names = tuple(f"{self._prefix}if_{number}_{place}" for place in range(len(then[1])))
        then_branch, else_branch = (branch._as_graph(outputs) for branch, outputs in (then, otherwise))
        node = helper.make_node("If", [condition], names, then_branch=then_branch, else_branch=else_branch)
        self._nodes.append(node)
        self._shared_nodes[names] = names
        return names

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Add a constant with the dtype and shape of `value`."""
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def shared_constant(self, value: NDArray[Any] | np.generic) -> str:
        """A constant with the dtype, shape and bits of `value`."""
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared_constants:
            self._shared_constants[key] = self.constant(f"{self._prefix}constant_{len(self._shared_constants)}", array)
        return self._shared_constants[key]

    def shared_node(
        self, operator: str, inputs: Sequence[str], *, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """A node with that many outputs; attributes are numbers, texts or lists of them."""
        key = (domain, operator, tuple(inputs), outputs, repr(sorted(attributes.items())))
        if key not in self._shared_nodes:
            name = f"{self._prefix}{operator.lower()}_{len(self._shared_nodes)}"
            names = (name,) if outputs == 1 else tuple(f"{name}_{number}" for number in range(outputs))
            self._nodes.append(helper.make_node(operator, inputs, names, name=name, domain=domain, **attributes))
            self._shared_nodes[key] = names
        return self._shared_nodes[key]

    def splice(self, inner: onnx.GraphProto, given: str, output: str) -> str:
        """Put the nodes of a graph of one input in here, fed by `given`; returns the new name of its `output`."""
        prefix = f"spliced_{len(self._nodes)}_"
        renamed = {inner.input[0].name: given}

        def name_of(name: str) -> str:
            return renamed.get(name, f"{prefix}{name}") if name else ""

        for tensor in inner.initializer:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = name_of(tensor.name)
            self._constants.append(copy)
        for node in inner.node:
            part = onnx.NodeProto()
            part.CopyFrom(node)
            part.name = f"{prefix}{node.name}"
            part.input[:] = [name_of(name) for name in node.input]
            part.output[:] = [name_of(name) for name in node.output]
            self._nodes.append(part)
        return name_of(output)

    def to_bytes(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        metadata: Mapping[str, str],
        *,
        ml_opset: int = ML_OPSET,
    ) -> bytes:
        """The checked model; the same calls give the same bytes."""
        graph = helper.make_graph(self._nodes, name, inputs, outputs, initializer=self._constants)
        operators = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ml_opset)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=IR_VERSION, producer_name=PRODUCER)
        helper.set_model_props(model, dict(sorted(metadata.items())))
        checker.check_model(model)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized

    def _as_graph(self, outputs: Sequence[str]) -> onnx.GraphProto:
        results = [helper.make_tensor_value_info(name, DOUBLE, None) for name in outputs]
        return helper.make_graph(self._nodes, self._prefix.rstrip("_"), [], results, initializer=self._constants)


def value_info(name: str, element_type: int, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    """Name, type and shape of an input or output; a string names a free dimension."""
    return helper.make_tensor_value_info(name, element_type, shape)
