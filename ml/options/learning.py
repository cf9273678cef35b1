"""`trainingConfig` and `tuningConfig`: which model is fitted, and how its parameters are searched."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ml.options.access.database_url import UrlError, parse_url
from ml.options.access.secrets import SecretName, secret_in_file, secret_in_variable
from ml.options.base import PositiveSeconds, Section, distinct
from ml.options.models.normal_behaviour import NormalBehaviourParams
from ml.options.thresholds import ThresholdPolicy

_MAX_THREADS = 1024  # above any machine's cores; the thread pools of the learners crash when asked for a million

_STORAGE_HINT = "the name of its password belongs in storagePasswordEnv or storagePasswordFile"

Share = Annotated[float, Field(ge=0.001, le=1)]  # a smaller share draws nothing from most tables
RowCount = Annotated[int, Field(ge=1, le=10**9)]  # the learners count rows in 32 bits
Depth = Annotated[int, Field(ge=1, le=1000)]
CalibrationMethod = Literal["none", "sigmoid", "isotonic", "auto"]


def _only_binary(value: Any) -> Any:
    if value != "binary":
        raise PydanticCustomError(
            "objective",
            'must be "binary": the model gives the probability of a failure, and other objectives give none that '
            "ONNX would repeat exactly",
        )
    return value


def _no_linear_trees(value: Any) -> Any:
    if value is not False:
        raise PydanticCustomError(
            "linear_tree",
            "must be false: ONNX has no trees with linear functions in their leaves, so the model could not be "
            "exported exactly",
        )
    return value


class LgbParams(Section):
    """LightGBM parameters, under LightGBM's names in camelCase."""

    num_leaves: Annotated[int, Field(ge=2, le=131_072)] = Field(default=15, description="Leaves per tree.")
    learning_rate: PositiveFloat = Field(default=0.03, description="Shrinkage.")
    num_iterations: Annotated[int, Field(ge=1, le=100_000)] = Field(default=1000, description="Trees at most.")
    max_depth: Annotated[int, Field(ge=-1, le=1000)] = Field(default=-1, description="-1: no limit.")
    min_data_in_leaf: Annotated[int, Field(ge=0, le=10**9)] = Field(default=50, description="Rows per leaf at least.")
    feature_fraction: Share | None = Field(
        default=None, description="Share of features drawn per tree. Default: as many as make 64 features."
    )
    bagging_fraction: Share = Field(default=0.8, description="Rows drawn per bagging round.")
    bagging_freq: Annotated[int, Field(ge=0, le=10**6)] = Field(
        default=5, description="Trees per bagging round; 0: no bagging."
    )
    lambda_l1: NonNegativeFloat = Field(default=0.0, description="L1 penalty.")
    lambda_l2: NonNegativeFloat = Field(default=0.0, description="L2 penalty.")
    min_gain_to_split: NonNegativeFloat = Field(default=0.0, description="Gain a split must bring.")
    max_bin: Annotated[int, Field(ge=2, le=65_535)] = Field(default=255, description="Bins per feature.")
    path_smooth: NonNegativeFloat = Field(default=0.0, description="Smoothing of small leaves.")
    extra_trees: bool = Field(default=False, description="Random thresholds.")
    scale_pos_weight: PositiveFloat | None = Field(
        default=None, description="Weight of positive rows. Default: by trainingConfig.imbalance."
    )
    boosting: Literal["gbdt", "dart", "goss", "rf"] = Field(
        default="gbdt", description="Kind of boosting; rf averages trees instead, and needs bagging."
    )
    objective: Annotated[Literal["binary"], BeforeValidator(_only_binary)] = Field(
        default="binary", description="Others predict no probability of one event, and cannot be exported exactly."
    )
    metric: Literal["average_precision", "auc", "binary_logloss", "binary_error"] = Field(
        default="binary_logloss", description="Metric that early stopping watches."
    )
    verbosity: Annotated[int, Field(ge=-100, le=100)] = Field(default=-1, description="LightGBM's own log level.")
    zero_as_missing: bool = Field(
        default=False, description="Zeros are missing values, such as those of a dead sensor."
    )
    categorical_features: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        default=(),
        description="Features split by sets of values instead of by order, by their names in the model, such as "
        "operating_regime. Whole numbers from 0 to 4095.",
    )
    linear_tree: Annotated[Literal[False], BeforeValidator(_no_linear_trees)] = Field(
        default=False, description="Linear functions in the leaves cannot be exported exactly."
    )

    @model_validator(mode="after")
    def averaging_needs_bagging(self) -> Self:
        """Without drawing rows or features, all trees that are averaged would be the same."""
        if self.boosting == "rf" and not (self.bagging_freq and self.bagging_fraction < 1):
            raise PydanticCustomError(
                "bagging", "boosting rf needs a baggingFreq of at least 1 and a baggingFraction below 1"
            )
        return self


