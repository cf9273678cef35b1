"""The flat form in which the backend's TrainingService writes a request, folded into the nested one.

Flat keys: ``hyperparameters`` -> ``trainingConfig.lgbParams``; ``validationSplit`` -> ``dataConfig.validationSplit``;
``targetColumn`` -> ``schemaConfig.targetColumn``, unless that is there: the organisation knows better;
``featureColumns`` limits (or, where the schema names none, gives) ``schemaConfig.continuousColumns``, and may name
features, which lead back to their sensors; ``schemaConfig.table`` stands in for ``scadaDbConfig.table``. Keys of a
search or a validation at the top belong to ``tuningConfig`` and ``validationConfig``. Names that differ otherwise are
in `ml.options.forms.keys`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from pydantic import Field

from ml.errors import ConfigError
from ml.findings import Finding
from ml.options.base import DistinctColumns, Section, nearest, quoted
from ml.options.forms.columns import column_list, fold_columns, in_our_names, listed, other_columns
from ml.options.forms.feature_names import sensors_of
from ml.options.forms.keys import KEYS, Json, fold_forms, read_sections
from ml.options.forms.templates import TEMPLATES
from ml.options.learning import LgbParams
from ml.options.serving_profile import choose_profile

DEFAULT_TABLE = "jk2"
"""The table that the backend means where it names none."""

ALWAYS_SENT = frozenset(("temperature", "pressure", "flow_rate", "vibration", "current", "voltage"))
"""featureColumns that the backend's HTTP routes send, whatever the organisation has: they say nothing of it."""

_NULLABLE_SECTIONS = ("scadaDbConfig", "schemaConfig", "dataRange", "dataSource", "failureConfig")
_MODEL_FILE = re.compile(r"model_(?P<version>.+)\.onnx")


class BackendKeys(Section):
    """The flat keys, for the JSON Schema."""

    hyperparameters: LgbParams = Field(default=LgbParams(), description="Short for trainingConfig.lgbParams.")
    validation_split: float = Field(default=0.2, description="Short for dataConfig.validationSplit.")
    target_column: str = Field(
        default="failure_indicator", description="schemaConfig.targetColumn, where that is not there."
    )
    feature_columns: DistinctColumns = Field(
        default=(), description="Continuous columns to use, or names of features that were made of them."
    )


_FLAT_KEYS = ("hyperparameters", "validationSplit", "targetColumn", "featureColumns")


class Folded(NamedTuple):
    """A configuration in the nested form."""

    data: Json  # the nested form
    findings: list[Finding]  # what was left out, guessed or mapped
    optional_columns: frozenset[str]
    """Sensors that nobody of the organisation named for certain; the source may lack them."""


def fold_backend_form(data: Json) -> Folded:
    """The nested form of `data`; already nested input comes back equal.

    Raises ConfigError if a flat key contradicts its nested twin, is refused, or `featureColumns` names nothing of the
    organisation.
    """
    findings: list[Finding] = []
    nested = dict(data)
    read_sections(nested, (*_FLAT_KEYS, "modelPath"))
    nested = {key: value for key, value in nested.items() if not (key in _NULLABLE_SECTIONS and value is None)}
    is_flat = any(key in nested for key in (*_FLAT_KEYS, *(form.path for form in KEYS if form.is_flat)))
    _fold_model_path(nested)
    findings += fold_forms(nested)
    if nested.get("outputPath") in (".", "./"):
        path = nested.pop("outputPath")
        findings.append(
            Finding(
                "OUTPUT_PATH_LEFT_OUT",
                f'outputPath "{path}" is the working directory and no artifact folder; artifacts are written to '
                "artifacts/<organizationId>/<version>",
                "outputPath",
            )
        )
    optional = fold_columns(nested, findings)
    _fold_target(nested, findings)
    optional |= _fold_features(nested, findings)
    findings += choose_profile(nested, flat=is_flat)
    if is_flat:
        _apply_flat_defaults(nested, findings)
        optional |= _mapped_columns(nested)
    return Folded(nested, findings, frozenset(optional | _template_columns(nested)))


