"""Make the package importable for a script that is run as a file, whatever the working directory.

The first of our own code that such a process runs: who has started it is noted here, and from here on a signal ends it
with a result, also while libraries are still being loaded.
"""

import _signal  # type: ignore[import-not-found]  # what needs no other module: those take a moment to load
import sys

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until our own handler stands: without a traceback

from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ml.workspace.process.requirements import refuse_wrong_python

refuse_wrong_python(Path(sys.argv[0]).stem)

from ml.workspace.process import (  # noqa: E402 - an old Python cannot read them
    parent_death,  # noqa: F401
    stopping,
)

stopping.stop_while_loading(Path(sys.argv[0]).stem)
