"""Libraries that only work beyond one process needs; everything else works without them."""

from __future__ import annotations

import importlib.util

from ml.errors import MissingLibraryError

_INSTALL = "pip install -r requirements-fleet.txt"


def require_dask(what: str) -> None:
    """Raise MissingLibraryError, which says that `what` needs dask and what to install, if dask is not there."""
    _require(what, "dask", "distributed")


def require_psycopg(what: str) -> None:
    """As `require_dask`, of psycopg, through which SQLAlchemy speaks to PostgreSQL."""
    _require(what, "psycopg")


def _require(what: str, *modules: str) -> None:
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingLibraryError(f"{what} needs {modules[0]}, which is not installed", hint=_INSTALL)