def _apply_flat_defaults(data: Json, findings: list[Finding]) -> None:
    """What the flat form means where it says nothing: here a default of the nested form may be replaced for it."""
    source, schema = data.get("scadaDbConfig"), data.setdefault("schemaConfig", {})
    if isinstance(source, dict) and isinstance(schema, dict) and not source.get("table") and not schema.get("table"):
        data["schemaConfig"] = {**schema, "table": DEFAULT_TABLE}
        findings.append(
            Finding(
                "TABLE_GUESSED",
                f'neither scadaDbConfig nor schemaConfig names a table; "{DEFAULT_TABLE}" is read, as the backend does',
                "scadaDbConfig.table",
                "name the table",
            )
        )


def _fold_model_path(data: Json) -> None:
    """`modelPath` tells the version by its file's name or its folder's; a model that is of no version is refused."""
    if "modelPath" not in data:
        return
    path = data.pop("modelPath")
    if path is None:
        return
    parts = PurePosixPath(path.replace("\\", "/")).parts if isinstance(path, str) else ()
    named = _MODEL_FILE.fullmatch(parts[-1]) if parts else None
    folder = parts[parts.index("versions") + 1 :] if "versions" in parts else ()
    version = named["version"] if named else folder[0] if len(folder) > 1 else data.get("version")
    is_published = "current" in parts[:-1]
    if version is None or is_published or version != data.setdefault("version", version):
        raise ConfigError(
            "modelPath names another model than the version that this configuration is about",
            field="modelPath",
            hint='leave modelPath out: the step works on the model of "version"',
        )


def _fold_target(data: Json, findings: list[Finding]) -> None:
    """The backend always sends the same targetColumn; what the organisation's own schema says comes first."""
    wanted = data.pop("targetColumn", None)
    schema = data.get("schemaConfig", {})
    if wanted is None or not isinstance(schema, dict):
        return
    own = schema.get("targetColumn")
    if own is None:
        data["schemaConfig"] = {**schema, "targetColumn": in_our_names(schema, wanted)}
    elif own != wanted:
        findings.append(
            Finding(
                "TARGET_COLUMN_OF_SCHEMA",
                f'schemaConfig.targetColumn "{own}" is used; the request\'s targetColumn {wanted!r:.80} is not',
                "targetColumn",
            )
        )


def _fold_features(data: Json, findings: list[Finding]) -> set[str]:
    """Limit the continuous columns to `featureColumns`, or take them from there; gives those that may be absent."""
    if "featureColumns" not in data:
        return set()
    wanted = column_list(data.pop("featureColumns"), "featureColumns")
    schema = data.get("schemaConfig", {})
    if not isinstance(schema, dict) or not wanted:
        return set()
    continuous, booleans = listed(schema, "continuousColumns"), listed(schema, "booleanColumns")
    if continuous is None or booleans is None:
        return set()  # the section's own validation says what is wrong
    wanted = list(dict.fromkeys(in_our_names(schema, name) for name in wanted))
    if not continuous:
        return _columns_of_features(data, schema, wanted, booleans, findings)
    _limit_columns(data, schema, wanted, findings)
    return set()


def _columns_of_features(
    data: Json, schema: Json, wanted: list[str], booleans: list[str], findings: list[Finding]
) -> set[str]:
    """Where the schema names no continuous columns, the request's are all that is known."""
    columns: dict[str, None] = {}
    for name in wanted:
        made_of = None if name in booleans else sensors_of(name)
        columns |= dict.fromkeys((name,) if made_of is None else made_of)
    other = other_columns(schema) | set(booleans)
    found = [name for name in columns if name not in other]
    if found != [name for name in wanted if name not in booleans]:
        findings.append(
            Finding(
                "FEATURE_NAMES_MAPPED",
                f"featureColumns names features; they are made of {', '.join(found) or 'no continuous column'}",
                "featureColumns",
            )
        )
    data["schemaConfig"] = {**schema, "continuousColumns": found}
    return set(found)


