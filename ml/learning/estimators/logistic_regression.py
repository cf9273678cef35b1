"""Logistic regression with a quadratic penalty (scikit-learn fits it): the simplest model that may do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveFloat

from ml.arrays import Float32s, Float64s
from ml.errors import EagleError, IntegrityError
from ml.export.graph.forms import LinearForm
from ml.learning.estimators.base import (
    Estimator,
    Features,
    RoundCallback,
    as_rows,
    as_shares,
    class_counts,
    fitted,
)
from ml.learning.folds.fitting import Labels
from ml.options.base import Section
from ml.options.learning import SearchRange
from ml.workspace.files import read_json, write_text

if TYPE_CHECKING:
    from ml.export.graph.forms import ModelForm

_PARTS = ("center", "scale", "weight")


class LogisticRegressionParams(Section):
    """Parameters, under scikit-learn's names in camelCase where it has them."""

    penalty_inverse: PositiveFloat = Field(default=0.01, description="Inverse of the penalty (scikit-learn's C).")
    max_iter: Annotated[int, Field(ge=1, le=100_000)] = Field(default=500, description="Iterations at most.")


class LogisticRegression(Estimator):
    """A weighted sum of standardised features through the logistic function.

    Features are standardised by the training rows; a missing value counts as their mean. Only the weights are
    scikit-learn's: the sum is ours, in one order, because a product of matrices adds in an order that no other library
    repeats (`ml.export.graph.forms.LinearForm`). A feature that does not vary gets no weight.
    """

    model_type: ClassVar[str] = "logistic_regression"
    model_file: ClassVar[str] = "model.json"
    params_type: ClassVar[type[Section]] = LogisticRegressionParams
    _form: LinearForm | None = None
    _iterations = 1

    @classmethod
    def search_space(cls) -> dict[str, SearchRange]:
        """The penalty."""
        return {"penaltyInverse": SearchRange(low=1e-4, high=1.0, log=True)}

    @property
    def rounds(self) -> int:
        """Iterations of the fit."""
        return self._iterations

    def _fit(
        self, X: Features, y: Labels, valid: tuple[Features, Labels] | None, on_round: RoundCallback | None
    ) -> None:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression as Fitter

        del valid  # there is nothing to stop early
        class_counts(y, "training")
        if on_round is not None:
            on_round(0, 1)
        rows = np.asarray(X, dtype=np.float32)
        center, scale = _moments(rows)
        params = cast(LogisticRegressionParams, self.parameters(self.config))
        fitter = Fitter(
            C=params.penalty_inverse,
            max_iter=params.max_iter,
            class_weight="balanced" if self.config.imbalance == "balanced" else None,
        )
        standardised = np.nan_to_num((rows.astype(np.float64) - center) / scale, nan=0.0, posinf=0.0, neginf=0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # maxIter is the user's to choose
            fitter.fit(standardised, np.asarray(y, dtype=np.int64))
        self._form = LinearForm(center, scale, fitter.coef_[0], float(fitter.intercept_[0]))
        self._iterations = max(1, int(fitter.n_iter_[0]))
        if on_round is not None:
            on_round(1, 1)

    def predict(self, X: Float32s) -> Float64s:
        """As `Estimator.predict`."""
        return self._fitted.predict(self._rows(X))

    def scores(self, X: Float32s) -> Float64s:
        """As `Estimator.scores`: the weighted sum, in log-odds."""
        return self._fitted.scores(self._rows(X))

    def contributions(self, X: Float32s) -> Float64s:
        """As `Estimator.contributions`: each term of the sum, which is its SHAP value for independent features.

        The expected score is the intercept, as standardised features have a mean of 0 on the training rows.
        """
        terms = self._fitted.terms(self._rows(X))
        return np.column_stack([terms, np.full(len(terms), self._fitted.intercept)])

    def importances(self) -> dict[str, float]:
        """Share of the sum of absolute weights of standardised features."""
        return as_shares(np.abs(self._fitted.weight), self.names)

    def save(self, path: Path) -> None:
        """Write JSON; every number reads back as the same float64."""
        form = self._fitted
        content = {name: getattr(form, name).tolist() for name in _PARTS}
        write_text(path, json.dumps(content | {"intercept": form.intercept, "iterations": self._iterations}) + "\n")

    def _read(self, path: Path) -> int:
        content = read_json(path, "the model")
        try:
            parts = {name: np.array(content.pop(name), dtype=np.float64) for name in _PARTS}
            self._iterations = int(content.pop("iterations"))
            self._form = LinearForm(**parts, intercept=float(content.pop("intercept")))
        except (KeyError, TypeError, ValueError, EagleError) as error:
            raise IntegrityError(f"{path.name} is not a logistic regression: {error!r}") from None
        if content or any(part.ndim != 1 for part in parts.values()):
            raise IntegrityError(f"{path.name} is not a logistic regression: it holds something else")
        return self._form.n_features

    def form(self) -> ModelForm:
        """As `Estimator.form`."""
        return self._fitted

    @property
    def _fitted(self) -> LinearForm:
        return fitted(self._form)

    def _rows(self, X: Float32s) -> Float32s:
        return as_rows(X, self._fitted.n_features)


def _moments(X: Float32s) -> tuple[Float64s, Float64s]:
    """Mean and standard deviation of the finite values of each feature; 0 and 1 where they say nothing."""
    values: npt.NDArray[Any] = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
    count = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    center = np.nansum(values, axis=0) / count
    scale = np.sqrt(np.nansum((values - center) ** 2, axis=0) / count)
    return center, np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
