"""The score of a model of normal behaviour for one row, sample by sample and sensor by sensor, in plain Python."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

from ml.export.graph.normal import NormalForm


def naive_scores(form: NormalForm, row: Any) -> float:
    """The score of one row of features."""
    recent = [naive_residuals(form, [float(row[at]) for at in places]) for places in form.places[: form.recent]]
    past = [naive_residuals(form, [float(row[at]) for at in places]) for places in form.places[form.recent :]]
    squares, largest, sensors = 0.0, 0.0, 0
    for at in range(len(form.center)):
        known = [sample[at] for sample in recent if sample[at] is not None]
        if not known:
            continue
        mean = sum(known) / max(len(known), math.ceil(form.recent / 4))
        if past:
            before = [sample[at] for sample in past if sample[at] is not None]
            mean -= sum(before) / (len(before) + math.ceil(len(past) / 4))
        size = abs((mean - form.mean_center[at]) / form.mean_spread[at])
        squares, largest, sensors = squares + min(size, 4.0) ** 2, max(largest, size**2), sensors + 1
    return max(squares / max(sensors, 1) / form.mean_limit, largest / form.single_limit)


def naive_residuals(form: NormalForm, channels: list[float]) -> list[float | None]:
    """The clipped residual of each sensor; None where there is none."""
    found: list[float | None] = []
    rule = form.runs_when
    told = math.nan if rule is None else channels[rule.channel]
    off = rule is not None and not math.isnan(told) and not (told == rule.bound if rule.equals else told > rule.bound)
    for group in form.groups:
        operating = [channels[at] for at in group.operating]
        for number, sensor in enumerate(group.sensors):
            if off or math.isnan(channels[sensor]) or any(math.isnan(value) for value in operating):
                found.append(None)
                continue
            z = [
                (min(max(value, group.low[at]), group.high[at]) - group.mean[at]) / group.std[at]
                for at, value in enumerate(operating)
            ]
            terms = z + [x**2 for x in z] + [x**3 for x in z] + [x * y for x, y in combinations(z, 2)]
            expected = group.intercept[number] + sum(
                group.weights[term, number] * value for term, value in enumerate(terms)
            )
            place = len(found)
            rest = (channels[sensor] - expected - form.center[place]) / form.spread[place]
            found.append(min(max(rest, -10.0), 10.0))
    return found