class RfParams(Section):
    """Random Forest parameters, under scikit-learn's names in camelCase."""

    n_estimators: Annotated[int, Field(ge=1, le=100_000)] = Field(default=200, description="Trees.")
    max_depth: Depth | None = Field(default=None, description="Depth limit.")
    min_samples_leaf: RowCount = Field(default=5, description="Rows per leaf at least.")
    min_samples_split: Annotated[int, Field(ge=2, le=10**9)] = Field(default=2, description="Rows to split at least.")
    max_features: Literal["sqrt", "log2"] | Share = Field(default="sqrt", description="Features tried per split.")
    max_samples: Share | None = Field(default=None, description="Share of rows drawn per tree.")
    criterion: Literal["gini", "entropy", "log_loss"] = Field(default="gini", description="Split criterion.")


class TrainingConfig(Section):
    """How the model is fitted."""

    engine: Literal["local", "dask"] = Field(
        default="local",
        description="local: in this process. dask: features and trees by partitions, on the Dask cluster of "
        "DASK_SCHEDULER_ADDRESS, else in this process; for histories too long for one; lightgbm only.",
    )
    model_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = Field(
        default="lightgbm",
        description="lightgbm, random_forest, logistic_regression, xgboost, normal_behaviour (needs no failures), auto "
        "(normal_behaviour or lightgbm, by the failures that are known), or another file in ml/learning/estimators.",
    )
    lgb_params: LgbParams = Field(default=LgbParams(), description="Parameters of lightgbm.")
    rf_params: RfParams = Field(default=RfParams(), description="Parameters of random_forest.")
    normal_behaviour: NormalBehaviourParams = Field(
        default=NormalBehaviourParams(), description="Parameters of normal_behaviour; docs/normal-behaviour.md."
    )
    model_params: dict[str, Any] = Field(default={}, description="Parameters of any other model type.")
    imbalance: Literal["none", "balanced"] = Field(
        default="none", description="Weigh classes equally, or as they come. Weights distort probabilities."
    )
    compare_imbalance: bool = Field(
        default=False,
        description="Fit once more for each way of imbalance, and keep their validation scores in metrics.json.",
    )
    calibration: CalibrationMethod = Field(
        default="none",
        description="Map from scores to probabilities, fitted on the validation part and exported. auto: the one of "
        "least cross-validated log loss.",
    )
    threshold_policy: ThresholdPolicy = Field(
        default=ThresholdPolicy(), description="How the alarm threshold is chosen on the validation part."
    )
    min_failures_per_mode: Annotated[int, Field(ge=2, le=10**6)] = Field(
        default=5,
        description="Failures that a mode of failure must have to be told apart; rarer modes are pooled into other.",
    )
    early_stopping_rounds: Annotated[int, Field(ge=0, le=10**6)] = Field(
        default=50, description="Stop when validation has not improved for so many trees; 0: never."
    )
    random_state: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=42, description="Seed of everything random.")
    refit: Literal["none", "validation", "all"] | None = Field(
        default=None,
        description="Fit once more, with the trees and the threshold found before: on training and validation part, "
        "or on all rows; the verdict is then of a model that has not seen the rows that it is judged on. Default: all "
        "after a backtest, else none.",
    )
    time_to_failure: Literal["off", "on", "auto"] = Field(
        default="off",
        description="on: fit a second model that gives alarms an interval for the time to failure, written as "
        "time_to_failure.onnx; training takes about twice as long. auto: where the data allow it and failures "
        "of the test part (validation part, without one) show that the interval can be relied on.",
    )
    export_onnx: bool = Field(default=True, description="Write model.onnx beside the model.")
    threads: Annotated[int, Field(ge=1, le=_MAX_THREADS)] | None = Field(
        default=None, description="CPU threads. Default: those this process may use."
    )

    @model_validator(mode="after")
    def dask_grows_trees_of_lightgbm(self) -> Self:
        """No other model type can be fitted by processes that each hold a part of the rows."""
        if self.engine == "dask" and self.model_type != "lightgbm":
            raise PydanticCustomError(
                "engine",
                'engine "dask" fits lightgbm only, and modelType is "{kind}"; set engine to "local"',
                {"kind": self.model_type},
            )
        return self


ParameterValue = bool | int | float | str
SearchChoice = ParameterValue | tuple[int, ...] | tuple[str, ...]


