"""Units that readings may be converted between: each is a factor and an offset to the base unit of its quantity."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

_UNITS: dict[str, dict[str, tuple[str, str]]] = {  # names, the first of which messages use -> factor and offset to base
    "temperature": {
        "K|kelvin": ("1", "0"),
        "°C|C|degC|celsius": ("1", "273.15"),
        "°F|F|degF|fahrenheit": ("5/9", "45967/180"),
    },
    "pressure": {
        "Pa": ("1", "0"),
        "hPa|mbar": ("100", "0"),
        "kPa": ("1000", "0"),
        "MPa": ("1000000", "0"),
        "bar": ("100000", "0"),
        "psi": ("6894.757293168361", "0"),
        "atm": ("101325", "0"),
    },
    "length": {
        "m": ("1", "0"),
        "mm": ("1/1000", "0"),
        "cm": ("1/100", "0"),
        "km": ("1000", "0"),
        "in|inch": ("0.0254", "0"),
        "ft": ("0.3048", "0"),
    },
    "speed": {
        "m/s": ("1", "0"),
        "mm/s": ("1/1000", "0"),
        "km/h|kmh": ("1/3.6", "0"),
        "in/s|ips": ("0.0254", "0"),
        "ft/s": ("0.3048", "0"),
        "mph": ("0.44704", "0"),
    },
    "flow": {
        "m³/h|m3/h": ("1", "0"),
        "m³/s|m3/s": ("3600", "0"),
        "l/s": ("3.6", "0"),
        "l/min": ("0.06", "0"),
        "l/h": ("1/1000", "0"),
        "gpm|gal/min": ("0.2271247076664", "0"),
    },
    "power": {"W": ("1", "0"), "kW": ("1000", "0"), "MW": ("1000000", "0"), "hp": ("745.6998715822702", "0")},
    "rotation": {"rpm|1/min": ("1", "0"), "Hz|1/s": ("60", "0")},
}


class Conversion(NamedTuple):
    """A reading in another unit is ``reading * factor + offset``, each step rounded to float64."""

    factor: float
    offset: float


AS_IT_IS = Conversion(1.0, 0.0)


def conversion(source: str, target: str) -> Conversion | None:
    """How readings in one unit become those in another; None where they cannot, or one of them is not known.

    >>> conversion("°F", "degC")
    Conversion(factor=0.5555555555555556, offset=-17.77777777777778)
    """
    for units in _UNITS.values():
        known = {name: scale for names, scale in units.items() for name in names.split("|")}
        if source in known and target in known:
            (factor, offset), (own, shift) = (tuple(map(_number, known[unit])) for unit in (source, target))
            return Conversion(float(factor / own), float((offset - shift) / own))
    return None


def known_units() -> str:
    """All units, by quantity, for messages."""
    return "; ".join(", ".join(names.split("|")[0] for names in units) for units in _UNITS.values())


def _number(text: str) -> Fraction:
    above, _, below = text.partition("/")
    return Fraction(above) / Fraction(below or "1")