def _limit_columns(data: Json, schema: Json, wanted: list[str], findings: list[Finding]) -> None:
    """Keep the continuous columns that are wanted; two-state signals always stay."""
    continuous, booleans = schema["continuousColumns"], schema.get("booleanColumns") or []
    sensors = dict.fromkeys([*continuous, *booleans])
    used: set[str] = set()
    mapped, unknown = [], []
    for name in wanted:
        made_of = (name,) if name in sensors else sensors_of(name, sensors)
        if made_of is None or not set(made_of) <= sensors.keys():
            unknown.append(name)
            continue
        used |= set(made_of)
        if made_of and made_of != (name,):
            mapped.append(name)
    kept = [name for name in continuous if name in used]
    if mapped:
        findings.append(
            Finding(
                "FEATURE_NAMES_MAPPED",
                f"featureColumns names {quoted(mapped)}, which are features; they are made of "
                f"{quoted([name for name in sensors if name in used])}",
                "featureColumns",
            )
        )
    if unknown and not used and not ALWAYS_SENT.issuperset(unknown):
        raise ConfigError(
            f"featureColumns names nothing that schemaConfig has: {quoted(unknown)}",
            field="featureColumns",
            hint=f"the columns are {quoted(sensors)}",
        )
    if unknown:
        findings.append(_unknown_columns(unknown, sensors, everything=not used))
    if not used:
        return
    left_out = [name for name in continuous if name not in used]
    if left_out:
        findings.append(
            Finding(
                "COLUMNS_NOT_USED",
                f"schemaConfig.continuousColumns also has {quoted(left_out)}, which featureColumns does not name",
                "featureColumns",
                "name them in featureColumns, or leave featureColumns out, to use them",
            )
        )
    data["schemaConfig"] = _limited(schema, kept)
    features = data.get("featureConfig")
    if left_out and isinstance(features, dict) and isinstance(features.get("families"), dict):
        data["featureConfig"] = {**features, "families": without_columns(features["families"], set(left_out))}


def _unknown_columns(unknown: list[str], sensors: Collection[str], *, everything: bool) -> Finding:
    guesses = {name: guess for name in unknown if (guess := nearest(name, sensors))}
    done = "all columns of schemaConfig are used" if everything else "left out"
    return Finding(
        "FEATURE_COLUMNS_UNKNOWN",
        f"featureColumns names {quoted(unknown)}, which schemaConfig does not have: {done}",
        "featureColumns",
        "; ".join(f'did you mean "{guess}" by "{name}"?' for name, guess in list(guesses.items())[:3]) or None,
    )


def _limited(schema: Json, kept: list[str]) -> Json:
    """The schema with these continuous columns, and nothing that speaks of the others."""
    limited, named = {**schema, "continuousColumns": kept}, set(kept)
    for key in ("counterColumns", "operatingColumns"):
        if schema.get(key) and (names := listed(schema, key)) is not None:
            limited[key] = [name for name in names if name in named]
    for key in ("columnRoles", "columnUnits", "validRange", "stuckAfterSeconds"):
        if isinstance(schema.get(key), dict):
            limited[key] = {name: value for name, value in schema[key].items() if name in named}
    return limited


def without_columns(families: Json, gone: set[str]) -> Json:
    """`featureConfig.families` without columns and pairs of columns that are gone."""

    def speaks_of(pair: Any) -> bool:
        return isinstance(pair, list | tuple) and any(isinstance(name, str) and name in gone for name in pair)

    def limited(family: Any) -> Any:
        if not isinstance(family, dict):
            return family
        family = dict(family)
        if (names := listed(family, "columns")) and family["columns"]:
            family["columns"] = [name for name in names if name not in gone]
        if isinstance(family.get("pairs"), list | tuple):
            family["pairs"] = [pair for pair in family["pairs"] if not speaks_of(pair)]
        return family

    return {name: limited(family) for name, family in families.items()}


def _mapped_columns(data: Json) -> set[str]:
    """Sensors under a name that columnMapping gives; the backend's mapping may be of columns that are not there."""
    schema = data.get("schemaConfig")
    mapping = schema.get("columnMapping") if isinstance(schema, dict) else None
    return {name for name in mapping.values() if isinstance(name, str)} if isinstance(mapping, dict) else set()


def _template_columns(data: Json) -> set[str]:
    """The columns that an industry's template would give."""
    industry, schema = data.get("industry"), data.get("schemaConfig", {})
    if not isinstance(industry, str) or industry not in TEMPLATES or not isinstance(schema, dict):
        return set()
    return set() if "continuousColumns" in schema else set(TEMPLATES[industry]["schemaConfig"]["continuousColumns"])
