from __future__ import annotations

from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.windows.catalogue import list_features
from ml.windows.serving import timing_findings


def config(lags: list[int]) -> OrganizationConfig:
    schema: dict[str, Any] = {"continuousColumns": ["x"], "lagSeconds": lags}
    return OrganizationConfig.from_dict({"organizationId": "plant", "schemaConfig": schema})


@pytest.mark.parametrize(
    ("lags", "taken", "codes"),
    [
        ([60, 120], [60, 120], []),
        ([60, 100], [60, 120], ["LAG_BETWEEN_SAMPLES"]),
        ([90], [120], ["LAG_BETWEEN_SAMPLES"]),
        ([100, 120, 130], [120], ["LAG_BETWEEN_SAMPLES"]),
        ([29], [], ["LAG_MEETS_NEWEST_ROW"]),
        ([30], [60], ["LAG_BETWEEN_SAMPLES"]),
        ([10, 70], [60], ["LAG_MEETS_NEWEST_ROW", "LAG_BETWEEN_SAMPLES"]),
    ],
)
def test_a_lag_is_that_of_the_nearest_sample_and_told(lags: list[int], taken: list[int], codes: list[str]) -> None:
    names = [feature.name for feature in list_features(config(lags), 60) if "__lag__" in feature.name]
    assert names == [f"x__lag__{seconds}s" for seconds in taken]
    assert [finding.code for finding in timing_findings(config(lags), 60)] == codes


def test_the_backends_defaults_on_a_grid_of_five_minutes() -> None:
    newest, between = timing_findings(config([60, 120, 200, 300]), 300)
    assert (
        newest.message
        == "a lag of 60, 120 s on a grid of 300 s is the newest row itself and tells nothing; it is left out"
    )
    assert newest.hint == "use lags of 300 s or more, such as 300 and 600"
    assert "200 s as 300 s" in between.message
