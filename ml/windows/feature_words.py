"""Features as people say them: "vibration, median of 6 h" for ``vibration__median__w=24``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from ml import wording
from ml.windows.catalogue import Feature
from ml.windows.channels import Constants

_DETAIL = re.compile(r"(?P<name>.+?)__(?P<what>\w+?)(?:__(?P<detail>.+))?")
_OF_A_WINDOW = {
    "mean": "mean of {}", "std": "spread over {}", "min": "lowest of {}", "max": "highest of {}",
    "median": "median of {}", "slope": "slope over {}", "distance": "distance from the mean of {}",
    "health": "health over {}", "share_on": "share of {} that it was on", "changes": "changes within {}",
    "since_change": "time since it changed, up to {}", "history": "now against its own {}",
}  # fmt: skip
_PLAIN = {
    "value": "now", "rate": "rate of change", "acceleration": "acceleration", "percent": "change in percent",
    "since": "seconds ago", "zscore": "distance from normal", "outlier": "outlier", "stress": "above normal",
    "hour_sin": "time of day", "hour_cos": "time of day", "weekday_sin": "day of the week",
    "weekday_cos": "day of the week",
}  # fmt: skip
_OF_TWO = {
    "product": "{} times {}", "ratio": "{} over {}", "electrical_power": "electrical power of {} and {}",
    "hydraulic_power": "hydraulic power of {} and {}", "flow_efficiency": "efficiency of {} and {}",
}  # fmt: skip
_AGAINST_LONGER = {
    "trend": "mean of {} against that of {}", "history_mean": "mean of {} against its own {}",
    "history_std": "spread over {} against its own {}",
}  # fmt: skip
_LEVELS = ("value", "lag", "mean", "min", "max", "median")
"""Functions whose value lies where the sensor's does, so that it has a distance from normal."""
_IN_DEVIATIONS = ("zscore", "distance", "stress", "history", "history_mean")
_AS_NORMAL = 0.05


def feature_in_words(name: str, interval: int) -> str:
    """What a feature is, in words; its name where it is none of the catalogue's.

    Parameters
    ----------
    interval
        Seconds between rows of the grid.

    >>> feature_in_words("vibration__median__w=24", 900), feature_in_words("vibration__trend__w=4-96", 900)
    ('vibration, median of 6 h', 'vibration, mean of 1 h against that of 24 h')
    >>> feature_in_words("pressure__ratio__flow_rate", 900), feature_in_words("flow__lag__900s", 900)
    ('pressure over flow_rate', 'flow, 15 min ago')
    """
    found = _DETAIL.fullmatch(name)
    if found is None:
        return name.replace("_", " ") if name == "operating_regime" else name
    sensor, what, detail = found["name"], found["what"], found["detail"]
    if what in _PLAIN and detail is None:
        return _PLAIN[what] if sensor == "time" else f"{sensor}, {_PLAIN[what]}"
    if what in _OF_TWO and detail:
        return _OF_TWO[what].format(sensor, detail)
    seconds = [float(number) for number in re.findall(r"\d+", detail or "")]
    if what == "lag" and len(seconds) == 1:
        return f"{sensor}, {wording.duration(seconds[0])} ago"
    spans = [wording.duration(number * interval) for number in seconds]
    if what in _AGAINST_LONGER and len(spans) == 2:
        return f"{sensor}, {_AGAINST_LONGER[what].format(*spans)}"
    if what in _OF_A_WINDOW and len(spans) == 1:
        return f"{sensor}, {_OF_A_WINDOW[what].format(spans[0])}"
    return name


def value_teller(interval: int, constants: Mapping[str, Constants]) -> Callable[[Feature, float], str]:
    """What tells a feature and its value: by its distance from what training found normal, where it has one.

    Parameters
    ----------
    constants
        What was normal for each sensor, after regime normalisation.
    """

    def tell(feature: Feature, value: float) -> str:
        words = feature_in_words(feature.name, interval)
        if math.isnan(value):
            return f"{words}: missing"
        found = _DETAIL.fullmatch(feature.name)
        what = found["what"] if found else ""
        normal = constants.get(found["name"]) if found else None
        if what in _IN_DEVIATIONS:
            return f"{words}: {_deviation(value)}"
        if what in _LEVELS and normal is not None:
            return f"{words}: {_deviation((value - normal.mean) / normal.scale)}"
        return f"{words}: {value:.4g}"

    return tell


def _deviation(deviation: float) -> str:
    if abs(deviation) < _AS_NORMAL:
        return "as normal"
    return f"{abs(deviation):.1f} σ {'above' if deviation > 0 else 'below'} normal"  # noqa: RUF001 - the Greek letter
