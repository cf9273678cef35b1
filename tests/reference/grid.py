"""The grid, one cell at a time, straight from its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd


def naive_grid(frame, schema, interval, max_gap, aggregation="last", own_gaps=None):
    """As `ml.grid.regular.to_grid`, for sorted readings without repeated instants."""
    rows = []
    segment = 0
    for asset in sorted(set(frame["asset_id"])):
        readings = [r for r in frame.to_dict("records") if r["asset_id"] == asset]
        for reading in readings:
            reading["s"] = reading["timestamp"].timestamp()
        limit = (own_gaps or {}).get(asset, max_gap)
        for part in _segments(readings, limit):
            g = math.ceil(part[0]["s"] / interval) * interval
            while g <= math.ceil(part[-1]["s"] / interval) * interval:
                rows.append(_row(part, g, asset, segment, schema, interval, limit, aggregation))
                g += interval
            segment += 1
    return pd.DataFrame(rows)


def _segments(readings, max_gap):
    parts = [[readings[0]]]
    for before, reading in itertools.pairwise(readings):
        if reading["s"] - before["s"] > max_gap:
            parts.append([])
        parts[-1].append(reading)
    return parts


def _row(part, g, asset, segment, schema, interval, max_gap, aggregation):
    row = {"asset_id": asset, "timestamp": pd.Timestamp(g, unit="s", tz="UTC"), "segment": segment}
    flags = [name for name in ("target", "label") if name in part[0]]
    for name in [*schema.sensor_columns, *flags]:
        counter = name in schema.counter_columns
        number = float if counter else np.float32
        known = [(r["s"], number(r[name])) for r in part if not math.isnan(r[name])]
        inside = [value for s, value in known if g - interval < s <= g]
        before = [(s, value) for s, value in known if s <= g]
        last = before[-1][1] if before and g - before[-1][0] <= max_gap else math.nan
        if name in schema.boolean_columns or name in flags:
            state = float(any(value == 1 for value in inside)) if inside else last
            unknown = name in flags and (state == 0.5 or (0.5 in inside and state != 1))
            row[name] = math.nan if unknown else state
        elif aggregation == "mean" and not counter and inside:
            row[name] = np.float32(sum(float(value) for value in inside) / len(inside))
        else:
            row[name] = last
    return row
