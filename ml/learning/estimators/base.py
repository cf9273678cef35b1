"""The interface of a model type: fit, predict, save, load, and what a search may vary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from ml.arrays import Float32s, Float64s, Int64s
from ml.errors import DataError, IntegrityError, InternalError, TooFewFailuresError
from ml.learning.feature_rows import FeatureRows
from ml.learning.folds.fitting import Fold, FoldFitter, Labels, WholeFits
from ml.options.base import Section, explain
from ml.options.learning import SearchRange, TrainingConfig
from ml.windows.parallel import threads_for

if TYPE_CHECKING:
    from ml.export.graph.forms import ModelForm
    from ml.export.trees.ensemble import TreeEnsemble

Features = Float32s | FeatureRows
RoundCallback = Callable[[int, int], None]
Model = TypeVar("Model")


class Estimator(ABC):
    """A binary classifier over a float32 feature matrix in which NaN means missing.

    Parameters
    ----------
    config
        The training section. Its parameters for this model type are read from ``params_key``.
    """

    model_type: ClassVar[str]
    """Name in ``trainingConfig.modelType``, and of the module."""
    model_file: ClassVar[str]
    """File name under which a version keeps the model."""
    params_type: ClassVar[type[Section]]
    """Parameters of this model type."""
    streams: ClassVar[bool] = False
    """Whether `fit` takes features that are computed when read; other types are given the whole table."""
    params_key: ClassVar[str] = "model_params"
    """Attribute of TrainingConfig that holds them."""
    score_kind: ClassVar[Literal["probability", "anomaly"]] = "probability"
    """What `predict` gives: the probability of a failure, or the distance from normal behaviour, from 0 to 1."""
    rounds_parameter: ClassVar[str | None] = None
    """Of model types that stop early: the parameter that says how many rounds are fitted at most."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.names: list[str] = []

    @classmethod
    def parameters(cls, config: TrainingConfig) -> Section:
        """The checked parameters of this model type.

        Raises ConfigError if ``modelParams`` names an unknown parameter or a value that is not allowed.
        """
        given = getattr(config, cls.params_key)
        if isinstance(given, cls.params_type):
            return given
        try:
            return cls.params_type.model_validate(given)
        except ValidationError as failure:
            raise explain(failure, cls.params_type) from None

    @classmethod
    def with_parameters(cls, config: TrainingConfig, values: Mapping[str, Any]) -> TrainingConfig:
        """A copy of `config` with some parameters, by their camelCase names, replaced.

        Raises ConfigError if a parameter is unknown (the nearest name is the hint), or its value is not allowed.
        """
        data = config.model_dump(by_alias=True)
        data[to_camel(cls.params_key)] |= values
        try:
            changed = TrainingConfig.model_validate(data)
        except ValidationError as failure:
            raise explain(failure, TrainingConfig) from None
        cls.parameters(changed)
        return changed

    @classmethod
    @abstractmethod
    def search_space(cls) -> dict[str, SearchRange]:
        """What a search varies unless told otherwise: camelCase parameter -> its values."""

    @classmethod
    def without_stopping(cls, config: TrainingConfig, rounds: int) -> TrainingConfig:
        """The configuration that fits `rounds` rounds without validation rows."""
        return config if cls.rounds_parameter is None else cls.with_parameters(config, {cls.rounds_parameter: rounds})

    @property
    def threads(self) -> int:
        """CPU threads to use: as configured, else all that this process may run on."""
        return threads_for(self.config.threads)

    @property
    @abstractmethod
    def rounds(self) -> int:
        """Trees (or iterations) of the fitted model."""

    def fit(
        self,
        X: Features,
        y: Labels,
        X_valid: Features | None = None,
        y_valid: Labels | None = None,
        *,
        names: Sequence[str],
        on_round: RoundCallback | None = None,
    ) -> Self:
        """Fit on rows `X`, shape (n_rows, n_features), with labels `y` of 0 and 1.

        Model types that say so with ``streams`` may be given `FeatureRows`, to be read a batch at a time.

        Raises TooFewFailuresError if the labels hold one class only, and ConfigError or MissingLibraryError if the
        model type's library refuses a parameter's value for these rows, or is not installed.

        Parameters
        ----------
        X_valid, y_valid
            Rows for early stopping, where the model type knows it.
        names
            Feature names in column order.
        on_round
            Called with ``(done, total)`` as fitting proceeds. What it raises ends the fit and reaches the caller.
        """
        check_width(X, len(names))
        self.names = list(names)
        self._fit(X, y, None if X_valid is None or y_valid is None else (X_valid, y_valid), on_round)
        return self

    @abstractmethod
    def _fit(
        self, X: Features, y: Labels, valid: tuple[Features, Labels] | None, on_round: RoundCallback | None
    ) -> None:
        """As `fit`, which has checked the width and keeps the names."""

    @abstractmethod
    def predict(self, X: Float32s) -> Float64s:
        """Probability of class 1, shape (n_rows,); the same bits every time.

        Raises DataError if `X` has another number of features than the model was fitted with.
        """

    def leaves(self, X: Float32s) -> Int64s:
        """The leaf that each row reaches in each tree, in the library's own numbers: shape (n_rows, n_trees).

        A model type without trees has none: shape (n_rows, 0).
        """
        return np.empty((len(X), 0), dtype=np.int64)

    def scores(self, X: Float32s) -> Float64s:
        """The raw score of each row, (n_rows,): what the model's link turns into a probability.

        It is the log-odds for boosted trees and logistic regression. A model type without a link, such as a forest,
        has the probability itself. Raises as `predict`.
        """
        return self.predict(X)

    def contributions(self, X: Float32s) -> Float64s | None:  # noqa: ARG002
        """What each feature adds to the raw score of each row, exactly: SHAP values (Lundberg and Lee, NeurIPS 2017).

        Raises DataError if `X` has another number of features than the model was fitted with.

        Returns
        -------
        float64 (n_rows, n_features + 1) in the units of `scores`; the last column is the model's expected score, and
        each row sums to its score. None where the model type has none.
        """
        return None

    @abstractmethod
    def importances(self) -> dict[str, float]:
        """Feature name -> share of the model's gain, summing to 1 (all 0 for a model without a split)."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the model to `path`."""

    @classmethod
    def load(cls, path: Path, config: TrainingConfig, *, names: Sequence[str] | None = None) -> Self:
        """Read a model that `save` wrote; features are called ``f0``, ``f1``, … unless `names` are given.

        Raises
        ------
        IntegrityError
            If the file is not a whole model of this type, or has not as many features as `names`.
        ParityError
            If it is a model of its library, but of a kind that cannot be exported.
        MissingLibraryError
            If the library is not installed.
        """
        model = cls(config)
        n_features = model._read(path)
        if names is not None and len(names) != n_features:
            raise IntegrityError(
                f"{path.name} is a model of {n_features} features, and this version has {len(names)}",
                hint="give the model file that was trained with this version's configuration",
            )
        model.names = default_names(n_features) if names is None else list(names)
        return model

    @abstractmethod
    def _read(self, path: Path) -> int:
        """Take the model that `save` wrote, and give its number of features; raises as `load`."""

    def form(self) -> ModelForm:
        """What the export builds a graph of; a model type without trees overrides it.

        Raises ParityError if the model has something that ONNX cannot repeat exactly.
        """
        return self.ensemble()

    def ensemble(self) -> TreeEnsemble:
        """The model's trees; a model type of trees overrides it."""
        raise InternalError(f"the model type {self.model_type} says nothing about its export to ONNX")

    @classmethod
    def folds(cls, X: Float32s, y: Labels, folds: Sequence[Fold], *, names: Sequence[str]) -> FoldFitter:
        """What fits many configurations on the same folds; a model type that grows by rounds overrides it."""

        def fit(config: TrainingConfig, *rows_and_labels: npt.NDArray[Any]) -> Estimator:
            return cls(config).fit(*rows_and_labels, names=names)

        return WholeFits(fit, X, y, folds)


