"""What was found in a source, as a person reads it on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ml.wording import duration, plural

_MOST_COLUMNS = 60
_MOST_ASSETS = 5


def as_text(result: Mapping[str, Any]) -> str:
    """The result of the command as lines."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    all_rows = "all" if result["allRowsLookedAt"] else "the first"
    yield f"{result['source']}: {all_rows} {result['rowsLookedAt']:,} rows looked at"
    if result["notation"]:
        yield "written with " + ", ".join(f"{key} {value!r}" for key, value in result["notation"].items())
    yield ""
    width = max((len(column["name"]) for column in result["columns"][:_MOST_COLUMNS]), default=0)
    for column in result["columns"][:_MOST_COLUMNS]:
        missing = f", {column['missingShare']:.1%} missing" if column["missingShare"] else ""
        yield f"  {column['name']:<{width}}  {column['kind']:<11}  {', '.join(column['examples'])}{missing}"
    if len(result["columns"]) > _MOST_COLUMNS:
        yield f"  and {len(result['columns']) - _MOST_COLUMNS:,} more"
    yield ""
    for part, names in result["candidates"].items():
        if names:
            yield f"{part}: {' or '.join(names[:_MOST_ASSETS])}"
    intervals = list(result["intervalSeconds"].items())
    if intervals:
        shown = ", ".join(f"{asset} every {duration(seconds)}" for asset, seconds in intervals[:_MOST_ASSETS])
        yield f"{plural(result['assets'], 'asset')}: {shown}" + (", ..." if result["assets"] > _MOST_ASSETS else "")
    yield from (f"- {finding}" for finding in result["findings"])
    if result["refusal"]:
        yield f"data_prep would refuse it: {result['refusal']['message']}"
        if result["refusal"]["hint"]:
            yield f"  {result['refusal']['hint']}"
    for need in result["needs"]:
        yield f"Only you can know: {need['message']}"
        if need.get("hint"):
            yield f"  {need['hint']}"
    if result["configPath"]:
        yield f"written: {result['configPath']}"
    elif result["ready"]:
        yield "Add --write CONFIG.json to have a configuration that data_prep runs with."
