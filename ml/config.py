"""What an organisation asks for: one configuration that serves all five steps.

The sections are declared in `ml.options`, one file each. This module reads, checks and writes the whole. It must
stay light: a mistake in a configuration is reported before any numerical library is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "config":  # imported with ml/ as the working directory; make the package importable as well
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import hashlib
import importlib
import json
import re
from collections import Counter
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ml.errors import ConfigError
from ml.findings import Finding
from ml.options.backend_form import BackendKeys, fold_backend_form
from ml.options.base import Identifier, Section, explain, field_path, shortened
from ml.options.data import DataConfig
from ml.options.delivery import ConversionConfig, ValidationConfig
from ml.options.features import FeatureConfig
from ml.options.learning import TrainingConfig, TuningConfig
from ml.options.schema import SchemaConfig
from ml.options.serving_profile import check_profile
from ml.options.source import DataRange, DataSource, ScadaDbConfig
from ml.options.templates import fill_from_template

MAX_CONFIG_BYTES = 1_000_000  # a configuration is written by people and the backend; larger is a wrong file
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")
MAX_DEPTH = 20  # lists and objects within each other; the keys need eight
MAX_ENTRIES = 5_000  # of one list or object, such as columns: checking a hundred thousand of them takes minutes


class OrganizationConfig(Section):
    """Everything that the five steps may be told about one organisation."""

    organization_id: Identifier = Field(description="The tenant. Folder names are built from it.")
    version: Identifier = Field(default="v1", description="Name of the model version that the steps work on.")
    output_path: str | None = Field(
        default=None, description="Artifact folder; must be a folder of the organisation's artifacts."
    )
    industry: Literal["manufacturing", "power_generation", "chemical_process"] | None = Field(
        default=None, description="Template that fills what is left out."
    )
    schema_config: SchemaConfig = Field(default=SchemaConfig(), description="Columns.")
    scada_db_config: ScadaDbConfig | None = Field(default=None, description="Database to read.")
    data_source: DataSource | None = Field(default=None, description="File to read instead of a database.")
    data_range: DataRange = Field(default=DataRange(), description="Time range to use.")
    data_config: DataConfig = Field(default=DataConfig(), description="Grid, labels, split.")
    feature_config: FeatureConfig = Field(default=FeatureConfig(), description="Features.")
    training_config: TrainingConfig = Field(default=TrainingConfig(), description="Training.")
    tuning_config: TuningConfig = Field(default=TuningConfig(), description="Parameter search.")
    validation_config: ValidationConfig = Field(default=ValidationConfig(), description="Validation.")
    conversion_config: ConversionConfig = Field(default=ConversionConfig(), description="Export and publishing.")
    _findings: tuple[Finding, ...] = PrivateAttr(default=())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was left out, guessed or mapped when the configuration was read; every step's result repeats it."""
        return self._findings

    @model_validator(mode="before")
    @classmethod
    def accept_every_form(cls, data: Any) -> Any:
        """Fold the backend's flat form, then put the industry template under it."""
        if not isinstance(data, dict):
            return data
        return fill_from_template(fold_backend_form(data)[0])

    @model_validator(mode="after")
    def has_sensors(self) -> Self:
        """A model needs something to look at."""
        if not self.schema_config.sensor_columns:
            raise PydanticCustomError("no_sensors", "schemaConfig names no continuousColumns and no booleanColumns")
        return self

    @model_validator(mode="after")
    def label_is_not_a_sensor(self) -> Self:
        """A model that sees its own label would be perfect, and useless."""
        label = self.data_config.label_column
        if label is not None and label in self.schema_config.sensor_columns:
            raise PydanticCustomError("label_leak", "dataConfig.labelColumn must not be one of the sensors")
        return self

    @model_validator(mode="after")
    def categories_are_not_scaled(self) -> Self:
        """Scaled, a category would no longer be a whole number."""
        if self.training_config.lgb_params.categorical_features and self.feature_config.scaling != "none":
            raise PydanticCustomError(
                "scaled_categories",
                'trainingConfig.lgbParams.categoricalFeatures needs featureConfig.scaling "none"',
            )
        return self

    @model_validator(mode="after")
    def features_fit_the_profile(self) -> Self:
        """Families and the unit of windows depend on who computes the features."""
        check_profile(self.schema_config, self.feature_config)
        return self

    @model_validator(mode="after")
    def one_source(self) -> Self:
        """Rows come from one place."""
        if self.scada_db_config is not None and self.data_source is not None:
            raise PydanticCustomError("two_sources", "scadaDbConfig and dataSource exclude each other")
        return self

    @classmethod
    def load_from_file(cls, path: str | Path) -> Self:
        """Read a JSON configuration, nested or flat.

        Raises
        ------
        ConfigError
            If the file cannot be read, is not JSON, or holds something that is not allowed.
        IsolationError
            If an identifier could name anything but a plain folder.
        """
        return cls.from_json(_read(Path(path)))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse a JSON configuration; raises as `load_from_file`."""
        try:
            data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
        except (json.JSONDecodeError, RecursionError) as error:
            where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            what = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            raise ConfigError(f"the configuration is not valid JSON{where}: {what}") from None
        except ValueError:  # of Python's limit on the digits of a whole number
            raise ConfigError(
                f"the configuration holds a whole number of more than {sys.get_int_max_str_digits():,} digits",
                hint="put identifiers in quotes, such as organizationId and version",
            ) from None
        if not isinstance(data, dict):
            raise ConfigError(f"the configuration must be a JSON object, not {type(data).__name__}")
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Check a configuration given as a dictionary with JSON keys; raises as `load_from_file`."""
        _refuse_unusual(data)
        nested, findings = fold_backend_form(data)
        try:
            config = cls.model_validate(nested)
        except ValidationError as failure:
            raise explain(failure, cls) from None
        config._findings = tuple(findings)
        return config

    def save_to_file(self, path: str | Path) -> None:
        """Write the configuration, without passwords, so that `load_from_file` gives an equal one."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    def to_json(self) -> str:
        """The configuration as JSON with every default spelled out and no password."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """As `to_json`, as a dictionary."""
        return self.model_dump(mode="json", by_alias=True)

    def digest(self) -> str:
        """SHA-256 of the configuration, passwords left out, in canonical JSON."""
        return _canonical_digest(self.model_dump(mode="json", by_alias=True))

    def settings_digest(self) -> str:
        """SHA-256 of what makes prepared data out of readings: columns, grid and labels; not the split or features."""
        return _canonical_digest(
            self.model_dump(
                mode="json",
                by_alias=True,
                include={"organization_id", "schema_config", "data_config"},
                exclude={
                    "schema_config": {
                        "lag_seconds",
                        "rolling_windows",
                        "operating_columns",
                        "column_roles",
                        "column_units",
                    },
                    "data_config": {"split_by", "validation_split", "test_split", "min_failure_events"},
                },
            )
        )

    def source_digest(self) -> str:
        """SHA-256 of where readings come from and of which time, not of how they are fetched."""
        how = {"connect_timeout_seconds", "statement_timeout_seconds", "slice_seconds", "require_least_privilege"}
        return _canonical_digest(
            self.model_dump(
                mode="json",
                by_alias=True,
                include={"scada_db_config", "data_source", "data_range"},
                exclude={"scada_db_config": {*how, "password_env", "password_file", "sslmode", "ssl_root_cert"}},
            )
        )

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the configuration, the backend's flat keys included."""
        schema = cls.model_json_schema(by_alias=True)
        flat = BackendKeys.model_json_schema(by_alias=True)
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["properties"] |= flat["properties"]
        schema["$defs"] |= flat["$defs"]
        return schema


