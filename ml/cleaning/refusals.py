"""Rows of which so much could not be understood that what is left would say something else."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ml.cleaning.columns import ColumnPlan
from ml.cleaning.counts import Counts
from ml.cleaning.flags import LABEL, Flag
from ml.cleaning.likely_causes import cause_of_unreadable, likely_time_format, time_format_hint
from ml.errors import DataError

MOST_ODD_TIMES = 0.1
"""Share of the rows whose times may be unreadable or implausible; those rows are left out and reported."""

_SHOWN = 4  # values that a message shows
_TIMES = (
    "times are ISO 8601 text, dates of the database or file, or Unix epoch numbers; all others need one format, which "
    "formatConfig.timestampFormat names, such as %d.%m.%Y %H:%M"
)


def refuse_times(counts: Counts, column: str, *, most_odd: float = MOST_ODD_TIMES) -> None:
    """Refuse rows too many of which have no usable time.

    Raises DataError, which shows some values, and the format that they seem to have.

    Parameters
    ----------
    column
        Name of the time column.
    most_odd
        Share of rows that may have none; 1 refuses only if no row has one.
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
        hint=(form and time_format_hint(form)) or _TIMES,
    )


def refuse_unreadable(counts: Counts, plan: ColumnPlan, *, new_words: bool = False) -> None:
    """Refuse rows of which a sensor was not understood at all.

    A sensor that is empty throughout may be broken or new, so it is reported and not refused, unless all are. With
    `new_words` a categorical column may have nothing but words that nobody named.

    Raises DataError, which names the column, some of its values, and why they probably could not be read.
    """
    for name, source in plan.sensors.items():
        if name in counts.unreadable and name not in counts.readable:
            examples = counts.unreadable_examples[name]
            if name in counts.word_columns:
                if new_words:
                    continue
                raise DataError(
                    f'no value of the column "{source}" is one of its words: it holds {words_seen(examples)}',
                    field=f"schemaConfig.categoricalColumns.{name}",
                    hint=f"name them: {json.dumps({name: sorted(examples)}, ensure_ascii=False)}",
                )
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
    """Refuse columns that never say failed in a word that is understood, but hold others.

    Raises DataError, which names the words, with the number of times that each was seen.
    """
    label = [flag for flag in plan.flags if flag.name == LABEL]
    flags = label or plan.flags
    failed = any(counts.failed.get(flag.source) for flag in flags)
    for flag in flags:
        silent = not counts.failed.get(flag.source) and flag.source in counts.unreadable
        if flag.failed is None and silent and not (failed and flag.source in counts.readable):
            zero = "0" if flag.inverse else "1"
            raise DataError(
                f'no value of "{flag.source}" says that an asset has failed: it is never '
                f"{'0, false, no or off' if flag.inverse else '1, true, yes or on'}, and holds "
                f"{words_seen(counts.unreadable_examples[flag.source])}, which are neither failed nor healthy",
                field="dataConfig.labelColumn" if label else "schemaConfig.targetColumn",
                hint=f"give a column that is {zero} while the asset is failed"
                + ("" if label else ", or name the words that say so in failureConfig.failureValues"),
            )
    _refuse_words(counts, [flag for flag in flags if flag.failed is not None])


def _refuse_words(counts: Counts, flags: list[Flag]) -> None:
    """Refuse words of which none is one that says failed, unless all are known to say healthy."""
    seen = {flag.source: counts.words[flag.source] for flag in flags if flag.source in counts.words}
    known = flags and flags[0].healthy is not None and not any(source in counts.unreadable for source in seen)
    if not seen or known or any(counts.failed.get(source) for source in seen):
        return
    source, found = next(iter(seen.items()))
    raise DataError(
        f'no value of "{source}" is one of failureConfig.failureValues: it holds {words_seen(found)}',
        field="failureConfig.failureValues",
        hint="name those that say failed; if there was no failure, name the others in failureConfig.healthyValues",
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
