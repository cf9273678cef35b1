"""What an organisation asks for: one configuration that serves all five steps.

The sections are declared in `ml.options`, one file each. This module reads, checks and writes the whole. It must
stay light: a mistake in a configuration is reported before any numerical library is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # started by mistake: the package could not even be imported
    sys.stderr.write(
        "config.py declares what a configuration may say and is imported (from config import OrganizationConfig); "
        "to use a configuration, run: python scripts/data_prep.py CONFIG.json\n"
    )
    raise SystemExit(2)

if __name__ == "config":  # imported with ml/ as the working directory; make the package importable as well
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import hashlib
import importlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ml.errors import ConfigError
from ml.findings import Finding
from ml.options.access.file_format import FormatConfig
from ml.options.base import Identifier, Section, explain, nearest
from ml.options.data import DataConfig
from ml.options.delivery import ConversionConfig, MonitoringConfig, ValidationConfig
from ml.options.failures import FailureConfig, FeedbackTable
from ml.options.features import FamiliesConfig, FeatureConfig
from ml.options.forms.backend import BackendKeys, fold_backend_form, without_columns
from ml.options.forms.strict_json import parse_json, refuse_unusual
from ml.options.forms.templates import fill_from_template
from ml.options.layout import LayoutConfig, name_the_asset
from ml.options.learning import TrainingConfig, TuningConfig
from ml.options.models.normal_behaviour import LEARN_WITHOUT_FAILURES
from ml.options.schema import SchemaConfig
from ml.options.serving_profile import check_profile
from ml.options.source import FOLDER, DataRange, DataSource, ScadaDbConfig
from ml.options.tables import TableReference

MAX_CONFIG_BYTES = 1_000_000  # a configuration is written by people and the backend; larger is a wrong file


@dataclass(frozen=True)
class _Notes:
    """What was noted when a configuration was read; two that ask for the same are equal whatever was."""

    findings: tuple[Finding, ...] = field(default=(), compare=False)
    optional_columns: frozenset[str] = field(default=frozenset(), compare=False)


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
    layout_config: LayoutConfig = Field(default=LayoutConfig(), description="Long form, joined tables, names of files.")
    format_config: FormatConfig = Field(
        default=FormatConfig(), description="How the source writes texts, numbers and times."
    )
    data_range: DataRange = Field(default=DataRange(), description="Time range to use.")
    data_config: DataConfig = Field(default=DataConfig(), description="Grid, labels, split.")
    failure_config: FailureConfig = Field(default=FailureConfig(), description="Where failures are recorded.")
    feature_config: FeatureConfig = Field(default=FeatureConfig(), description="Features.")
    training_config: TrainingConfig = Field(default=TrainingConfig(), description="Training.")
    tuning_config: TuningConfig = Field(default=TuningConfig(), description="Parameter search.")
    validation_config: ValidationConfig = Field(default=ValidationConfig(), description="Validation.")
    conversion_config: ConversionConfig = Field(default=ConversionConfig(), description="Export and publishing.")
    feedback_config: FeedbackTable | None = Field(default=None, description="Answers of operators to alarms.")
    monitoring_config: MonitoringConfig = Field(
        default=MonitoringConfig(), description="What a published model is held to."
    )
    _notes: _Notes = PrivateAttr(default_factory=lambda: _Notes())

    @property
    def schema(self) -> SchemaConfig:  # type: ignore[override]
        """Short for `schema_config`; pydantic's own old method of this name is out of the way."""
        return self.schema_config

    @property
    def names_a_source(self) -> bool:
        """Whether it says where readings come from."""
        return self.scada_db_config is not None or self.data_source is not None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was left out, guessed or mapped when the configuration was read; every step's result repeats it."""
        return self._notes.findings

    @property
    def optional_columns(self) -> frozenset[str]:
        """Sensors that were guessed, or that the backend maps; the source may lack them, and they are left out then."""
        return self._notes.optional_columns

    @property
    def may_lack_failures(self) -> bool:
        """Whether the source need not say when an asset had failed: nothing is named that does, and none is needed."""
        schema = self.schema_config
        unnamed = schema.target_column == SchemaConfig.model_fields["target_column"].default
        failures = self.failure_config
        given = failures.defining_columns or failures.failed_words or failures.events is not None
        given = given or self.data_config.label_column is not None
        return self.training_config.model_type in LEARN_WITHOUT_FAILURES and unnamed and not given

    @property
    def tables(self) -> Mapping[str, TableReference]:
        """Tables and files beside the readings, by the key that names each; every section that has some adds them."""
        layouts = {f"layoutConfig.tables.{name}": table for name, table in self.layout_config.tables.items()}
        failures = {f"failureConfig.{name}": table for name, table in self.failure_config.tables.items()}
        answers = {} if self.learned_feedback is None else {"feedbackConfig": self.learned_feedback}
        return layouts | failures | answers

    @property
    def learned_feedback(self) -> FeedbackTable | None:
        """The answers to alarms, if labels depend on them."""
        feedback = self.feedback_config
        return feedback if feedback is not None and feedback.use_in_training else None

    @model_validator(mode="before")
    @classmethod
    def accept_every_form(cls, data: Any) -> Any:
        """Fold the backend's flat form, then put the industry template under it."""
        if not isinstance(data, dict):
            return data
        return name_the_asset(fill_from_template(fold_backend_form(data).data))

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
    def failures_are_recorded_once(self) -> Self:
        """A label that is given needs no record of failures."""
        if self.data_config.label_column is not None and self.failure_config.records_anything:
            raise PydanticCustomError("two_records", "dataConfig.labelColumn and failureConfig exclude each other")
        return self

    @model_validator(mode="after")
    def events_tell_no_label(self) -> Self:
        """Where rows of a failure are positive, a repair beside it would say so."""
        if self.schema_config.event_inputs and not self.data_config.looks_ahead_only:
            raise PydanticCustomError(
                "event_leak",
                'schemaConfig.eventInputs needs a predictionHorizonSeconds above 0 and duringFailure "exclude"',
            )
        return self

    @model_validator(mode="after")
    def categories_are_not_scaled(self) -> Self:
        """Scaled, a category would no longer be a whole number, and the first word is 0."""
        if self.schema_config.categorical_columns and self.feature_config.scaling != "none":
            raise PydanticCustomError(
                "scaled_categories", 'schemaConfig.categoricalColumns needs featureConfig.scaling "none"'
            )
        if self.schema_config.categorical_columns and self.training_config.lgb_params.zero_as_missing:
            raise PydanticCustomError(
                "zero_category", "schemaConfig.categoricalColumns excludes lgbParams.zeroAsMissing"
            )
        if self.training_config.lgb_params.categorical_features and self.feature_config.scaling != "none":
            raise PydanticCustomError(
                "scaled_categories",
                'trainingConfig.lgbParams.categoricalFeatures needs featureConfig.scaling "none"',
            )
        return self

    @model_validator(mode="after")
    def a_backtest_ships_a_model_of_all_rows(self) -> Self:
        """What is judged is the recipe; no part is left that the shipped model should not see."""
        training = self.training_config
        if self.validation_config.scheme == "backtest" and (
            training.refit not in (None, "all") or training.engine != "local"
        ):
            raise PydanticCustomError(
                "backtest_refit",
                'validationConfig.scheme "backtest" needs trainingConfig.refit "all" and engine "local"',
            )
        return self

    @model_validator(mode="after")
    def features_fit_the_profile(self) -> Self:
        """Families and the unit of windows depend on who computes the features."""
        check_profile(self.schema_config, self.feature_config)
        return self

    @model_validator(mode="after")
    def groups_are_of_continuous_channels(self) -> Self:
        """What is watched, and what it depends on, are numbers."""
        allowed = self.schema_config.continuous_channels
        for group, members in self.training_config.normal_behaviour.column_groups.items():
            for key, names in (("columns", members.columns), ("operatingColumns", members.operating_columns)):
                unknown = next((name for name in names if name not in allowed), None)
                if unknown is not None:
                    guess = nearest(unknown, allowed)
                    raise PydanticCustomError(
                        "unknown_column",
                        "trainingConfig.normalBehaviour.columnGroups.{group}.{key} names {name}, which is not a "
                        "continuous column{guess}",
                        {
                            "group": group,
                            "key": key,
                            "name": unknown,
                            "guess": f" (did you mean {guess}?)" if guess else "",
                        },
                    )
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

        A relative path in it that leads nowhere from the working directory is looked for in the configuration's folder.

        Raises
        ------
        ConfigError
            If the file cannot be read, is not JSON, or holds something that is not allowed.
        IsolationError
            If an identifier could name anything but a plain folder.
        """
        return cls.from_json(read_configuration(Path(path)), folder=Path(path).absolute().parent)

    @classmethod
    def from_json(cls, text: str, folder: Path | None = None) -> Self:
        """Parse a JSON configuration that lies in `folder`; raises as `load_from_file`."""
        data = parse_json(text, "the configuration")
        if not isinstance(data, dict):
            raise ConfigError(f"the configuration must be a JSON object, not {type(data).__name__}")
        return cls.from_dict(data, folder)

    @classmethod
    def from_dict(cls, data: dict[str, Any], folder: Path | None = None) -> Self:
        """Check a configuration given as a dictionary with JSON keys; raises as `load_from_file`."""
        refuse_unusual(data)
        folded = fold_backend_form(data)
        try:
            config = cls.model_validate(folded.data, context={FOLDER: folder})
        except ValidationError as failure:
            raise explain(failure, cls) from None
        optional = folded.optional_columns & set(config.schema_config.sensor_columns)
        config._notes = _Notes(tuple(folded.findings), optional)
        return config._without_failure_columns()

    def _without_failure_columns(self) -> Self:
        """Sensors that define failures are none, unless that is asked for: a model would only read them."""
        failures = self.failure_config
        names = [
            name
            for name in self.schema_config.sensor_columns
            if name in failures.defining_columns and name not in failures.allow_as_features
        ]
        if not names:
            return self
        if len(names) == len(self.schema_config.sensor_columns):
            raise ConfigError(
                f"every sensor defines failures ({', '.join(names)}): nothing is left to look at",
                field="schemaConfig",
                hint="name other sensors, or those that may be features in failureConfig.allowAsFeatures",
            )
        finding = Finding(
            "FAILURE_COLUMNS_FENCED",
            f"{', '.join(names)} {'defines' if len(names) == 1 else 'define'} failures and "
            f"{'is no feature' if len(names) == 1 else 'are no features'}",
            "failureConfig.columns",
            "name those that may be features in failureConfig.allowAsFeatures",
        )
        return self.without_sensors(names, finding)

    def without_sensors(self, names: Collection[str], finding: Finding) -> Self:
        """The configuration without some sensors, and without what speaks of them; `finding` says why.

        Raises
        ------
        ConfigError
            If one of them tells whether the machine runs, which predictions must know.
        """
        schema, families = self.schema_config, self.feature_config.families
        if schema.running_when is not None and schema.running_when.column in names:
            raise ConfigError(
                f"schemaConfig.runningWhen needs a sensor that is left out: {finding.message}",
                field="schemaConfig.runningWhen",
                hint=finding.hint,
            )
        update: dict[str, Any] = {
            key: tuple(name for name in getattr(schema, key) if name not in names)
            for key in ("continuous_columns", "boolean_columns", "counter_columns", "operating_columns")
        }
        for key in (
            "categorical_columns",
            "column_roles",
            "column_units",
            "convert_to",
            "valid_range",
            "stuck_after_seconds",
        ):
            update[key] = {name: value for name, value in getattr(schema, key).items() if name not in names}
        broken = {name: pair for name, pair in schema.differences.items() if {pair.set_point, pair.value} & {*names}}
        update["set_point_pairs"] = tuple(pair for name, pair in schema.differences.items() if name not in broken)
        kept = FamiliesConfig.model_validate(without_columns(families.model_dump(by_alias=True), {*names, *broken}))
        config = self.model_copy(
            update={
                "schema_config": schema.model_copy(update=update),
                "feature_config": self.feature_config.model_copy(update={"families": kept}),
            }
        )
        config._notes = _Notes((*self.findings, finding), self.optional_columns - set(names))
        return config

    def with_event_inputs(self, inputs: Mapping[str, tuple[str, ...]]) -> Self:
        """The configuration with these times since events and no others."""
        schema = self.schema_config.model_copy(update={"event_inputs": dict(inputs) or None})
        return self.model_copy(update={"schema_config": schema})

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
        """SHA-256 of what the steps are asked for, passwords left out, in canonical JSON.

        What only looks at a published model is left out, too: no step gives another result for it.
        """
        return _canonical_digest(
            self.model_dump(mode="json", by_alias=True, exclude={"monitoring_config", *self._feedback_not_learned()})
        )

    def settings_digest(self) -> str:
        """SHA-256 of what makes prepared data out of readings: columns, grid and labels; not the split or features."""
        recorded = {"failure_config"} if self.failure_config.records_anything else set()
        recorded |= {"feedback_config"} - self._feedback_not_learned()
        unused = {
            key
            for key in ("running_when", "categorical_columns", "convert_to", "event_inputs")
            if not getattr(self.schema_config, key)
        }
        return _canonical_digest(
            self.model_dump(
                mode="json",
                by_alias=True,
                include={"organization_id", "schema_config", "data_config", *recorded} | self._told_layout(),
                exclude={
                    "failure_config": {"allow_as_features"},
                    "schema_config": {
                        "lag_seconds",
                        "rolling_windows",
                        "operating_columns",
                        "set_point_pairs",
                        "column_roles",
                        *(() if self.schema_config.convert_to else ("column_units",)),
                        *unused,
                    },
                    "data_config": {
                        "split_by",
                        "validation_split",
                        "test_split",
                        "min_failure_events",
                        "prepared_format",
                    },
                },
            )
        )

    def source_digest(self) -> str:
        """SHA-256 of where readings come from, how they are written and of which time, not of how they are fetched."""
        how = {"connect_timeout_seconds", "statement_timeout_seconds", "slice_seconds", "require_least_privilege"}
        source = self.model_dump(
            mode="json",
            by_alias=True,
            include={"scada_db_config", "data_source", "data_range"} | self._told_layout(),
            exclude={
                "scada_db_config": {*how, "password_env", "password_file", "sslmode", "ssl_root_cert"},
                "data_range": set() if self.data_range.last else {"last"},
            },
        )
        written = self.format_config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return _canonical_digest({**source, "formatConfig": written} if written else source)

    def _feedback_not_learned(self) -> set[str]:
        return {"feedback_config"} if self.learned_feedback is None else set()

    def _told_layout(self) -> set[str]:
        """The layout, for a digest, where there is one."""
        return set() if self.layout_config == LayoutConfig() else {"layout_config"}

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


def read_configuration(path: Path) -> str:
    """The text of a configuration; raises ConfigError."""
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


if __name__ == "config":  # both names must give the same classes
    sys.modules[__name__] = importlib.import_module("ml.config")
