"""Imported first by what is run as ``python -m ml.<name>``: a signal may come while libraries are still loading."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what needs no other module: those take a moment to load
import sys

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until our own handler stands: without a traceback

from pathlib import Path

from ml.workspace.process.requirements import refuse_wrong_python

_started = Path(sys.argv[0])
_step = _started.parent.name if _started.stem == "__main__" else _started.stem
refuse_wrong_python(_step)

from ml.workspace.process.stopping import stop_while_loading  # noqa: E402 - an old Python cannot read it

stop_while_loading(_step)
