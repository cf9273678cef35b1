"""Rows of a database, slice of time by slice of time: each is fetched once, kept, and read back from the disk.

What is kept is used again only if the database still counts as many rows in it, so rows that came late or were deleted
show; rows that were changed in place do not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pyarrow as pa

from ml.cleaning.clock import to_text
from ml.cleaning.columns import ColumnPlan
from ml.cleaning.flags import LABEL, TARGET
from ml.cleaning.time_range import TimeRange
from ml.ingest.slices import Slice, SliceStore
from ml.ingest.sources.base import Keys, SlicedSource, TimeAxis, keys_within
from ml.progress import ProgressCallback

log = logging.getLogger(__name__)

ROWS_PER_SLICE = 100_000  # some seconds of work, so that little is lost and progress is seen
_HOUR = 3_600_000_000  # microseconds
_LENGTHS = tuple(_HOUR * hours for hours in (1, 3, 6, 12, 24, 48, 96, 168, 336, 672, 1344, 2688, 5376, 10_752))


def contents_of(
    source: SlicedSource, columns: Sequence[str], plan: ColumnPlan, own_column: str | None
) -> dict[str, object]:
    """What must be the same for slices fetched earlier to be used again."""
    return {
        "types": [[name, kind] for name, kind in source.types(columns).items()],
        "parts": [
            plan.timestamp,
            plan.asset,
            plan.source_of(TARGET),
            plan.source_of(LABEL),
            list(plan.sensors.items()),
        ],
        "organizationColumn": own_column,
        "state": source.state,
        **({} if source.only is None else {"only": [source.only[0], *source.only[1]]}),
    }


def fetch(
    source: SlicedSource,
    columns: Sequence[str],
    axis: TimeAxis,
    within: TimeRange,
    store: SliceStore,
    *,
    slice_seconds: int | None,
    report: ProgressCallback,
    rows_per_slice: int = ROWS_PER_SLICE,
) -> list[Slice]:
    """Bring the store up to date with the source; gives the slices that hold the range, in order of time.

    Raises SourceError, DataError, IsolationError as `SlicedSource.stream`, and StorageError if a slice cannot be
    written. What was complete before stays.

    Parameters
    ----------
    columns
        What to fetch.
    axis
        How the source's times compare.
    within
        Range that is needed; nothing that surely lies outside is fetched.
    slice_seconds
        Length of a slice. Default: as before, or about `rows_per_slice` rows.
    report
        Called with microseconds done and in all.
    """
    extent = source.bounds(axis)
    if extent is None:
        return []
    step = axis.granularity
    earliest, latest = keys_within(within, axis)
    start, end = max(earliest, extent[0] // step * step), min(latest, (extent[1] // step + 1) * step)
    if start >= end:
        return []
    length = _length(source, axis, extent, store, slice_seconds, rows_per_slice)
    _forget_outdated(source, axis, store, start, end)
    for gap_start, gap_end in _gaps(store.slices, start, end):
        for slice_start, slice_end in _cut(source, axis, gap_start, gap_end, length):
            report(slice_start - start, end - start, f"fetching {_in_words(slice_start, slice_end)}")
            log.info("fetching %s", _in_words(slice_start, slice_end))
            batches = source.stream(columns, Keys(axis, slice_start, slice_end))
            kept = store.keep(slice_start, slice_end, _one_ahead(batches))
            log.info("fetched %s: %d rows", _in_words(slice_start, slice_end), kept.rows)
    return [kept for kept in store.slices if kept.start < end and kept.end > start]


def _one_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; while one is written, another thread waits for the next (both without Python's lock)."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        pending = reader.submit(next, batches, None)
        while (batch := pending.result()) is not None:
            pending = reader.submit(next, batches, None)
            yield batch


def _length(
    source: SlicedSource,
    axis: TimeAxis,
    extent: tuple[int, int],
    store: SliceStore,
    configured: int | None,
    rows_per_slice: int,
) -> int:
    """Microseconds of a slice, a multiple of the axis's granularity."""
    if configured is not None:
        wanted = configured * 1_000_000
    elif store.length is not None:
        return store.length
    else:
        rows = max(1, source.expected_rows())
        wanted = (extent[1] - extent[0] + 1) * rows_per_slice // rows
        wanted = max([length for length in _LENGTHS if length <= wanted], default=_LENGTHS[0])
    length = -(-wanted // axis.granularity) * axis.granularity
    if length != store.length:
        store.choose_length(length)
    return length


def _forget_outdated(source: SlicedSource, axis: TimeAxis, store: SliceStore, start: int, end: int) -> None:
    for kept in [kept for kept in store.slices if kept.start < end and kept.end > start]:
        if not store.is_intact(kept):
            log.warning("the kept rows of %s are damaged; they are fetched again", _in_words(kept.start, kept.end))
        elif source.count(Keys(axis, kept.start, kept.end)) == kept.rows:
            continue
        else:
            log.info("the rows of %s have changed; they are fetched again", _in_words(kept.start, kept.end))
        store.drop(kept)


def _gaps(kept: Sequence[Slice], start: int, end: int) -> list[tuple[int, int]]:
    """What lies within the range and in no slice."""
    inside = [(one.start, one.end) for one in kept if one.start < end and one.end > start]
    edges = [(start, start), *inside, (end, end)]
    return [(before[1], after[0]) for before, after in pairwise(edges) if before[1] < after[0]]


def _cut(source: SlicedSource, axis: TimeAxis, start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Cut a range at multiples of `length`; time without rows belongs to the slice that follows it."""
    while start < end:
        first = source.extreme("min", Keys(axis, start, end))
        cut = end if first is None else min(end, (first // length + 1) * length)
        yield start, cut
        start = cut


def _in_words(start: int, end: int) -> str:
    return f"{to_text(start)} to {to_text(end)}"
