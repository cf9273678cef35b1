"""A process that runs trials of a search which another process has begun, until none is left.

    python -P -m ml.scale.search_worker PARENT

It reads a pickled `ml.scale.parallel_search.Part` from the process that started it, and writes nothing to stdout unless
it fails: then ``{"error": {...}, "traceback": text}``.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import sys
import time

from ml.learning.search.rows import search_rows
from ml.learning.search.search import take_part
from ml.scale.parallel_search import Part
from ml.scale.processes import failure_of
from ml.workspace.process.parent_death import end_with


def run(part: Part) -> None:
    """Run trials; raises what `ml.learning.search.search.take_part` does."""
    rows = search_rows(part.config, part.frame, part.interval)
    take_part(
        rows,
        part.config.training_config,
        part.config.tuning_config,
        storage_path=part.journal,
        name=part.name,
        worker=part.worker,
        deadline=math.inf if math.isinf(part.deadline) else time.monotonic() + part.deadline - time.time(),
    )


def main(parent: str) -> int:
    """Run the part on stdin; returns the exit status."""
    end_with(int(parent))
    answer = os.dup(1)
    os.dup2(2, 1)  # libraries print to stdout
    try:
        run(pickle.load(sys.stdin.buffer))
    except Exception as error:
        os.write(answer, json.dumps(failure_of(error, "a trial")).encode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
