from __future__ import annotations

import pytest

from simulation.disturbances import DisturbanceRates
from simulation.station import Station, simulate

QUIET = DisturbanceRates(
    dropouts_per_sensor_day=0,
    stuck_per_sensor_day=0,
    asset_gaps_per_day=0,
    station_gaps_per_day=0,
    repeated_rows=0,
)


@pytest.fixture(scope="session")
def quiet_station() -> Station:
    """An archive that lost nothing: row k of a pump is instant k."""
    return simulate(seed=3, n_assets=4, days=60, rates=QUIET)


@pytest.fixture(scope="session")
def station() -> Station:
    return simulate(seed=3, n_assets=4, days=60)