class SearchRange(Section):
    """Values that one parameter may take: a list, or an interval."""

    choices: tuple[SearchChoice, ...] | None = Field(default=None, description="The values.")
    low: float | None = Field(default=None, description="Lower end.")
    high: float | None = Field(default=None, description="Upper end.")
    log: bool = Field(default=False, description="Search the interval on a logarithmic scale.")

    @model_validator(mode="after")
    def list_or_interval(self) -> Self:
        """Exactly one of the two forms."""
        interval = self.low is not None and self.high is not None
        if (self.choices is not None) == interval or (self.low is None) != (self.high is None):
            raise PydanticCustomError("range", 'give either "choices", or "low" and "high"')
        if self.choices is not None and not self.choices:
            raise PydanticCustomError("range", "choices must not be empty")
        if self.low is not None and self.high is not None and (self.low > self.high or (self.log and self.low <= 0)):
            raise PydanticCustomError("range", "low must not exceed high, and must be positive on a log scale")
        return self


class TuningConfig(Section):
    """How parameters are searched."""

    search_method: Literal["optuna", "random", "grid"] = Field(default="optuna", description="Search strategy.")
    n_trials: Annotated[int, Field(ge=1, le=100_000)] = Field(default=30, description="Trials at most.")
    timeout_seconds: PositiveSeconds | None = Field(
        default=None, description="Stop after so long, within a trial, too; a trial that is cut short does not count."
    )
    cv_folds: Annotated[int, Field(ge=2, le=20)] = Field(default=3, description="Purged event folds.")
    shuffled_folds: Literal["leaks"] | None = Field(
        default=None,
        description='"leaks": folds of shuffled single rows instead, whose scores are too good and marked so.',
    )
    scoring_metric: Literal["average_precision", "roc_auc", "f1", "log_loss", "accuracy", "precision", "recall"] = (
        Field(
            default="average_precision",
            description="What is optimised on the folds; f1, accuracy, precision and recall at the threshold of the "
            "best F1.",
        )
    )
    random_state: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=42, description="Seed of the search.")
    pruning: bool = Field(
        default=True, description="Give a trial up where it is not among the best quarter of those that came as far."
    )
    search_space: dict[str, SearchRange] | None = Field(
        default=None,
        description="Parameter -> values. Default: a space per model type. Beside the model's parameters: "
        "rollingWindows, lagSeconds and families, whose choices are lists.",
    )
    workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1,
        description="Processes that run trials side by side and share this process's CPUs. With 1 the seed decides "
        "the result; with more, also which trial ends first.",
    )
    storage: str | None = Field(
        default=None,
        description="Where trials are kept: `postgresql://user@host/database`, without a password. Default: a "
        "journal file in hyperparameter_results.",
    )
    storage_password_env: SecretName | None = Field(
        default=None, description="Name of the password of `storage`, as in `scadaDbConfig.passwordEnv`."
    )
    storage_password_file: SecretName | None = Field(
        default=None, description="Name of the password of `storage`, as in `scadaDbConfig.passwordFile`."
    )

    @field_validator("storage")
    @classmethod
    def storage_is_a_url_without_a_password(cls, value: str | None) -> str | None:
        """A URL is written into the log and the artifacts, so a password must not be part of it."""
        if value is None:
            return None
        reason = "must be a URL such as postgresql://user@host/database"
        try:
            url = parse_url(value)
        except UrlError as error:
            reason = str(error)
        else:
            if url.scheme == "postgresql" and url.database:
                return value
        raise PydanticCustomError("storage_url", "{reason}", {"reason": reason, "hint": _STORAGE_HINT})

    @model_validator(mode="after")
    def one_storage_password(self) -> Self:
        """Two sources for one secret would leave it unclear which one counts."""
        if self.storage_password_env is not None and self.storage_password_file is not None:
            raise PydanticCustomError("two_passwords", "storagePasswordEnv and storagePasswordFile exclude each other")
        return self

    def storage_secret(self, organization_id: str) -> str | None:
        """The password of `storage`; None if there is no storage, or no password is named.

        Raises ConfigError, IsolationError as `ml.options.access.secrets.secret_in_variable` and `secret_in_file`.
        """
        if self.storage is None:
            return None
        if self.storage_password_file is not None:
            field = "tuningConfig.storagePasswordFile"
            return secret_in_file(organization_id, self.storage_password_file, field=field)
        if self.storage_password_env is not None:
            field = "tuningConfig.storagePasswordEnv"
            return secret_in_variable(organization_id, self.storage_password_env, field=field)
        return None
