"""Keys and values that others write where we write something else: one table, read before a configuration is checked.

The backend's scripts and documents, LightGBM and node-postgres have names of their own. Each row of `KEYS` says what
becomes of one: it is read as a key of ours, left out because nothing here depends on it, or refused with the key that
it should be. What was read otherwise or left out is told as a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from ml.errors import ConfigError
from ml.findings import Finding
from ml.options.delivery import ValidationConfig
from ml.options.forms.strict_json import parse_part

Json = dict[str, Any]

SECTIONS = (
    "hyperparameters",
    "schemaConfig",
    "scadaDbConfig",
    "dataSource",
    "layoutConfig",
    "formatConfig",
    "dataRange",
    "dataConfig",
    "failureConfig",
    "featureConfig",
    "trainingConfig",
    "tuningConfig",
    "validationConfig",
    "conversionConfig",
    "modelConfig",
)
IDENTIFIERS = ("organizationId", "version")  # an empty one is a mistake, and must not become the default
_LGB, _RF = "trainingConfig.lgbParams", "trainingConfig.rfParams"
_ENTERED_FREELY = ("modelParams", "searchSpace")  # whose values are somebody else's, an empty text included
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


@dataclass(frozen=True)
class KeyForm:
    """What becomes of one key."""

    path: str  # the key as others write it, in camelCase, with the sections that it stands in; snake_case is read alike
    to: tuple[str, ...] = ()  # keys of ours that take its value; empty: none
    convert: Callable[[Any], Any] | None = None  # from its value to ours; what it gives as None is left out
    told: str = ""
    """Why it is left out, or the hint of the refusal. Empty: that it was read as another key is all there is to tell.
    """
    refused: bool = False  # whether it is refused
    silent: bool = False  # whether it belongs to a documented form, and need not be told

    @property
    def is_flat(self) -> bool:
        """Whether it stands in no section."""
        return "." not in self.path


def _read_as(to: str, *paths: str, convert: Callable[[Any], Any] | None = None) -> list[KeyForm]:
    section = to.rpartition(".")[0]
    return [KeyForm(path if "." in path else f"{section}.{path}", (to,), convert) for path in paths]


def _aliases(section: str, names: Mapping[str, str]) -> list[KeyForm]:
    return [form for ours, others in names.items() for form in _read_as(f"{section}.{ours}", *others.split())]


def _left_out(section: str, names: str, why: str) -> list[KeyForm]:
    return [KeyForm(f"{section}.{name}", told=why) for name in names.split()]


def _refused(path: str, hint: str) -> KeyForm:
    return KeyForm(path, told=hint, refused=True)


def _times(factor: float) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        number = _number(value)
        if number is None:
            return value  # our own key's validation says what is wrong
        product = number * factor
        return int(product) if product == int(product) else product

    return convert


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e15 else None


def _in_other_units(section: str, durations: str) -> list[KeyForm]:
    """Durations that we take in seconds only."""
    return [
        form
        for name in durations.split()
        for unit, seconds in (("Minutes", 60), ("Hours", 3600), ("Days", 86_400))
        for form in _read_as(f"{section}.{name}Seconds", f"{name}{unit}", convert=_times(seconds))
    ]


def _at_least_a_second(milliseconds: Any) -> Any:
    seconds = _times(1 / 1000)(milliseconds)
    return max(1, round(seconds)) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else seconds


def _thread_count(value: Any) -> Any:
    return None if isinstance(value, int) and value <= 0 else value  # as many as there are, which is the default


def _balanced(value: Any) -> Any:
    return ("balanced" if value else "none") if isinstance(value, bool) else value


KEYS: tuple[KeyForm, ...] = (
    # The flat requests for a training, a search and a validation.
    KeyForm("hyperparameters", (_LGB,), silent=True),
    KeyForm("validationSplit", ("dataConfig.validationSplit",), silent=True),
    KeyForm("modelType", ("trainingConfig.modelType",), silent=True),
    *(KeyForm(key, (f"tuningConfig.{key}",), silent=True) for key in ("searchMethod", "nTrials", "cvFolds")),
    *(KeyForm(key, (f"tuningConfig.{key}",), silent=True) for key in ("scoringMetric", "searchSpace")),
    KeyForm("randomState", ("trainingConfig.randomState", "tuningConfig.randomState"), silent=True),
    *(
        KeyForm(to_camel(name), (f"validationConfig.{to_camel(name)}",), silent=True)
        for name in ValidationConfig.model_fields
        if name.startswith(("min_", "max_"))
    ),
    # dataConfig
    *_read_as("dataRange.startDate", "dataConfig.startDate"),
    *_read_as("dataRange.endDate", "dataConfig.endDate"),
    *_in_other_units("dataConfig", "samplingInterval maxGap predictionHorizon recovery"),
    *_read_as("dataConfig.predictionHorizonSeconds", "failureLookaheadMinutes", convert=_times(60)),
    *_read_as("schemaConfig.targetColumn", "dataConfig.targetColumn"),
    *_read_as("schemaConfig.timestampColumn", "dataConfig.timestampColumn"),
    *_read_as("schemaConfig.assetColumn", "dataConfig.assetColumn"),
    *_left_out("dataConfig", "minSamples", "dataConfig.minFailureEvents says what is too little to learn from"),
    *_left_out("dataConfig", "maxSamples", "histories of any length are used; dataRange limits them"),
    *_left_out(
        "dataConfig",
        "failureLookbackMinutes",
        "how far features look back follows from schemaConfig.lagSeconds and rollingWindows",
    ),
    # trainingConfig
    *_read_as("dataConfig.validationSplit", "trainingConfig.validationSplit"),
    *_read_as("dataConfig.testSplit", "trainingConfig.testSplit"),
    *_read_as("tuningConfig.cvFolds", "trainingConfig.crossValidationFolds", "trainingConfig.cvFolds"),
    *_read_as("trainingConfig.randomState", "seed", f"{_LGB}.randomState", f"{_LGB}.seed", f"{_LGB}.randomSeed"),
    *_read_as("trainingConfig.randomState", f"{_RF}.randomState"),
    *_read_as(
        "trainingConfig.threads",
        *(f"{section}.{name}" for section in (_LGB, _RF) for name in ("nJobs", "numThreads", "nThreads")),
        convert=_thread_count,
    ),
    *_read_as("trainingConfig.earlyStoppingRounds", f"{_LGB}.earlyStoppingRounds", f"{_LGB}.earlyStoppingRound"),
    *_read_as(
        "trainingConfig.imbalance",
        *(f"{section}.classWeight" for section in (_LGB, _RF)),
        f"{_LGB}.isUnbalance",
        f"{_LGB}.unbalance",
        convert=_balanced,
    ),
    *_aliases(
        _LGB,
        {
            "numLeaves": "numLeaf maxLeaves maxLeaf maxLeafNodes",
            "learningRate": "shrinkageRate eta",
            "numIterations": "nEstimators numBoostRound numRound numRounds numTrees numTree nIter maxIter",
            "minDataInLeaf": "minChildSamples minDataPerLeaf minData minSamplesLeaf",
            "featureFraction": "colsampleBytree subFeature",
            "baggingFraction": "subsample subRow bagging",
            "baggingFreq": "subsampleFreq",
            "lambdaL1": "regAlpha l1Regularization",
            "lambdaL2": "regLambda lambda l2Regularization",
            "minGainToSplit": "minSplitGain",
            "maxBin": "maxBins",
            "extraTrees": "extraTree",
            "boosting": "boostingType boost",
            "objective": "objectiveType application app loss",
            "metric": "metrics metricTypes",
            "verbosity": "verbose",
        },
    ),
    *_left_out(_LGB, "subsampleForBin binConstructSampleCnt", "bins are made of LightGBM's usual 200,000 rows"),
    *_left_out(_LGB, "importanceType", "the report gives the gain of features"),
    # modelConfig
    KeyForm("modelConfig.version", ("version",)),
    KeyForm("modelConfig.modelType", ("trainingConfig.modelType",)),
    *_left_out("modelConfig", "modelName name description createdAt updatedAt", "a model is known by its version"),
    _refused(
        "modelConfig.performanceThreshold",
        "write what a model must show in validationConfig: minAccuracy, minPrecision, minRecall, minAuc",
    ),
    _refused("modelConfig.confidenceThreshold", "write the alarm threshold as validationConfig.threshold"),
    # scadaDbConfig
    *_aliases(
        "scadaDbConfig",
        {
            "sslmode": "sslMode",
            "connectTimeoutSeconds": "connectionTimeout connectTimeout connectionTimeoutSeconds",
            "password": "pass pwd",
            "database": "db dbname databaseName",
            "user": "username userName",
            "host": "hostname server",
            "driver": "type dialect",
            "table": "tableName",
        },
    ),
    *_read_as("scadaDbConfig.connectTimeoutSeconds", "connectionTimeoutMillis", convert=_at_least_a_second),
    *_read_as("scadaDbConfig.statementTimeoutSeconds", "statementTimeout", convert=_at_least_a_second),
    *(
        _refused(f"scadaDbConfig.{key}", "a database is entered with a password (passwordEnv or passwordFile)")
        for key in ("sslCert", "sslKey")
    ),
    *_left_out("scadaDbConfig", "max min idleTimeoutMillis", "a step opens one connection and closes it"),
    _refused("scadaDbConfig.schema", "write the table as schema.table in scadaDbConfig.table"),
    _refused("scadaDbConfig.connectionString", "write host, port, database, user and passwordEnv, each for itself"),
    # schemaConfig
    *_aliases("schemaConfig", {"table": "tableName"}),
)
"""Every key of others. A value of ours beside it must be the same."""


def _values(ours_and_others: Mapping[str, str]) -> dict[str, str]:
    return {other: ours for ours, others in ours_and_others.items() for other in others.split(" | ")}


VALUES: dict[str, dict[str, str]] = {
    "trainingConfig.modelType": _values(
        {
            "lightgbm": "lgb | lgbm | lgbmclassifier | lightgbm.lgbmclassifier",
            "random_forest": "rf | randomforest | random forest | randomforestclassifier"
            " | sklearn.ensemble.randomforestclassifier",
            "logistic_regression": "logistic | logreg | logistic regression | logisticregression"
            " | sklearn.linear_model.logisticregression",
            "xgboost": "xgb | xgbclassifier | xgboost.xgbclassifier",
        }
    ),
    "featureConfig.scaling": {"standardscaler": "standard", "minmaxscaler": "minmax", "robustscaler": "robust"},
    "tuningConfig.searchMethod": _values(
        {"optuna": "bayesian | bayesian_optimization", "grid": "grid_search", "random": "random_search"}
    ),
    "tuningConfig.scoringMetric": {"auc": "roc_auc", "neg_log_loss": "log_loss"},
    "scadaDbConfig.driver": _values({"postgresql": "postgres | pg | timescaledb"}),
}
"""Values of others -> ours, whatever their case."""


def read_sections(data: Json, known: Iterable[str]) -> None:
    """Parse the sections of `data` that are JSON text, and drop keys with an empty text, as a form leaves them.

    Raises ConfigError if a text is no JSON.

    Parameters
    ----------
    data
        A copy of the caller's, changed in place; the caller's own sections stay as they are.
    known
        Further keys at the top, which may be written in snake_case as well.
    """
    _in_camel_case(data, {form.path for form in KEYS} | {*SECTIONS, *known})
    for section in SECTIONS:
        if section in data:
            data[section] = _without_empty(_parsed(data[section], section))
    for key in [key for key, value in data.items() if value == "" and key not in IDENTIFIERS]:
        del data[key]


def fold_forms(data: Json) -> list[Finding]:
    """Bring the keys and values of `data`, as `read_sections` left it, into our form in place; say what was done.

    Raises ConfigError if a key is refused, or two keys that mean the same have different values.
    """
    _nested_parts_in_camel_case(data)
    findings = [finding for form in KEYS for finding in _apply(form, data)]
    _refuse_rest_of_model_config(data)
    return [*findings, *_translate_values(data)]


def _parsed(value: Any, section: str) -> Any:
    is_json = isinstance(value, str) and value.lstrip().startswith("{")
    return parse_part(value, section) if is_json else value


def _without_empty(value: Any) -> Any:
    """Without keys of an empty text, at any depth; the caller's own objects stay as they are."""
    if not isinstance(value, dict):
        return value
    return {
        key: item if key in _ENTERED_FREELY or to_camel(key) in _ENTERED_FREELY else _without_empty(item)
        for key, item in value.items()
        if not (isinstance(item, str) and not item.strip())
    }


