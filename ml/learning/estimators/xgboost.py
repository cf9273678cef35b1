"""Gradient boosted trees by XGBoost (Chen and Guestrin, KDD 2016); needs the extra ``xgboost``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat

from ml.arrays import Float32s, Float64s, Int64s
from ml.errors import IntegrityError, MissingLibraryError
from ml.export.graph.forms import logistic
from ml.learning.estimators.base import (
    Estimator,
    Features,
    RoundCallback,
    as_rows,
    as_shares,
    class_counts,
    default_names,
    fitted,
)
from ml.learning.folds.fitting import Labels
from ml.options.base import Section
from ml.options.learning import SearchRange, Share
from ml.workspace.files import write_bytes
from ml.workspace.safe_open import read_bytes

if TYPE_CHECKING:
    from ml.export.trees.ensemble import TreeEnsemble

_LARGEST = np.finfo(np.float32).max


def _library() -> Any:
    """XGBoost; raises MissingLibraryError."""
    try:
        import xgboost
    except ImportError:
        raise MissingLibraryError(
            'trainingConfig.modelType "xgboost" needs the library XGBoost, which is not installed',
            field="trainingConfig.modelType",
            hint='pip install "eagle-ml[xgboost]", or pip install xgboost-cpu',
        ) from None
    return xgboost


class XgboostParams(Section):
    """Parameters, under XGBoost's names in camelCase."""

    num_iterations: Annotated[int, Field(ge=1, le=100_000)] = Field(default=1000, description="Trees at most.")
    learning_rate: PositiveFloat = Field(default=0.05, description="Shrinkage.")
    max_depth: Annotated[int, Field(ge=1, le=30)] = Field(default=5, description="Depth limit.")
    min_child_weight: NonNegativeFloat = Field(default=5.0, description="Sum of the hessian per leaf at least.")
    subsample: Share = Field(default=0.8, description="Share of rows drawn per tree.")
    colsample_bytree: Share = Field(default=0.3, description="Share of features drawn per tree.")
    reg_alpha: NonNegativeFloat = Field(default=0.0, description="L1 penalty.")
    reg_lambda: NonNegativeFloat = Field(default=1.0, description="L2 penalty.")
    gamma: NonNegativeFloat = Field(default=0.0, description="Gain a split must bring.")
    max_bin: Annotated[int, Field(ge=2, le=65_535)] = Field(default=256, description="Bins per feature.")


