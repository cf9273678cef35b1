"""Pickle files written for scikit-learn users, and read without trusting them.

A pickle is a program that names functions to call. `load` lets it name only what our own files need, gives it
stand-ins in the place of numpy's constructors (`ml.export.pickled_arrays`), and lets it change only objects that it has
made. What that does not prove is that the numbers inside are the trained ones: that is the manifest's task, which is
checked first.
"""

from __future__ import annotations

import importlib
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.tree._tree import Tree

from ml.errors import IntegrityError, MissingArtifactError
from ml.export import pickled_arrays
from ml.workspace.files import write_bytes
from ml.workspace.opening import read_bytes

PROTOCOL = 5
MAX_BYTES = 2 * 1024**3
"""Largest file that `load` reads. A pickle of B bytes needs about 2 B of memory to open."""

_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): pickled_arrays.Dtype,
    ("numpy", "ndarray"): pickled_arrays.NdArray,
    ("numpy._core.multiarray", "_reconstruct"): pickled_arrays.reconstruct,
    ("numpy._core.multiarray", "scalar"): pickled_arrays.scalar,
    ("numpy._core.numeric", "_frombuffer"): pickled_arrays.from_buffer,
    ("sklearn.tree._tree", "Tree"): pickled_arrays.tree,
}
# Estimators and scalers whose methods call nothing that the file could choose.
_ESTIMATORS = frozenset(
    {
        ("sklearn.ensemble._forest", "RandomForestClassifier"),
        ("sklearn.tree._classes", "DecisionTreeClassifier"),
        ("sklearn.preprocessing._data", "StandardScaler"),
        ("sklearn.preprocessing._data", "MinMaxScaler"),
        ("sklearn.preprocessing._data", "RobustScaler"),
    }
)
# What the unpickler and the constructors above raise on bytes that make no sense.
_UNREADABLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def dump(value: Any, path: Path) -> None:
    """Write `value` as a plain pickle, which `load`, ``pickle.load`` and ``joblib.load`` all open."""
    write_bytes(path, pickle.dumps(value, protocol=PROTOCOL))


def load(path: Path) -> Any:
    """Read a pickle that holds nothing but numpy arrays, plain Python values and the known estimators and scalers.

    Raises
    ------
    MissingArtifactError
        There is no such file.
    IntegrityError
        The file is larger than `MAX_BYTES`, is not a pickle, or names anything else; that is named, not imported.
    """
    return loads(_read(path))


def loads(content: bytes) -> Any:
    """As `load`, from bytes."""
    try:
        return _AllowListUnpickler(io.BytesIO(content)).load()
    except _UNREADABLE as error:
        raise IntegrityError(f"the file is not a readable pickle: {type(error).__name__}: {error}") from error


class _AllowListUnpickler(pickle._Unpickler):  # the one in Python, because the one in C cannot be told what to build
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in _STAND_INS:
            return _STAND_INS[module_name, global_name]
        if (module_name, global_name) not in _ESTIMATORS:
            raise IntegrityError(
                f"the pickle names {module_name}.{global_name}, which could run code; it was not opened",
                hint="only arrays, random forests and scalers written by this program are read",
            )
        return getattr(importlib.import_module(module_name), global_name)

    def get_extension(self, code: int) -> None:
        raise IntegrityError(f"the pickle names something by the number {code}; it was not opened")

    def load_build(self) -> None:
        """Change the object below the top of the stack, if it is of a kind that may be changed."""
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, pickled_arrays.Dtype):
            made.build(state)
        elif isinstance(made, np.ndarray) and not made.size:
            made.__setstate__(pickled_arrays.array_state(state))  # type: ignore[arg-type] # numpy asks for its own bool
        elif isinstance(made, Tree):
            made.__setstate__(pickled_arrays.tree_state(state))
        elif (type(made).__module__, type(made).__name__) in _ESTIMATORS and isinstance(state, dict):
            made.__setstate__(state)
        else:
            raise IntegrityError(f"the pickle changes a {type(made).__name__}; it was not opened")

    dispatch[pickle.BUILD[0]] = load_build


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise IntegrityError(f"{path.name} has {size} bytes; allowed are {MAX_BYTES}")
        return read_bytes(path)
    except FileNotFoundError:
        raise MissingArtifactError(f"there is no file {path.name}") from None
