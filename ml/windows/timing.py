"""What the sampling interval makes of lags and windows that were written down without it in mind."""

from __future__ import annotations

from ml.config import OrganizationConfig
from ml.findings import Finding
from ml.windows.defaults import nearest_steps

_SERVED_LAGS, _SERVED_WINDOWS = (60, 120), (300,)  # seconds: the defaults of the backend's server


def timing_findings(config: OrganizationConfig, interval: int) -> list[Finding]:
    """Lags that fall between samples or meet the newest row, and windows in seconds that hold one sample.

    Parameters
    ----------
    config
        The organisation; its lags and windows count.
    interval
        Sampling interval in seconds.
    """
    schema = config.schema_config
    in_seconds = getattr(config.feature_config, "serving_profile", None) is not None
    lags = schema.lag_seconds if schema.lag_seconds is not None else _SERVED_LAGS if in_seconds else ()
    windows = (schema.rolling_windows or _SERVED_WINDOWS) if in_seconds else ()
    findings = []
    newest = [lag for lag in lags if nearest_steps(lag, interval) == 0]
    between = [lag for lag in lags if lag % interval and lag not in newest]
    if newest:
        findings.append(
            Finding(
                "LAG_MEETS_NEWEST_ROW",
                f"a lag of {_seconds(newest)} s on a grid of {interval} s is the newest row itself and tells nothing"
                + ("" if in_seconds else "; it is left out"),
                "schemaConfig.lagSeconds",
                f"use lags of {interval} s or more, such as {interval} and {2 * interval}",
            )
        )
    if between:
        taken = ", ".join(f"{lag} s as {nearest_steps(lag, interval) * interval} s" for lag in between[:10])
        findings.append(
            Finding(
                "LAG_BETWEEN_SAMPLES",
                f"the grid has a sample every {interval} s, so lags are read at the nearest one: {taken}",
                "schemaConfig.lagSeconds",
                f"use multiples of {interval}",
            )
        )
    single = [window for window in windows if window < interval]
    if single:
        findings.append(
            Finding(
                "WINDOW_OF_ONE_SAMPLE",
                f"a window of {_seconds(single)} s on a grid of {interval} s holds the newest sample alone and tells "
                "nothing; rollingWindows are seconds here",
                "schemaConfig.rollingWindows",
                f"use {interval} s or more, such as {5 * interval}, {10 * interval} and {20 * interval}",
            )
        )
    return findings


def _seconds(values: list[int]) -> str:
    return ", ".join(map(str, values))
