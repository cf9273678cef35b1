"""Whether this Python can run the package at all; told in one line, with the command that helps.

Any Python 3 can read this file, and it imports nothing that has to be installed.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import PathFinder

OLDEST = (3, 11)
MODULES = (
    "pandas", "numpy", "lightgbm", "sklearn", "optuna", "onnx", "onnxruntime", "skl2onnx", "matplotlib", "pydantic",
    "joblib", "numba", "pyarrow", "adbc_driver_sqlite", "adbc_driver_postgresql", "rich", "jinja2", "filelock",
    "threadpoolctl", "sqlalchemy",
)  # fmt: skip
"""What the requirements install, by the names that are imported."""
CODE, EXIT_STATUS = "LIBRARY_MISSING", 4
_NAMED = 3

_ROOT = os.path.dirname(os.path.abspath(__file__ + "/../../.."))  # noqa: PTH100, PTH120 - pathlib takes a moment to load


def refuse_wrong_python(step):  # type: (str) -> None
    """End the process, with the result that `step` owes its caller, if this Python is too old or lacks libraries."""
    message = _complaint()
    if message is None:
        return
    error = {"code": CODE, "message": message, "hint": _help()}
    for stream, document in ((sys.stdout, {"status": "FAILED", "step": step, "error": error}),):
        if stream is not None and not stream.isatty():
            stream.write(json.dumps(document) + "\n")
            stream.flush()
    if sys.stderr is not None:
        line = json.dumps(dict(error, event="error"))
        sys.stderr.write(("%s: %s" % (message, error["hint"]) if sys.stderr.isatty() else line) + "\n")  # noqa: UP031
    sys.exit(EXIT_STATUS)


def _complaint():  # type: () -> str | None
    if sys.version_info < OLDEST:
        return "this Python is {}.{}, and {}.{} or newer is needed".format(*sys.version_info[:2], *OLDEST)
    missing = [name for name in MODULES if PathFinder.find_spec(name) is None]
    if not missing:
        return None
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return f"this Python ({sys.executable}) lacks {', '.join(missing[:_NAMED])}{more}"


def _help():  # type: () -> str
    own = os.path.join(_ROOT, ".venv")  # noqa: PTH118
    python = os.path.join(own, "bin", "python")  # noqa: PTH118
    if not os.path.isfile(os.path.join(_ROOT, "requirements.txt")):  # noqa: PTH113, PTH118
        return f"run {sys.executable} -m pip install eagle-ml"
    if not os.path.isfile(python):  # noqa: PTH113
        return f"run make install in {_ROOT}, then use {python}"
    if os.path.realpath(sys.prefix) == os.path.realpath(own):
        return f"run {python} -m pip install -r {_ROOT}/requirements.txt"
    return f"use {python}"
