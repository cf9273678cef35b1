"""Versions of everything that a model's bits depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

from ml import __version__

_LIBRARIES = ("lightgbm", "numba", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "skl2onnx")


def library_versions() -> dict[str, str]:
    """Versions of this program, of Python and of the libraries that prepare, fit and export."""
    own = {"eagle-ml": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in _LIBRARIES}
