"""A serving profile: the features that a server computes itself, so that a model for it must be made of exactly these.

The backend's server (docs/backend.md) computes features by rules of its own, under names of its own, and feeds 0 for
every other name. A request in the flat form comes from it, so it gets these features unless it says otherwise.
"""

from __future__ import annotations

from typing import Any

from ml.errors import ConfigError
from ml.findings import Finding
from ml.options.features import FamiliesConfig, FeatureConfig
from ml.options.schema import LONGEST_WINDOW, SHORTEST_WINDOW, SchemaConfig

PROFILE = "featureConfig.servingProfile"
_WINDOWS = "schemaConfig.rollingWindows"
_LONGEST_SECONDS = 366 * 86_400
LAG_SECONDS = (60, 120)
"""What the backend's server uses where its configuration names no lags."""
ROLLING_WINDOWS = (300,)
"""The same for windows, in seconds."""
HISTORY_ROWS = 1_000
"""Rows that it keeps; a window that holds more has only these."""

# What its server knows nothing of, and what becomes of it.
_NOT_SERVED = {
    "counterColumns": "it feeds totals as they stand, so the model gets them as plain readings",
    "operatingColumns": "it knows no operating regimes, so none are learned",
    "categoricalColumns": "it reads every word as 0, so they tell the model nothing",
    "convertTo": "it feeds readings in the source's unit",
    "setPointPairs": "it computes features of single columns only, so there are none of differences",
}


def choose_profile(data: dict[str, Any], *, flat: bool) -> list[Finding]:
    """Set the profile of a request in flat form, in place, and drop what no profile can serve; says what it changed."""
    features, schema = data.get("featureConfig", {}), data.get("schemaConfig")
    if not isinstance(features, dict):
        return []  # the section's own validation says what is wrong
    findings = []
    if flat and "servingProfile" not in features:
        if "families" in features:
            return [_NOT_CHOSEN]
        features = data["featureConfig"] = {**features, "servingProfile": "backend"}
        findings.append(_CHOSEN)
    if features.get("servingProfile") == "backend" and isinstance(schema, dict):
        for key in (key for key in _NOT_SERVED if _names_columns(key, schema.get(key))):
            findings.append(Finding(
                "SERVING_PROFILE_IGNORES",
                f"{key} is left out, because the backend's server computes the features: {_NOT_SERVED[key]}",
                field=f"schemaConfig.{key}",
                hint=f"leave it out, or set {PROFILE} to null for features that use it",
            ))  # fmt: skip
            schema = data["schemaConfig"] = {**schema, key: type(schema[key])()}
    return findings


def _names_columns(key: str, value: Any) -> bool:
    """Whether there are columns to leave out; anything else is left to validation."""
    kind = dict if key == "setPointPairs" else str
    return isinstance(value, list | tuple | dict) and bool(value) and all(isinstance(each, kind) for each in value)


def check_profile(schema: SchemaConfig, features: FeatureConfig) -> None:
    """Refuse what does not go together.

    Raises ConfigError if families are chosen beside a profile, or windows are no lengths in samples where they have to
    be.
    """
    for position, window in enumerate(schema.rolling_windows or ()):
        if features.serving_profile is None:
            check_window(position, window)
        else:
            _require(position, window, 1, _LONGEST_SECONDS)
    if features.serving_profile is not None and features.families != FamiliesConfig():
        raise ConfigError(
            f'featureConfig.families has no meaning under {PROFILE} "{features.serving_profile}", which fixes the '
            "features",
            field="featureConfig.families",
            hint=f"leave families out, or set {PROFILE} to null",
        )


def check_window(position: int, samples: int) -> None:
    """Refuse a window that is no length in samples; raises ConfigError."""
    _require(position, samples, SHORTEST_WINDOW, LONGEST_WINDOW)


def check_served_window(position: int, seconds: int, interval: int) -> None:
    """Refuse a window of the profile that holds too many samples of a grid; raises ConfigError."""
    samples = seconds // interval + 1
    if samples > LONGEST_WINDOW:
        raise ConfigError(
            f"{_WINDOWS}[{position}]: {seconds:,} s are {samples:,} samples of {interval} s; "
            f"allowed are {LONGEST_WINDOW:,} samples",
            field=f"{_WINDOWS}[{position}]",
            hint=f"set dataConfig.samplingIntervalSeconds to {-(-seconds // (LONGEST_WINDOW - 1)):,} or more, "
            "or use a shorter window",
        )


def _require(position: int, value: int, least: int, most: int) -> None:
    if least <= value <= most:
        return
    bound = f"greater than or equal to {least}" if value < least else f"less than or equal to {most}"
    raise ConfigError(
        f"{_WINDOWS}[{position}]: Input should be {bound} (got {value})",
        field=f"{_WINDOWS}[{position}]",
        hint=f'they are samples; in seconds they are written under {PROFILE} "backend" only' if most < value else None,
    )


_CHOSEN = Finding(
    "SERVING_PROFILE_CHOSEN",
    "the request is in the backend's form, so the model gets exactly the features that the backend's server computes; "
    "rollingWindows are seconds there",
    field=PROFILE,
    hint=f"for this program's own features, which predict better, set {PROFILE} to null and serve window.onnx",
)
_NOT_CHOSEN = Finding(
    "SERVING_PROFILE_NOT_CHOSEN",
    "the request is in the backend's form, but names featureConfig.families, which the backend's server does not "
    "compute: it would feed 0 for every feature",
    field=PROFILE,
    hint=f"leave families out for a model that it can serve, or set {PROFILE} to null and serve window.onnx",
)
