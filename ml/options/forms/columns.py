"""Columns as the backend's form stores them: a list with settings for each, in the source's names or in ours.

``schemaConfig`` of that form is ``{"columns": [...], "columnConfigs": {...}}``. Which of the columns are two-state
signals stands in their settings, if at all; the time, the target and a row's number are in the list as well.
"""

from __future__ import annotations

from typing import Any

from ml.errors import ConfigError
from ml.findings import Finding
from ml.options.forms.keys import Json
from ml.options.forms.strict_json import parse_part
from ml.options.schema import DEFAULT_TIMESTAMP_COLUMNS

_TYPE_KEYS = ("type", "dataType", "kind")
_TWO_STATE = {"boolean", "bool", "digital", "binary", "bit"}
_NO_SENSOR = {"string", "text", "varchar", "char", "uuid", "date", "time", "datetime", "timestamp", "timestamptz"}
_NEVER_SENSORS = ("id", "failure_indicator", *DEFAULT_TIMESTAMP_COLUMNS)
_LISTS = ("continuousColumns", "booleanColumns", "counterColumns", "operatingColumns")
_BY_COLUMN = ("categoricalColumns", "columnRoles", "columnUnits", "convertTo", "validRange", "stuckAfterSeconds")
_ONE_COLUMN = ("targetColumn", "assetColumn", "timestampColumn")


def fold_columns(data: Json, findings: list[Finding]) -> set[str]:
    """Bring the columns of ``schemaConfig`` into our form, in place; gives those that were guessed.

    Raises ConfigError if a list of columns is none.
    """
    if not isinstance(data.get("schemaConfig"), dict):
        return set()
    schema = dict(data["schemaConfig"])
    for key in (*_LISTS, "columns"):
        if isinstance(schema.get(key), str):
            schema[key] = column_list(schema[key], f"schemaConfig.{key}")
    for key in ("columnMapping", "columnConfigs", *_BY_COLUMN):
        if isinstance(schema.get(key), str):
            schema[key] = parse_part(schema[key], f"schemaConfig.{key}")
    guessed = _from_columns(schema, findings)
    _rename(schema, findings)
    data["schemaConfig"] = schema
    return {in_our_names(schema, name) for name in guessed}


def column_list(value: Any, field: str) -> list[str]:
    """A list of names, also as JSON text; raises ConfigError for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parse_part(value, field)
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{field} must be a list of column names", field=field)
    return [name for name in value if name.strip()]


def listed(schema: Json, key: str) -> list[str] | None:
    """The names under `key`, none if it is not there; None if it is no list of names."""
    value = schema.get(key) or []
    is_list = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    return list(value) if is_list else None


def in_our_names(schema: Json, name: str) -> str:
    """The name that columnMapping gives to a column of the source; any other name as it is."""
    mapping = schema.get("columnMapping")
    if not isinstance(mapping, dict) or not isinstance(name, str) or name in mapping.values():
        return name
    ours = mapping.get(name)
    return ours if isinstance(ours, str) else name


def other_columns(schema: Json) -> set[str]:
    """The columns that the schema names for something else than readings."""
    named = (schema.get(key) for key in (*_ONE_COLUMN, "organizationColumn"))
    return {name for name in named if isinstance(name, str)}


def _from_columns(schema: Json, findings: list[Finding]) -> list[str]:
    """Take ``columns`` and ``columnConfigs`` out of the schema, and its sensors from there where it names none."""
    columns, configs = schema.pop("columns", None), schema.pop("columnConfigs", None)
    if columns is None and configs is None:
        return []
    settings = _settings(columns, configs)
    if schema.get("continuousColumns") or not settings:
        return []
    other = {*_NEVER_SENSORS, *other_columns(schema)}
    booleans = listed(schema, "booleanColumns") or []
    kinds = {name: _kind(each) for name, each in settings.items()}
    guessed = [name for name, kind in kinds.items() if kind != "none" and name not in other and name not in booleans]
    continuous = [name for name in guessed if kinds[name] == "continuous"]
    two_state = [name for name in guessed if kinds[name] == "boolean"]
    schema["continuousColumns"] = continuous
    schema["booleanColumns"] = [*booleans, *two_state]
    units = {name: unit for name in continuous if isinstance(unit := settings[name].get("unit"), str) and unit.strip()}
    if units:
        own = schema.get("columnUnits")
        schema["columnUnits"] = {**units, **(own if isinstance(own, dict) else {})}
    rest = [name for name in settings if name not in guessed]
    findings.append(
        Finding(
            "COLUMNS_GUESSED",
            f"schemaConfig names no continuousColumns; {', '.join(continuous[:20]) or 'none'} of its columns are taken "
            f"for readings and {', '.join(two_state[:20]) or 'none'} for two-state signals"
            + (f"; {', '.join(rest[:20])} not used" if rest else ""),
            "schemaConfig.columns",
            "name them in schemaConfig.continuousColumns and booleanColumns",
        )
    )
    return guessed


def _settings(columns: Any, configs: Any) -> dict[str, Json]:
    """Settings by column, in the order of ``columns``; raises ConfigError for what has no names."""
    if not isinstance(columns, list | tuple | dict | None):
        raise ConfigError("schemaConfig.columns must be a list of column names", field="schemaConfig.columns")
    by_name: dict[str, Json] = {}
    for entry in columns or ():
        name = entry.get("name", entry.get("column")) if isinstance(entry, dict) else entry
        if not isinstance(name, str):
            raise ConfigError("schemaConfig.columns must be a list of column names", field="schemaConfig.columns")
        by_name[name] = dict(entry) if isinstance(entry, dict) else {}
    if configs is not None and not isinstance(configs, dict):
        raise ConfigError("schemaConfig.columnConfigs must be an object", field="schemaConfig.columnConfigs")
    for name, each in (configs or {}).items():
        by_name[name] = {**by_name.get(name, {}), **(each if isinstance(each, dict) else {})}
    return by_name


def _kind(settings: Json) -> str:
    words = next((settings[key] for key in _TYPE_KEYS if isinstance(settings.get(key), str)), "").lower()
    return "boolean" if words in _TWO_STATE else "none" if words in _NO_SENSOR else "continuous"


def _rename(schema: Json, findings: list[Finding]) -> None:
    """Write columns that are named as the source names them as columnMapping does."""
    mapping = schema.get("columnMapping")
    if not isinstance(mapping, dict):
        return
    renamed: dict[str, str] = {}

    def ours(name: Any) -> Any:
        other = in_our_names(schema, name)
        if other != name:
            renamed[name] = other
        return other

    for key in _LISTS:
        if (names := listed(schema, key)) is not None and key in schema:
            both, given = [ours(name) for name in names], set(names)
            # Named in both ways it is still one column.
            schema[key] = [name for at, name in enumerate(both) if names[at] == name or name not in given]
    for key in _BY_COLUMN:
        if isinstance(schema.get(key), dict):
            schema[key] = {ours(name): value for name, value in schema[key].items()}
    for key in _ONE_COLUMN:
        if isinstance(schema.get(key), str):
            schema[key] = ours(schema[key])
    if renamed:
        findings.append(
            Finding(
                "COLUMNS_RENAMED",
                "columns named as in the source are read under the names of columnMapping: "
                + ", ".join(f"{source} as {name}" for source, name in list(renamed.items())[:20]),
                "schemaConfig.columnMapping",
            )
        )