def _in_camel_case(part: Json, known: set[str]) -> None:
    """Write the keys that are `known` in camelCase, unless that is there, too."""
    for key in [key for key in part if isinstance(key, str) and _SNAKE.fullmatch(key)]:
        camel = to_camel(key)
        if camel in known and camel not in part:
            part[camel] = part.pop(key)


def _nested_parts_in_camel_case(data: Json) -> None:
    parts: dict[str, set[str]] = {}
    for form in KEYS:
        for path in (form.path, *form.to):
            section, _, key = path.rpartition(".")
            parts.setdefault(section, set()).add(key)
    parts.setdefault("trainingConfig", set()).update(("lgbParams", "rfParams"))
    parts["hyperparameters"] = parts[_LGB]
    for section in sorted(filter(None, parts), key=lambda name: name.count(".")):
        part = _part(data, section)
        if part is not None:
            _in_camel_case(part, parts[section])


def _part(data: Json, section: str) -> Json | None:
    """The object at the path `section`; None if there is none."""
    part: Any = data
    for name in section.split(".") if section else ():
        part = part.get(name) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else None


def _apply(form: KeyForm, data: Json) -> Iterator[Finding]:
    section, _, key = form.path.rpartition(".")
    part = _part(data, section)
    if part is None or key not in part:
        return
    if form.refused:
        raise ConfigError(f'"{form.path}" is not a key of ours', field=form.path, hint=form.told)
    value = part.pop(key)
    if not form.to:
        yield Finding("KEY_LEFT_OUT", f"{form.path} is not used: {form.told}", form.path)
        return
    ours = form.convert(value) if form.convert is not None else value
    if ours is None and not form.path.startswith(("min", "max")):  # null switches a requirement off
        return
    for path in form.to:
        _put(data, path, ours, form.path)
    if not form.silent:
        changed = f" ({value} is {ours})" if form.convert is not None and ours != value else ""
        yield Finding("KEY_MAPPED", f"{form.path} was read as {' and '.join(form.to)}{changed}", form.path)


