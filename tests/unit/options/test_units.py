"""Units: factors and offsets, what is refused, and that a converted source gives the readings of the other."""

import numpy as np
import pandas as pd
import pytest

from ml.cleaning.table import from_table
from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.options.columns.units import _UNITS, conversion


@pytest.mark.parametrize(
    ("reading", "source", "target", "expected"),
    [
        (212.0, "°F", "°C", 100.0),
        (-40.0, "degF", "celsius", -40.0),
        (0.0, "K", "°C", -273.15),
        (14.5037738, "psi", "bar", 1.0),
        (1.0, "bar", "kPa", 100.0),
        (36.0, "km/h", "m/s", 10.0),
        (1.0, "in", "mm", 25.4),
        (60.0, "l/min", "m³/h", 3.6),
        (1.0, "gpm", "l/min", 3.785411784),
        (50.0, "Hz", "rpm", 3000.0),
        (1.0, "hp", "kW", 0.7457),
        (1.0, "MPa", "psi", 145.0377),
    ],
)
def test_known_values(reading, source, target, expected):
    factor, offset = conversion(source, target)
    assert reading * factor + offset == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("units", _UNITS.values(), ids=_UNITS)
def test_there_and_back_is_the_reading(units):
    names = [name for names in units for name in names.split("|")]
    for one in names:
        for other in names:
            there, back = conversion(one, other), conversion(other, one)
            reading = (20.5 * there.factor + there.offset) * back.factor + back.offset
            assert np.float32(reading) == pytest.approx(20.5, rel=1e-6), (one, other)


def test_units_of_other_quantities_and_unknown_ones_are_no_conversion():
    assert conversion("°C", "bar") is None
    assert conversion("furlong", "m") is None


def configured(**schema):
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {"continuousColumns": ["temp", "total"], "counterColumns": ["total"], **schema},
        }
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"convertTo": {"tmp": "K"}}, "convertTo names tmp.*did you mean temp"),
        ({"convertTo": {"temp": "K"}}, "columnUnits must name the unit"),
        ({"convertTo": {"temp": "bar"}, "columnUnits": {"temp": "°C"}}, "°C cannot be converted to bar; known are K"),
        ({"convertTo": {"total": "K"}, "columnUnits": {"total": "°C"}}, "a total in °C cannot be one in K"),
    ],
)
def test_what_cannot_be_converted_is_refused(schema, message):
    with pytest.raises(ConfigError, match=message):
        configured(**schema)


def test_readings_are_converted_before_they_are_rounded_and_limited():
    config = configured(columnUnits={"temp": "°F"}, convertTo={"temp": "°C"}, validRange={"temp": [None, 99.0]})
    times = pd.date_range("2024-01-01", periods=4, freq="min", tz="UTC")
    table = pd.DataFrame({"timestamp": times, "temp": ["68.5", "212", "", "1e308"], "total": [1.0, 2.0, 3.0, 4.0]})
    readings = from_table(table, config)
    assert readings.frame["temp"].dtype == np.float32
    factor, offset = conversion("°F", "°C")
    assert readings.frame["temp"].iloc[0] == np.float32(68.5 * factor + offset)
    assert readings.frame["temp"].iloc[1:].isna().all()
    assert readings.counts.out_of_range == {"temp": 2}
    assert config.schema_config.units == {"temp": "°C"}


def test_prepared_data_depends_on_units_where_they_are_converted_only():
    plain = configured()
    assert configured(columnUnits={"temp": "K"}).settings_digest() == plain.settings_digest()
    kelvin, fahrenheit = (configured(columnUnits={"temp": unit}, convertTo={"temp": "°C"}) for unit in ("K", "°F"))
    assert len({each.settings_digest() for each in (plain, kelvin, fahrenheit)}) == 3