def class_counts(y: Labels, rows: str) -> tuple[int, int]:
    """Negative and positive rows.

    Raises TooFewFailuresError if one of them is none; `rows` says which rows these are.
    """
    positives = int(np.count_nonzero(y))
    negatives = len(y) - positives
    if not (positives and negatives):
        raise TooFewFailuresError(
            f"the {rows} rows hold one class only ({negatives} negative, {positives} positive)",
            hint="a model needs rows before failures and rows of healthy operation",
        )
    return negatives, positives


def as_rows(X: Float32s, n_features: int) -> Float32s:
    """`X` as the libraries take it, row-major float32; refused where it is not ``(n_rows, n_features)``."""
    check_width(X, n_features)
    return np.ascontiguousarray(X, dtype=np.float32)


def check_width(X: Features, n_features: int) -> None:
    """Refuse a matrix that is not ``(n_rows, n_features)``."""
    if len(X.shape) != 2 or X.shape[1] != n_features:
        raise DataError(f"the model expects {n_features} features per row and got an array of shape {X.shape}")


def fitted(model: Model | None) -> Model:
    """What a library has fitted; raises InternalError if there is nothing yet."""
    if model is None:
        raise InternalError("the model was asked for before it was fitted or loaded")
    return model


def as_shares(gains: Float64s, names: Sequence[str]) -> dict[str, float]:
    """Gains as named shares that sum to 1; all 0 where there was no gain."""
    total = gains.sum()
    shares = gains / total if total > 0 else np.zeros(len(gains))
    return dict(zip(names, shares.tolist(), strict=True))


def default_names(n_features: int) -> list[str]:
    """``f0``, ``f1``, …: names that every library and file format accepts."""
    return [f"f{number}" for number in range(n_features)]
