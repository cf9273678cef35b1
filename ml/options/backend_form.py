"""The flat form in which the backend's TrainingService writes a request, folded into the nested one.

Flat keys: ``hyperparameters`` -> ``trainingConfig.lgbParams``; ``validationSplit`` -> ``dataConfig.validationSplit``;
``targetColumn`` -> ``schemaConfig.targetColumn``; ``featureColumns`` limits (or, where the schema names none, gives)
``schemaConfig.continuousColumns``; ``schemaConfig.table`` stands in for ``scadaDbConfig.table``.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ml.errors import ConfigError
from ml.findings import Finding
from ml.options.base import DistinctColumns, Section, nearest
from ml.options.learning import LgbParams
from ml.options.serving_profile import choose_profile

_FLAT_KEYS = ("hyperparameters", "validationSplit", "targetColumn", "featureColumns")
_NULLABLE_SECTIONS = ("scadaDbConfig", "schemaConfig", "dataRange", "dataSource")


class BackendKeys(Section):
    """The flat keys, for the JSON Schema."""

    hyperparameters: LgbParams = Field(default=LgbParams(), description="Short for trainingConfig.lgbParams.")
    validation_split: float = Field(default=0.2, description="Short for dataConfig.validationSplit.")
    target_column: str = Field(default="failure_indicator", description="Short for schemaConfig.targetColumn.")
    feature_columns: DistinctColumns = Field(default=(), description="Continuous columns to use.")


def fold_backend_form(data: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """The nested form of `data`, and what was left out, guessed or mapped; already nested input comes back equal.

    Raises
    ------
    ConfigError
        If a flat key contradicts its nested twin, or `featureColumns` names a column that the schema lacks.
    """
    findings: list[Finding] = []
    nested = {key: value for key, value in data.items() if not (key in _NULLABLE_SECTIONS and value is None)}
    _move(nested, "hyperparameters", "trainingConfig", "lgbParams")
    _move(nested, "validationSplit", "dataConfig", "validationSplit")
    _move(nested, "targetColumn", "schemaConfig", "targetColumn")
    if "featureColumns" in nested:
        _limit_features(nested, nested.pop("featureColumns"))
    findings += choose_profile(nested, flat=any(key in data for key in _FLAT_KEYS))
    return nested, findings


def _move(data: dict[str, Any], flat: str, section: str, key: str) -> None:
    if flat not in data:
        return
    value = data.pop(flat)
    inner = data.get(section, {})
    if not isinstance(inner, dict) or value is None:
        return  # the section's own validation says what is wrong
    if key in inner and inner[key] != value:
        raise ConfigError(
            f'"{flat}" and "{section}.{key}" contradict each other ({value!r} and {inner[key]!r})',
            field=flat,
            hint="give only one of them",
        )
    data[section] = {**inner, key: value}


def _limit_features(data: dict[str, Any], wanted: Any) -> None:
    schema = data.get("schemaConfig", {})
    if not _are_names(wanted):
        raise ConfigError("featureColumns must be a list of column names", field="featureColumns")
    if not isinstance(schema, dict) or not wanted:
        return
    continuous = schema.get("continuousColumns") or []
    booleans = schema.get("booleanColumns") or []
    if not _are_names(continuous) or not _are_names(booleans):
        return  # the section's own validation says what is wrong
    if not continuous:
        data["schemaConfig"] = {**schema, "continuousColumns": [name for name in wanted if name not in booleans]}
        return
    for name in wanted:
        if name not in continuous and name not in booleans:
            guess = nearest(name, [*continuous, *booleans])
            raise ConfigError(
                f'featureColumns names "{name}", which schemaConfig does not have',
                field="featureColumns",
                hint=f'did you mean "{guess}"?' if guess else "add it to schemaConfig.continuousColumns",
            )
    kept = [name for name in continuous if name in wanted]
    limited = {**schema, "continuousColumns": kept}
    for key in ("counterColumns", "operatingColumns"):
        if _are_names(schema.get(key)):
            limited[key] = [name for name in schema[key] if name in kept]
    for key in ("columnRoles", "columnUnits", "validRange", "stuckAfterSeconds"):
        if isinstance(schema.get(key), dict):
            limited[key] = {name: value for name, value in schema[key].items() if name in kept}
    data["schemaConfig"] = limited


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
