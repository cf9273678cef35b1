"""Names of features, led back to the sensors that they are made of.

After a deployment the backend sends the feature names of the last ``metrics.json`` where it sends columns at first.
`ml.windows.catalogue` makes these names; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_OF_ONE_SENSOR = re.compile(
    r"(?P<sensor>.+?)(?:"
    r"__(?:value|category|lag__\d+s|(?:mean|std|min|max|median|slope)__w=\d+|rate|acceleration|percent|zscore|outlier"
    r"|distance__w=\d+|stress|trend__w=\d+-\d+|health__w=\d+|share_on__w=\d+|changes__w=\d+|since_change__w=\d+)"
    r"|_lag_\d+s?|_rolling_\d+s?_[a-z]+|_rolling_[a-z]+_\d+s?)"
)
_OF_TWO_SENSORS = re.compile(r"__(?:product|ratio|electrical_power|hydraulic_power|flow_efficiency)__")
_OF_NONE = re.compile(r"time__(?:hour|weekday)_(?:sin|cos)|operating_regime")


def sensors_of(name: str, known: Collection[str] = ()) -> tuple[str, ...] | None:
    """The sensors that a feature of this name is made of; None if it is not the name of a feature.

    Parameters
    ----------
    name
        Such as ``temperature_lag_60s``, ``pressure__product__flow`` or ``time__hour_sin``, which is of no sensor.
    known
        The organisation's sensors, which tell where a name ends that reads like a feature itself. Empty: not known.
    """
    if _OF_NONE.fullmatch(name):
        return ()
    matched = _OF_ONE_SENSOR.fullmatch(name)
    if matched and (not known or matched["sensor"] in known):
        return (matched["sensor"],)
    pairs = [(name[: mark.start()], name[mark.end() :]) for mark in _OF_TWO_SENSORS.finditer(name)]
    pair = next((pair for pair in pairs if not known or all(name in known for name in pair)), None)
    if pair is not None:
        return pair
    return (matched["sensor"],) if matched else pairs[0] if pairs else None
