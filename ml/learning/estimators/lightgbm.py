"""Gradient boosted trees by LightGBM (Ke et al., NeurIPS 2017), on its native interface."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import lightgbm as lgb
import numpy as np

from ml.arrays import Float32s, Float64s, Int64s
from ml.errors import IntegrityError
from ml.learning.binning import binned, thresholds_of
from ml.learning.categories import categorical_columns
from ml.learning.estimators.base import (
    Estimator,
    Features,
    RoundCallback,
    as_rows,
    as_shares,
    class_counts,
    fitted,
)
from ml.learning.folds.boosting import BoostedFolds, BoostingRules, refused_parameters
from ml.learning.folds.fitting import Fold, FoldFitter, Labels
from ml.options.base import Section
from ml.options.learning import LgbParams, SearchRange, TrainingConfig
from ml.workspace.files import write_text
from ml.workspace.safe_open import read_bytes

if TYPE_CHECKING:
    from ml.export.trees.ensemble import TreeEnsemble

SEEDS = (
    "seed",
    "bagging_seed",
    "data_random_seed",
    "drop_seed",
    "extra_seed",
    "feature_fraction_seed",
    "objective_seed",
)


# Window features come in families of near copies. Drawing few of them per tree makes the trees differ, which on a
# turbofan benchmark took the cross-validated log loss from 0.067 (90 % of 900 features) to 0.050, 30 times faster.
FEATURES_PER_TREE = 64
_BINNED_BY = {"max_bin", "zero_as_missing", "categorical_features"}


class LightGBM(Estimator):
    """Boosted trees, stopped early by the validation rows and cut back to the best round.

    Two fits with the same data, configuration and thread count give the same model text. NaN is handled by each
    split's default direction. LightGBM cannot stop ``boosting: dart`` early, because later rounds rescale earlier
    trees, so dart fits every round. ``boosting: goss`` draws rows by gradient instead of bagging, so bagging is off.
    LightGBM refuses feature names with JSON's special characters; it is given ``f0``, ``f1``, … instead.
    """

    model_type: ClassVar[str] = "lightgbm"
    model_file: ClassVar[str] = "model.txt"
    streams: ClassVar[bool] = True
    params_type: ClassVar[type[Section]] = LgbParams
    params_key: ClassVar[str] = "lgb_params"
    rounds_parameter: ClassVar[str | None] = "numIterations"
    _booster: lgb.Booster | None = None

    @classmethod
    def search_space(cls) -> dict[str, SearchRange]:
        """Tree size, regularisation and sampling; early stopping chooses the number of trees."""
        return {
            "numLeaves": SearchRange(low=4, high=63, log=True),
            "learningRate": SearchRange(low=0.02, high=0.2, log=True),
            "minDataInLeaf": SearchRange(low=10, high=300, log=True),
            "featureFraction": SearchRange(low=0.02, high=0.5, log=True),
            "baggingFraction": SearchRange(low=0.5, high=1.0),
            "lambdaL2": SearchRange(low=0.0, high=20.0),
            "pathSmooth": SearchRange(low=0.0, high=20.0),
            "extraTrees": SearchRange(choices=(False, True)),
        }

    @property
    def booster(self) -> lgb.Booster:
        """The fitted model, without trees past the best round; raises InternalError if there is none."""
        return fitted(self._booster)

    @property
    def rounds(self) -> int:
        """Trees that the model keeps."""
        return int(self.booster.num_trees())

    def _fit(
        self, X: Features, y: Labels, valid: tuple[Features, Labels] | None, on_round: RoundCallback | None
    ) -> None:
        train, stop_by = self.dataset(X, y, "training", names=self.names), None
        if valid is not None and self.stops_early:
            stop_by = self.dataset(*valid, "validation", names=self.names, reference=train)
        self.fit_binned(train, stop_by, names=self.names, on_round=on_round)

    def dataset(
        self, X: Features, y: Labels, rows: str, *, names: Sequence[str], reference: lgb.Dataset | None = None
    ) -> lgb.Dataset:
        """Bin rows, by the thresholds of `reference` where given; `rows` names them in errors."""
        class_counts(y, rows)
        return self.part_of_dataset(X, y, names=names, reference=reference)

    def part_of_dataset(
        self, X: Features, y: Labels, *, names: Sequence[str], reference: lgb.Dataset | None
    ) -> lgb.Dataset:
        """As `dataset`, of rows that others complete: they may hold one class only."""
        lgb.register_logger(logging.getLogger(__name__))  # LightGBM would print to stdout otherwise
        with refused_parameters():
            return binned(
                X,
                np.asarray(y, dtype=np.float32),
                reference=reference,
                categorical=categorical_columns(X, names, self._params().categorical_features),
                params=self._binning(),
                seed=self.config.random_state,
            )

    def reference(self, sample: Float32s, *, names: Sequence[str]) -> lgb.Dataset:
        """The reference for `part_of_dataset` that a sample of all rows, (n_rows, n_features), leads to."""
        lgb.register_logger(logging.getLogger(__name__))
        with refused_parameters():
            categorical = categorical_columns(sample, names, self._params().categorical_features)
            return thresholds_of(sample, categorical=categorical, params=self._binning())

    def fit_binned(
        self,
        train: lgb.Dataset,
        valid: lgb.Dataset | None,
        *,
        names: Sequence[str],
        on_round: RoundCallback | None = None,
    ) -> Self:
        """Fit on rows that `dataset` has binned under the same ``maxBin`` and seed."""
        # LightGBM hands back the model without the trees past the best round.
        with refused_parameters():
            self._booster = lgb.train(
                self.lightgbm_parameters(train.get_label(), train.num_feature()),
                train,
                num_boost_round=self._params().num_iterations,
                valid_sets=[valid] if valid is not None else None,
                callbacks=self.callbacks(valid is not None, on_round),
            )
        self.names = list(names)
        return self

    def predict(self, X: Float32s) -> Float64s:
        """As `Estimator.predict`."""
        return self._predicted(X)

    def scores(self, X: Float32s) -> Float64s:
        """As `Estimator.scores`: the sum of the leaves reached (their mean with ``boosting: rf``), in log-odds."""
        return self._predicted(X, raw_score=True) / self._divisor

    def contributions(self, X: Float32s) -> Float64s:
        """As `Estimator.contributions`, by TreeSHAP (Lundberg et al., Nature Machine Intelligence 2, 2020)."""
        width = self.booster.num_feature() + 1
        return self._predicted(X, pred_contrib=True).reshape(len(X), width) / self._divisor

    def leaves(self, X: Float32s) -> Int64s:
        """As `Estimator.leaves`."""
        return self._predicted(X, pred_leaf=True).astype(np.int64).reshape(len(X), self.rounds)

    def importances(self) -> dict[str, float]:
        """Share of the total gain of all splits."""
        return as_shares(self.booster.feature_importance(importance_type="gain"), self.names)

    def save(self, path: Path) -> None:
        """Write LightGBM's text format, without the number of threads: it is the machine's and changes no tree."""
        write_text(path, re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", self.booster.model_to_string()))

    @classmethod
    def of_text(cls, text: str, config: TrainingConfig, *, names: Sequence[str]) -> Self:
        """The model that another process has fitted, from LightGBM's text; not for texts from elsewhere: see `load`."""
        model = cls(config)
        lgb.register_logger(logging.getLogger(__name__))
        model._booster, model.names = lgb.Booster(model_str=text), list(names)
        return model

    def _read(self, path: Path) -> int:
        """The text is checked first: LightGBM trusts it, and a wrong length or child ends the process or never ends."""
        from ml.export.trees.lightgbm_text import parse_model

        lgb.register_logger(logging.getLogger(__name__))
        try:
            text = read_bytes(path).decode()
            n_features = parse_model(text).n_features
            self._booster = lgb.Booster(model_str=text)
        except (lgb.basic.LightGBMError, ValueError) as error:
            raise IntegrityError(f"{path.name} is not a LightGBM model: {error}") from None
        except IntegrityError as damage:
            raise IntegrityError(f"{path.name} is not a LightGBM model: {damage.message}", hint=damage.hint) from None
        return n_features

    def ensemble(self) -> TreeEnsemble:
        """As `Estimator.ensemble`."""
        from ml.export.trees.ensemble import from_lightgbm

        return from_lightgbm(self.booster)

    @classmethod
    def folds(cls, X: Float32s, y: Labels, folds: Sequence[Fold], *, names: Sequence[str]) -> FoldFitter:
        """As `Estimator.folds`, binning all rows once for all folds and configurations."""
        return BoostedFolds(lambda config: cls(config).rules(names), X, y, folds)

    def rules(self, names: Sequence[str]) -> BoostingRules:
        """The configuration as boosting on folds needs it."""
        return BoostingRules(
            bin_rows=lambda X, y: self.dataset(X, y, "training", names=names),
            binning=self._params().model_dump(include=_BINNED_BY) | {"seed": self.config.random_state},
            parameters=self.lightgbm_parameters,
            rounds=self._params().num_iterations,
            patience=self.config.early_stopping_rounds if self.stops_early else None,
            learning_rate=self._params().learning_rate,
        )

    def _predicted(self, X: Float32s, **kind: bool) -> Float64s:
        rows = as_rows(X, self.booster.num_feature())
        if not len(rows):
            return np.empty(0)
        return np.asarray(self.booster.predict(rows, num_threads=self.threads, **kind), dtype=np.float64)

    @property
    def _divisor(self) -> int:
        """What raw scores are divided by: LightGBM averages trees in probabilities only."""
        return self.rounds if "\naverage_output\n" in self.booster.model_to_string(num_iteration=1) else 1

    def _params(self) -> LgbParams:
        return self.config.lgb_params

    def _binning(self) -> dict[str, Any]:
        """What LightGBM fixes when it bins rows."""
        return {
            "max_bin": self._params().max_bin,
            "zero_as_missing": self._params().zero_as_missing,
            # Pre-filtering drops features by minDataInLeaf, which would tie the bins to one configuration.
            "feature_pre_filter": False,
            "data_random_seed": self.config.random_state,
            "num_threads": self.threads,
            "verbosity": self._params().verbosity,
        }

    def lightgbm_parameters(self, y: Labels, n_features: int) -> dict[str, Any]:
        """Every parameter but the number of rounds, under LightGBM's own name."""
        params = self._params().model_dump(exclude={"num_iterations", "scale_pos_weight", "categorical_features"})
        if params["feature_fraction"] is None:
            params["feature_fraction"] = min(1.0, FEATURES_PER_TREE / n_features)
        if params["boosting"] == "goss":
            params |= {"boosting": "gbdt", "data_sample_strategy": "goss", "bagging_freq": 0}
        params |= self._binning() | dict.fromkeys(SEEDS, self.config.random_state)
        # LightGBM would otherwise time column-wise and row-wise histograms and pick one, which is not repeatable.
        # Row-wise keeps the binned rows twice, and reads all features for trees that use a few.
        return params | {
            "deterministic": True,
            "force_col_wise": True,
            "scale_pos_weight": self._positive_weight(y),
        }

    def _positive_weight(self, y: Labels) -> float:
        given = self._params().scale_pos_weight
        if given is not None:
            return given
        negatives, positives = class_counts(y, "training")
        return negatives / positives if self.config.imbalance == "balanced" else 1.0

    @property
    def stops_early(self) -> bool:
        """Whether validation rows choose the number of rounds."""
        return self.config.early_stopping_rounds > 0 and self._params().boosting != "dart"

    def callbacks(self, has_validation: bool, on_round: RoundCallback | None) -> list[Any]:
        """What LightGBM calls after each round."""
        callbacks: list[Any] = []
        if has_validation and self.stops_early:
            patience = self.config.early_stopping_rounds
            callbacks.append(lgb.early_stopping(patience, first_metric_only=True, verbose=False))
        if on_round is not None:
            callbacks.append(lambda env: on_round(env.iteration + 1, env.end_iteration))
        return callbacks
