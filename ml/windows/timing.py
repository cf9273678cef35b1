"""What the sampling interval makes of lags that were written down without it in mind."""

from __future__ import annotations

from ml.config import OrganizationConfig
from ml.findings import Finding
from ml.windows.defaults import nearest_steps


def timing_findings(config: OrganizationConfig, interval: int) -> list[Finding]:
    """Lags that fall between samples or meet the newest row.

    Parameters
    ----------
    config
        The organisation; nothing is said of a serving profile, which `ml.windows.serving` looks at.
    interval
        Sampling interval in seconds.
    """
    lags = config.schema_config.lag_seconds or ()
    if config.feature_config.serving_profile is not None:
        return []
    findings = []
    newest = [lag for lag in lags if nearest_steps(lag, interval) == 0]
    between = [lag for lag in lags if lag % interval and lag not in newest]
    if newest:
        findings.append(
            Finding(
                "LAG_MEETS_NEWEST_ROW",
                f"a lag of {_seconds(newest)} s on a grid of {interval} s is the newest row itself and tells nothing; "
                "it is left out",
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
    return findings


def _seconds(values: list[int]) -> str:
    return ", ".join(map(str, values))
