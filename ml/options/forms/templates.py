"""Starting points by industry: what an organisation need not write down again.

A template only fills keys that the organisation leaves out. Roles of columns that it does not have are dropped.
"""

from __future__ import annotations

from typing import Any

TEMPLATES: dict[str, dict[str, Any]] = {
    "manufacturing": {
        "schemaConfig": {
            "continuousColumns": ["temperature", "pressure", "vibration", "current"],
            "columnRoles": {
                "temperature": "temperature",
                "pressure": "pressure",
                "flow_rate": "flow",
                "vibration": "vibration",
                "current": "current",
                "voltage": "voltage",
                "rpm": "speed",
                "power_consumption": "power",
            },
        },
        "dataConfig": {"predictionHorizonSeconds": 86_400},
    },
    "power_generation": {
        "schemaConfig": {
            "continuousColumns": ["generator_temp", "turbine_speed", "power_output"],
            "columnRoles": {
                "generator_temp": "temperature",
                "bearing_temp": "temperature",
                "turbine_speed": "speed",
                "power_output": "power",
                "bearing_vibration": "vibration",
                "stator_current": "current",
                "stator_voltage": "voltage",
                "steam_pressure": "pressure",
                "steam_flow": "flow",
            },
        },
        "dataConfig": {"predictionHorizonSeconds": 172_800},
    },
    "chemical_process": {
        "schemaConfig": {
            "continuousColumns": ["reactor_temperature", "reactor_pressure", "feed_flow"],
            "columnRoles": {
                "reactor_temperature": "temperature",
                "jacket_temperature": "temperature",
                "reactor_pressure": "pressure",
                "feed_flow": "flow",
                "agitator_speed": "speed",
                "agitator_current": "current",
                "agitator_power": "power",
            },
        },
        "dataConfig": {"predictionHorizonSeconds": 28_800, "aggregation": "mean"},
    },
}


def fill_from_template(data: dict[str, Any]) -> dict[str, Any]:
    """The configuration with its industry's defaults under it; unknown industries are left to validation."""
    industry = data.get("industry")
    if not isinstance(industry, str) or industry not in TEMPLATES:
        return data
    template = TEMPLATES[industry]
    filled = _merge(template, data)
    schema = filled["schemaConfig"]
    if isinstance(schema, dict) and isinstance(schema.get("columnRoles"), dict):
        own = (data.get("schemaConfig") or {}).get("columnRoles") or {}
        columns = schema.get("continuousColumns")
        present = columns if isinstance(columns, list | tuple) else ()  # anything else is left to validation
        schema["columnRoles"] = {k: v for k, v in schema["columnRoles"].items() if k in present or k in own}
    return filled


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