class Xgboost(Estimator):
    """Boosted trees, stopped early by the validation rows and cut back to the best round.

    The trees are XGBoost's. The score is the sum of their leaves in float64, where XGBoost adds in float32, so it
    differs from XGBoost's own by about one in ten million, and the exported graph repeats it to the bit. Two fits with
    the same data and configuration give the same file, whatever the number of threads: one is used, because with more
    XGBoost adds gradients in the order in which they finish.
    """

    model_type: ClassVar[str] = "xgboost"
    model_file: ClassVar[str] = "model.json"
    params_type: ClassVar[type[Section]] = XgboostParams
    rounds_parameter: ClassVar[str | None] = "numIterations"
    _booster: Any = None
    _ensemble: TreeEnsemble | None = None

    @classmethod
    def search_space(cls) -> dict[str, SearchRange]:
        """Tree size, regularisation and sampling; early stopping chooses the number of trees."""
        return {
            "maxDepth": SearchRange(choices=(2, 3, 4, 5, 6, 8)),
            "learningRate": SearchRange(low=0.02, high=0.2, log=True),
            "minChildWeight": SearchRange(low=1.0, high=100.0, log=True),
            "colsampleBytree": SearchRange(low=0.02, high=0.5, log=True),
            "subsample": SearchRange(low=0.5, high=1.0),
            "regLambda": SearchRange(low=0.1, high=20.0, log=True),
        }

    @property
    def booster(self) -> Any:
        """The fitted ``xgboost.Booster``; raises InternalError if there is none."""
        return fitted(self._booster)

    @property
    def rounds(self) -> int:
        """Trees that the model keeps."""
        return int(self.booster.num_boosted_rounds())

    def _fit(
        self, X: Features, y: Labels, valid: tuple[Features, Labels] | None, on_round: RoundCallback | None
    ) -> None:
        library = _library()
        negatives, positives = class_counts(y, "training")
        rounds = cast(XgboostParams, self.parameters(self.config)).num_iterations
        patience = self.config.early_stopping_rounds
        callbacks = [] if on_round is None else [_reporting(library, on_round, rounds)]
        stopping: dict[str, Any] = {}
        if valid is not None and patience:
            class_counts(valid[1], "validation")
            callbacks.append(library.callback.EarlyStopping(rounds=patience, save_best=True))
            stopping["evals"] = [(self._matrix(*valid), "validation")]
        weight = negatives / positives if self.config.imbalance == "balanced" else 1.0
        booster = library.train(
            self._parameters() | {"scale_pos_weight": weight},
            self._matrix(X, y),
            rounds,
            callbacks=callbacks,
            verbose_eval=False,
            **stopping,
        )
        self._keep(booster.save_raw("json"))

    def predict(self, X: Float32s) -> Float64s:
        """As `Estimator.predict`."""
        return logistic(self.scores(X))

    def scores(self, X: Float32s) -> Float64s:
        """As `Estimator.scores`: the sum of the leaves reached, in log-odds."""
        trees = self.ensemble()
        total = np.zeros(len(X))
        for tree, leaves in enumerate(self.leaves(X).T):
            of_tree = trees.leaf_tree == tree
            # a tree's leaves are in the order of their numbers; a lone leaf has the number 0
            total += trees.leaf_weight[of_tree][np.searchsorted(trees.leaf_number[of_tree], leaves)]
        return total

    def contributions(self, X: Float32s) -> Float64s:
        """As `Estimator.contributions`, by TreeSHAP in float32."""
        return self._predicted(X, pred_contribs=True).reshape(len(X), self.booster.num_features() + 1)

    def leaves(self, X: Float32s) -> Int64s:
        """As `Estimator.leaves`."""
        return self._predicted(X, pred_leaf=True).astype(np.int64).reshape(len(X), self.rounds)

    def importances(self) -> dict[str, float]:
        """Share of the total gain of all splits."""
        gains = self.booster.get_score(importance_type="total_gain")
        return as_shares(np.array([gains.get(name, 0.0) for name in default_names(len(self.names))]), self.names)

    def save(self, path: Path) -> None:
        """Write XGBoost's JSON."""
        write_bytes(path, bytes(self.booster.save_raw("json")))

    def _read(self, path: Path) -> int:
        library, content = _library(), read_bytes(path)
        try:
            self._keep(content)
        except IntegrityError as damage:
            raise IntegrityError(f"{path.name} is no XGBoost model: {damage.message}") from None
        except library.core.XGBoostError:
            raise IntegrityError(f"{path.name} is no XGBoost model: XGBoost does not read it") from None
        return self.ensemble().n_features

    def ensemble(self) -> TreeEnsemble:
        """As `Estimator.ensemble`."""
        return fitted(self._ensemble)

    def _keep(self, content: bytes | bytearray) -> None:
        """Take a model in XGBoost's JSON, which is checked before XGBoost sees it."""
        from ml.export.trees.ensemble import from_xgboost

        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise IntegrityError("it is not text") from None
        self._ensemble = from_xgboost(text)
        self._booster = _library().Booster({"nthread": self.threads}, model_file=bytearray(content))

    def _parameters(self) -> dict[str, Any]:
        params = cast(XgboostParams, self.parameters(self.config)).model_dump(exclude={"num_iterations"})
        return params | {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "seed": self.config.random_state,
            "nthread": 1,
            "verbosity": 0,
        }

    def _matrix(self, X: Features, y: Labels | None = None) -> Any:
        rows = np.asarray(X, dtype=np.float32)
        rows = np.clip(rows, -_LARGEST, _LARGEST)  # XGBoost refuses what is infinite; NaN stays
        label = None if y is None else np.asarray(y, dtype=np.float32)
        return _library().DMatrix(rows, label, feature_names=default_names(rows.shape[1]), nthread=self.threads)

    def _predicted(self, X: Float32s, **kind: bool) -> Float64s:
        rows = as_rows(X, self.ensemble().n_features)
        if not len(rows):
            return np.empty(0)
        return np.asarray(self.booster.predict(self._matrix(rows), **kind), dtype=np.float64)


def _reporting(library: Any, on_round: RoundCallback, total: int) -> Any:
    """What XGBoost calls after each round; what `on_round` raises ends the fit."""

    class Reporting(library.callback.TrainingCallback):  # type: ignore[misc] # known when XGBoost is there
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - XGBoost's names
            on_round(epoch + 1, total)
            return False

    return Reporting()
