"""A stretch: consecutive rows of one segment with the rows that their windows reach back to, laid out in slots.

Slot ``before + i`` holds row i of the stretch, and the slots below it the rows before. Slots before the segment's
start are missing, like NaN: they hold 0 and count 0, so that no window needs to know where its segment begins.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.windows.kernels.compiling import compiled


@compiled
def stretch_end(start: Int64s, begin: int, most_rows: int) -> int:
    """End of the rows from `begin` on that are of one segment and no more than `most_rows`."""
    limit = min(begin + most_rows, start.size)
    if start[limit - 1] == start[begin]:
        return limit
    return int(begin + np.searchsorted(start[begin:limit], start[begin], side="right"))


@compiled
def fill(
    x: Float32s, segment_start: int, begin: int, end: int, before: int, value: Float64s, present: Float64s
) -> bool:
    """Write rows begin - before .. end as float64 values and 1 or 0 for present or missing; True if none is missing."""
    first = max(segment_start, begin - before)
    lead = before - (begin - first)
    value[:lead] = 0.0
    present[:lead] = 0.0
    complete = lead == 0
    for slot in range(lead, before + end - begin):
        read = x[first - lead + slot]
        missing = np.isnan(read)
        complete = complete and not missing
        value[slot] = 0.0 if missing else np.float64(read)
        present[slot] = 0.0 if missing else 1.0
    return complete


@compiled
def magnitudes(value: Float64s) -> tuple[float, float]:
    """The smallest nonzero and the largest absolute value; (inf, 0) if all are zero."""
    smallest, largest = np.inf, 0.0
    for slot in range(value.size):
        size = abs(value[slot])
        smallest = min(smallest, size if size > 0.0 else np.inf)
        largest = max(largest, size)
    return smallest, largest