def _put(data: Json, path: str, value: Any, origin: str) -> None:
    """Set the key of ours at `path`, unless it is there with another value."""
    section, _, key = path.rpartition(".")
    part = data
    for name in section.split(".") if section else ():
        below = part.get(name)
        if below is not None and not isinstance(below, dict):
            return  # the section's own validation says what is wrong
        part[name] = part = dict(below or {})
    if key in part and part[key] != value:
        secret = path.startswith("scadaDbConfig.")
        values = "" if secret else f" ({value!r} and {part[key]!r})"
        raise ConfigError(
            f'"{origin}" and "{path}" contradict each other{values}', field=origin, hint="give only one of them"
        )
    part[key] = value


def _refuse_rest_of_model_config(data: Json) -> None:
    rest = data.pop("modelConfig", None)
    if rest in (None, {}):
        return
    if not isinstance(rest, dict):
        raise ConfigError("modelConfig must be an object", field="modelConfig")
    known = sorted(form.path.partition(".")[2] for form in KEYS if form.path.startswith("modelConfig."))
    key = next(iter(rest))
    raise ConfigError(
        f'unknown key "modelConfig.{key}"',
        field=f"modelConfig.{key}",
        hint=f"of modelConfig these are understood: {', '.join(known)}; everything else about a model stands in "
        "trainingConfig and validationConfig",
    )


def _translate_values(data: Json) -> Iterator[Finding]:
    for path, names in VALUES.items():
        section, _, key = path.rpartition(".")
        part = _part(data, section)
        value = part.get(key) if part is not None else None
        if part is None or not isinstance(value, str):
            continue
        ours = names.get(value.lower(), value.lower() if value.lower() in names.values() else value)
        if ours != value:
            part[key] = ours
            yield Finding("VALUE_MAPPED", f"{path}: {value[:40]} was read as {ours}", path)
