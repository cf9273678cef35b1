"""What the sampling interval, or the backend's own server, makes of windows and lags, as findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ml.config import OrganizationConfig
from ml.findings import Finding
from ml.options.serving_profile import HISTORY_ROWS, LAG_SECONDS, ROLLING_WINDOWS
from ml.windows.defaults import nearest_steps, served_lags, served_windows

ALARM_THRESHOLD = 0.85
"""The probability from which on the backend alarms, where its configuration names none."""


def serving_findings(config: OrganizationConfig, interval: int, threshold: float) -> list[Finding]:
    """What to know about a model of the serving profile on a grid of `interval` seconds; nothing without a profile."""
    if config.feature_config.serving_profile is None:
        return []
    lags, windows = served_lags(config, interval), served_windows(config, interval)
    return [
        *_without_content(lags, windows, interval),
        *_beyond_history(lags, windows),
        *_to_repeat(lags, windows),
        Finding(
            "SERVING_THRESHOLD",
            f"the backend alarms at its own mlModelConfig.thresholds.failureProbability, {ALARM_THRESHOLD} where that "
            f"is not set, whatever this model's threshold is; {threshold:.4g} was chosen here (suggestedThreshold)",
            field="suggestedThreshold",
            hint="set mlModelConfig.thresholds.failureProbability to it",
        ),
    ]


def _without_content(lags: dict[int, int], windows: dict[int, int], interval: int) -> Iterator[Finding]:
    single = [seconds for seconds, samples in windows.items() if samples == 1]
    if single:
        yield Finding(
            "SERVING_WINDOW_OF_ONE_ROW",
            f"rollingWindows are seconds: {_listed(single)} s hold one row of a grid of {interval} s, so their "
            "statistics repeat the reading",
            field="schemaConfig.rollingWindows",
            hint=f"in seconds, such as {_listed(5 * 4**power * interval for power in range(3))}",
        )
    newest = [seconds for seconds, steps in lags.items() if steps == 0]
    if newest:
        yield Finding(
            "SERVING_LAG_OF_NEWEST_ROW",
            f"lagSeconds {_listed(newest)} are nearest to the newest row of a grid of {interval} s, so they repeat the "
            "reading",
            field="schemaConfig.lagSeconds",
            hint=f"in seconds, such as {_listed(power * interval for power in (1, 2, 12))}",
        )


def _beyond_history(lags: dict[int, int], windows: dict[int, int]) -> Iterator[Finding]:
    longest = max([*windows.values(), *(steps + 1 for steps in lags.values())])
    if longest > HISTORY_ROWS:
        yield Finding(
            "SERVING_HISTORY_TOO_SHORT",
            f"the longest window or lag reaches over {longest:,} rows, but the backend's server keeps {HISTORY_ROWS:,};"
            " these features come from fewer rows than the model was trained on",
            field="schemaConfig.rollingWindows",
            hint="use shorter windows and lags, or feed it rows further apart",
        )


def _to_repeat(lags: dict[int, int], windows: dict[int, int]) -> Iterator[Finding]:
    if set(lags) <= set(LAG_SECONDS) and set(windows) <= set(ROLLING_WINDOWS):
        return
    yield Finding(
        "SERVING_WINDOWS_TO_REPEAT",
        f"the backend's server takes lags and windows from mlModelConfig, {_listed(LAG_SECONDS)} and "
        f"{_listed(ROLLING_WINDOWS)} where that names none, and feeds 0 for any other",
        field="schemaConfig.rollingWindows",
        hint=f"set mlModelConfig.lagSeconds to [{_listed(lags)}] and mlModelConfig.rollingWindows to "
        f"[{_listed(windows)}]",
    )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def timing_findings(config: OrganizationConfig, interval: int) -> list[Finding]:
    """Lags that fall between samples or meet the newest row.

    Parameters
    ----------
    config
        The organisation; nothing is said of a serving profile, which `serving_findings` looks at.
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
                f"a lag of {_listed(newest)} s on a grid of {interval} s is the newest row itself and tells nothing; "
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
