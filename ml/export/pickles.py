"""Pickle files written for scikit-learn users, and read without trusting them.

A pickle is a program that names functions to call. `load` lets it name only the constructors that our own files need,
so nothing else can run. What it does not prove is that the numbers inside are the trained ones: that is the manifest's
task, which is checked first.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from ml.errors import IntegrityError, MissingArtifactError

PROTOCOL = 5
MAX_BYTES = 2 * 1024**3
"""Largest file that `load` reads. A pickle of B bytes needs about 2 B of memory to open."""

_ALLOWED = frozenset(
    {
        # numpy arrays, their element types and scalars
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        # estimators and scalers whose methods call nothing that the file could choose
        ("sklearn.ensemble._forest", "RandomForestClassifier"),
        ("sklearn.tree._classes", "DecisionTreeClassifier"),
        ("sklearn.tree._tree", "Tree"),
        ("sklearn.preprocessing._data", "StandardScaler"),
        ("sklearn.preprocessing._data", "MinMaxScaler"),
        ("sklearn.preprocessing._data", "RobustScaler"),
    }
)
# What the unpickler and the constructors above raise on bytes that make no sense.
_UNREADABLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


def dump(value: Any, path: Path) -> None:
    """Write `value` as a plain pickle, which `load`, ``pickle.load`` and ``joblib.load`` all open."""
    path.write_bytes(pickle.dumps(value, protocol=PROTOCOL))


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


class _AllowListUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise IntegrityError(
                f"the pickle names {module_name}.{global_name}, which could run code; it was not opened",
                hint="only arrays, random forests and scalers written by this program are read",
            )
        return super().find_class(module_name, global_name)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise IntegrityError(f"{path.name} has {size} bytes; allowed are {MAX_BYTES}")
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingArtifactError(f"there is no file {path.name}") from None
