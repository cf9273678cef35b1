"""Stand-ins for the numpy and tree constructors that pickles call, which do not trust what they are given.

numpy's own are not safe on hostile input: a pickle may describe a type that calls bytes of the file pointers to Python
objects, or fields that lie outside their array, and scikit-learn's tree believes any number of nodes. Each of these
reads or runs foreign memory. The stand-ins build plain arrays from checked descriptions, and nothing else.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree._tree import Tree

from ml.errors import IntegrityError

_PLAIN = re.compile(r"[<>|=]?(?:[biuf][1248]|f16|\?|[SUV]\d{1,6})")
_ORDERS = ("<", ">", "|", "=")
_MAX_CLASSES, _MAX_FEATURES = 1000, 10**7


class Dtype:
    """Stands for ``numpy.dtype`` in a pickle: a number, a boolean, text of fixed length, or a record of these."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:  # noqa: ARG002 - numpy's arguments
        if not isinstance(code, str) or not _PLAIN.fullmatch(code):
            raise _refused(f"an array of type {str(code)[:20]!r}")
        self.plain: np.dtype[Any] = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take the byte order, or the fields of a record, from the state that numpy writes."""
        if not isinstance(state, tuple) or len(state) != 8 or state[1] not in _ORDERS or state[2] is not None:
            raise _refused("a type with a description of another kind")
        _, order, _, names, fields, size, _, _ = state
        if names is None and fields is None:
            self.plain = self.plain.newbyteorder(order)
            return
        parts = [fields[name] for name in names]
        if not all(isinstance(part, tuple) and isinstance(part[0], Dtype) and len(part) == 2 for part in parts):
            raise _refused("a record whose fields are no plain types")
        # numpy checks a description of this kind: fields that lie outside, or twice in one place, are an error.
        description = {
            "names": list(names),
            "formats": [part[0].plain for part in parts],
            "offsets": [part[1] for part in parts],
            "itemsize": size,
        }
        self.plain = np.dtype(description)  # type: ignore[call-overload]


class NdArray:
    """Stands for the class ``numpy.ndarray``, which pickles only name."""

    def __init__(self, *_: Any) -> None:
        raise _refused("an array made in another way than numpy makes them")


def reconstruct(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    """Stands for numpy's ``_reconstruct``: an empty array, which gets its content from `array_state`."""
    if kind is not NdArray or shape != (0,) or code not in (b"b", "b"):
        raise _refused("an array of another class than numpy's own")
    return np.empty(0, dtype=np.int8)


def array_state(state: Any) -> tuple[int, tuple[int, ...], np.dtype[Any], bool, bytes]:
    """What an array's ``__setstate__`` may be given: numbers for a shape, and as many bytes as they take."""
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], Dtype):
        raise _refused("an array with a description of another kind")
    _, shape, kind, columns_first, content = state
    if not isinstance(content, bytes | bytearray) or not _is_shape(shape):
        raise _refused("an array of something else than bytes")
    if len(content) != math.prod(shape) * kind.plain.itemsize:
        raise _refused("an array with another number of bytes than its shape takes")
    return 1, shape, kind.plain, bool(columns_first), bytes(content)


def from_buffer(content: Any, kind: Any, shape: Any, order: Any, axis_order: Any = None) -> NDArray[Any]:
    """Stands for numpy's ``_frombuffer``."""
    if not isinstance(kind, Dtype) or not isinstance(content, bytes | bytearray | memoryview) or not _is_shape(shape):
        raise _refused("an array of something else than bytes")
    if not kind.plain.itemsize or axis_order is not None or order not in ("C", "F"):
        raise _refused("an array in another order than by rows or columns")
    return np.frombuffer(content, dtype=kind.plain).reshape(shape, order=order)


def scalar(kind: Any, content: Any) -> Any:
    """Stands for numpy's ``scalar``."""
    if not isinstance(kind, Dtype) or not isinstance(content, bytes) or len(content) != kind.plain.itemsize:
        raise _refused("a number of another kind")
    return np.frombuffer(content, dtype=kind.plain, count=1)[0]


def tree(n_features: Any, n_classes: Any, n_outputs: Any) -> Tree:
    """Stands for scikit-learn's ``Tree``: one output of some classes."""
    sound = (
        isinstance(n_features, int)
        and 0 < n_features <= _MAX_FEATURES
        and n_outputs == 1
        and isinstance(n_classes, np.ndarray)
        and n_classes.shape == (1,)
        and n_classes.dtype == np.intp
        and 0 < n_classes[0] <= _MAX_CLASSES
    )
    if not sound:
        raise _refused("a tree of another shape than a classifier's")
    return Tree(n_features, n_classes, 1)


def tree_state(state: Any) -> dict[str, Any]:
    """What a tree's ``__setstate__`` may be given; scikit-learn checks all of it but the number of nodes."""
    if not isinstance(state, dict) or not isinstance(state.get("nodes"), np.ndarray):
        raise _refused("a tree without nodes")
    nodes = state["nodes"]
    if nodes.ndim != 1 or not len(nodes) or state.get("node_count") != len(nodes):
        raise _refused("a tree with another number of nodes than it says")
    return state


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)


def _refused(what: str) -> IntegrityError:
    return IntegrityError(
        f"the pickle holds {what}; it was not opened",
        hint="only arrays of numbers and text, random forests and scalers written by this program are read",
    )
