"""Windows and lags for organisations that name none, derived from the sampling interval and the horizon.

Short windows alone lose most of the signal of slow wear: on a turbofan benchmark with a horizon of 30 samples, windows
of 5, 10 and 20 samples reach an average precision of 0.86, and 5 to 80 samples 0.957.
"""

from __future__ import annotations

from ml.config import OrganizationConfig
from ml.options import serving_profile
from ml.options.data import DataConfig
from ml.options.schema import SchemaConfig

_SHORTEST = 5
_COUNT = 5
# The longest window spans 8/3 of the horizon (80 samples for 30), within what is still quick to compute and to fill.
_LONGEST_PER_HORIZON = 8 / 3
_LONGEST_AT_LEAST, _LONGEST_AT_MOST = 40, 512
# A fault must stay short against the past it is compared with, or the past learns it.
_HISTORY_PER_WINDOW, _HISTORY_AT_LEAST, _HISTORY_AT_MOST = 8, 512, 2048


def rolling_windows(schema: SchemaConfig, data: DataConfig, interval: int) -> tuple[int, ...]:
    """Window lengths in samples, ascending: the configured ones, or a geometric series up to 8/3 of the horizon."""
    if schema.rolling_windows is not None:
        for position, window in enumerate(schema.rolling_windows):
            serving_profile.check_window(position, window)
        return tuple(sorted(schema.rolling_windows))
    wanted = round(_LONGEST_PER_HORIZON * data.prediction_horizon_seconds / interval)
    longest = min(max(wanted, _LONGEST_AT_LEAST), _LONGEST_AT_MOST)
    ratio = (longest / _SHORTEST) ** (1 / (_COUNT - 1))
    return tuple(round(_SHORTEST * ratio**power) for power in range(_COUNT))


def history_samples(windows: tuple[int, ...]) -> int:
    """Samples of an asset's own past: eight times the longest window, from 512 to 2048."""
    longest = windows[-1]
    return max(longest + 1, min(max(_HISTORY_PER_WINDOW * longest, _HISTORY_AT_LEAST), _HISTORY_AT_MOST))


def lag_steps(schema: SchemaConfig, data: DataConfig, interval: int) -> tuple[int, ...]:
    """Lags in samples, ascending: the configured ones, or one sample, the shortest and the middle default window.

    A lag between two samples is that of the nearest; one that is nearer to the newest row than to any other is none.
    """
    if schema.lag_seconds is not None:
        return tuple(sorted({nearest_steps(seconds, interval) for seconds in schema.lag_seconds} - {0}))
    windows = rolling_windows(schema, data, interval)
    return tuple(sorted({1, windows[0], windows[len(windows) // 2]}))


def nearest_steps(seconds: int, interval: int) -> int:
    """Samples back to the one nearest to `seconds` ago, the older one of two as near."""
    return (2 * seconds + interval) // (2 * interval)


def served_windows(config: OrganizationConfig, interval: int) -> dict[int, int]:
    """Window lengths of the serving profile, ascending: seconds -> samples, of which both ends of the window are two.

    Raises ConfigError if a window holds too many samples.
    """
    configured = config.schema_config.rolling_windows
    windows = serving_profile.ROLLING_WINDOWS if configured is None else configured
    for position, seconds in enumerate(windows):
        serving_profile.check_served_window(position, seconds, interval)
    return {seconds: seconds // interval + 1 for seconds in sorted(windows)}


def served_lags(config: OrganizationConfig, interval: int) -> dict[int, int]:
    """Lags of the serving profile, ascending: seconds -> samples to the nearest row, the older one of two as near."""
    configured = config.schema_config.lag_seconds
    lags = serving_profile.LAG_SECONDS if configured is None else configured
    return {seconds: nearest_steps(seconds, interval) for seconds in sorted(lags)}
