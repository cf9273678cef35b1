"""Rows of which so much could not be understood that what is left would say something else."""

from __future__ import annotations

from collections.abc import Mapping

from ml.cleaning.columns import ColumnPlan
from ml.cleaning.counts import Counts
from ml.cleaning.likely_causes import cause_of_unreadable, likely_time_format
from ml.errors import DataError

MOST_ODD_TIMES = 0.1
"""Share of the rows whose times may be unreadable or implausible; those rows are left out and reported."""

_SHOWN = 4  # values that a message shows
_TIMES = "times are ISO 8601 text, dates of the database or file, or Unix epoch numbers"


def refuse_times(counts: Counts, column: str, *, most_odd: float = MOST_ODD_TIMES) -> None:
    """Refuse rows too many of which have no usable time.

    Parameters
    ----------
    column
        Name of the time column.
    most_odd
        Share of rows that may have none; 1 refuses only if no row has one.

    Raises
    ------
    DataError
        Shows some values, and the format that they seem to have.
    """
    odd, rows = counts.odd_times, counts.rows_read
    nothing_left = 0 < rows == counts.unreadable_times + counts.implausible_times
    if not nothing_left and odd <= most_odd * rows:
        return
    form = likely_time_format(counts.time_examples)
    share = "no value" if nothing_left else f"{odd:,} of {rows:,} values"
    years = counts.implausible_times > 0.5 * odd
    what = (
        f'{share} of the time column "{column}" can be read as a time'
        if nothing_left and not years
        else f'{odd:,} of {rows:,} values of the time column "{column}" '
        + ("lie before 1990 or after next year" if years else "cannot be read as times")
    )
    raise DataError(
        f"{what} (such as {shown(counts.time_examples)})" + (f"; they look like {form}" if form else ""),
        field="schemaConfig.timestampColumn",
        hint=f"{_TIMES}: write them so in the source" if form else _TIMES,
    )


def refuse_unreadable(counts: Counts, plan: ColumnPlan) -> None:
    """Refuse rows of which a sensor was not understood at all.

    A sensor that is empty throughout may be broken or new, so it is reported and not refused, unless all are.

    Raises
    ------
    DataError
        Names the column, some of its values, and why they probably could not be read.
    """
    for name, source in plan.sensors.items():
        if name in counts.unreadable and name not in counts.readable:
            examples = counts.unreadable_examples[name]
            cause, advice = cause_of_unreadable(examples)
            raise DataError(
                f'no value of the column "{source}" can be read as a number: {counts.unreadable[name]:,} values such '
                f"as {shown(examples)}; they look like {cause}",
                field=source,
                hint=advice,
            )
        if counts.infinite.get(name, 0) == counts.readable.get(name, -1):
            raise DataError(
                f'every value of the column "{source}" is infinite, or larger than a float holds (about 3e38)',
                field=source,
                hint="check how the values were computed and exported, or leave the column out",
            )
    if counts.rows_in_range and plan.sensors and not any(name in counts.readable for name in plan.sensors):
        raise DataError(
            f"no sensor has a value: {_listed(list(plan.sensors.values()))} "
            f"{'is' if len(plan.sensors) == 1 else 'are'} empty in all {counts.rows_in_range:,} rows",
            field="schemaConfig.continuousColumns",
            hint="check that the columns are the right ones, and that the range holds readings",
        )


def refuse_target(counts: Counts, plan: ColumnPlan) -> None:
    """Refuse a target that never says failed in a word that is understood, but holds others.

    Raises
    ------
    DataError
        Names the words, with the number of times that each was seen.
    """
    column = plan.target if plan.label is None else plan.label
    if column is None or counts.failed.get(column) or column not in counts.unreadable:
        return
    raise DataError(
        f'no value of "{column}" says that an asset has failed: it is never 1, true, yes or on, and holds '
        f"{words_seen(counts.unreadable_examples[column])}, which are neither failed nor healthy",
        field="schemaConfig.targetColumn" if plan.label is None else "dataConfig.labelColumn",
        hint="give a column that is 1 while the asset is failed and 0 while it is not",
    )


def shown(examples: Mapping[str, int]) -> str:
    """Some values as a message shows them."""
    return ", ".join(repr(value) for value in list(examples)[:_SHOWN])


def words_seen(examples: Mapping[str, int]) -> str:
    """Values with the number of times that each was seen, the most frequent first."""
    most = sorted(examples.items(), key=lambda item: (-item[1], item[0]))
    return _listed([f"{value!r} ({count:,} times)" for value, count in most])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