def _canonical_digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path.name} is larger than {MAX_CONFIG_BYTES:,} bytes; is it a configuration?")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(
            f"the configuration {path.name} cannot be read: {error.strerror}", hint="give the path of a JSON file"
        ) from None


def _refuse_unusual(data: dict[str, Any]) -> None:
    """Raise ConfigError for more than `MAX_ENTRIES` in one list or object, deep nesting, or half a character."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict | list | tuple):
            _refuse_many(place, len(value))
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*place, key), part) for key, part in parts]
        last = place[-1] if place else ""
        if not (_is_text(value) and _is_text(last)):
            raise ConfigError(
                f"{field_path(place[:-1]) or 'the configuration'} holds half a character of UTF-16, which is no text",
                field=field_path(place[:-1]) or None,
                hint="write the character itself, or both halves",
            )


def _refuse_many(place: tuple[str | int, ...], entries: int) -> None:
    if len(place) > MAX_DEPTH:
        raise ConfigError("the configuration is nested too deeply", field=field_path(place[:1]))
    if entries > MAX_ENTRIES:
        field = field_path(place)
        raise ConfigError(
            f"{field or 'the configuration'} has {entries:,} entries; at most {MAX_ENTRIES:,} are allowed",
            field=field or None,
            hint="name fewer columns, or read from a view that holds those that matter",
        )


def _is_text(value: Any) -> bool:
    return not isinstance(value, str) or value.isascii() or _HALF_CHARACTER.search(value) is None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ConfigError(f'the key "{shortened(twice)}" appears twice in one object', field=shortened(twice))
    return data


def _no_constants(name: str) -> None:
    raise ConfigError(f"{name} is not valid JSON; use null or a number")


if __name__ == "config":  # both names must give the same classes
    sys.modules[__name__] = importlib.import_module("ml.config")
