"""Versions of everything that a model's bits depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

_LIBRARIES = ("lightgbm", "numba", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "skl2onnx")


def library_versions() -> dict[str, str]:
    """Python and the libraries that take part in preparing, fitting and exporting, with their versions."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}
