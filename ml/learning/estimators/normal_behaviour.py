"""Normal behaviour: what each sensor should show under the operating conditions; needs no failure to learn from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ml.arrays import Float32s, Float64s
from ml.errors import EagleError, IntegrityError, InternalError
from ml.export.graph.normal import Expectation, NormalForm, RunsWhen
from ml.learning.estimators.base import Estimator, Features, RoundCallback, as_rows, as_shares, fitted
from ml.learning.folds.fitting import Labels
from ml.options.base import Section
from ml.options.learning import SearchRange, TrainingConfig
from ml.options.models.normal_behaviour import NormalBehaviourParams
from ml.workspace.files import read_json, write_text

if TYPE_CHECKING:
    from ml.export.graph.forms import ModelForm

_NUMBERS = ("n_features", "recent", "mean_limit", "single_limit")
_PER_SENSOR = ("center", "spread", "mean_center", "mean_spread")
_PER_GROUP = ("low", "high", "mean", "std", "weights", "intercept")


class NormalBehaviour(Estimator):
    """Residuals of sensors, averaged over a time, against limits that keep a stated rate of false alarms.

    It is fitted by `ml.learning.normal.training`, as it needs times and machines beside the rows. The score of a row is
    positive, with the alarm at 1; what stands in the place of a probability is score / (score + 1).
    """

    model_type: ClassVar[str] = "normal_behaviour"
    model_file: ClassVar[str] = "model.json"
    params_type: ClassVar[type[Section]] = NormalBehaviourParams
    params_key: ClassVar[str] = "normal_behaviour"
    score_kind: ClassVar[Literal["probability", "anomaly"]] = "anomaly"
    rounds = 1
    _form: NormalForm | None = None

    @classmethod
    def of(cls, form: NormalForm, names: list[str], config: TrainingConfig) -> Self:
        """A fitted model."""
        model = cls(config)
        model._form, model.names = form, names
        return model

    @classmethod
    def search_space(cls) -> dict[str, SearchRange]:
        """Nothing: without failures there is nothing to search by."""
        return {}

    def _fit(
        self, X: Features, y: Labels, valid: tuple[Features, Labels] | None, on_round: RoundCallback | None
    ) -> None:
        del X, y, valid, on_round
        raise InternalError("a model of normal behaviour is fitted on a history, by ml.learning.normal.training")

    def predict(self, X: Float32s) -> Float64s:
        """score / (score + 1), (n_rows,): 0.5 and above is an alarm."""
        return self.normal_form.predict(as_rows(X, self.normal_form.n_features))

    def scores(self, X: Float32s) -> Float64s:
        """The score, (n_rows,): 1 and above is an alarm."""
        return self.normal_form.scores(as_rows(X, self.normal_form.n_features))

    def importances(self) -> dict[str, float]:
        """All 0: limits have no gain."""
        return as_shares(np.zeros(len(self.names)), self.names)

    @property
    def normal_form(self) -> NormalForm:
        """The fitted model; raises InternalError if there is none."""
        return fitted(self._form)

    def form(self) -> ModelForm:
        """As `Estimator.form`."""
        return self.normal_form

    def save(self, path: Path) -> None:
        """Write JSON; every number reads back as the same float64."""
        write_text(path, json.dumps(to_json(self.normal_form)) + "\n")

    def _read(self, path: Path) -> int:
        try:
            self._form = from_json(read_json(path, "the model"))
        except (KeyError, TypeError, ValueError, IndexError, EagleError) as error:
            raise IntegrityError(f"{path.name} is not a model of normal behaviour: {error!r}") from None
        return self._form.n_features


def to_json(form: NormalForm) -> dict[str, Any]:
    """A form as JSON values."""
    return {
        **{name: getattr(form, name) for name in _NUMBERS},
        **{name: getattr(form, name).tolist() for name in _PER_SENSOR},
        "places": form.places.tolist(),
        "groups": [{name: value.tolist() for name, value in vars(group).items()} for group in form.groups],
        "runs_when": None if form.runs_when is None else asdict(form.runs_when),
    }


def from_json(content: Mapping[str, Any]) -> NormalForm:
    """The inverse; raises KeyError, TypeError, ValueError, IndexError or ParityError where it is damaged."""
    places = np.array(content["places"], dtype=np.int64)
    groups = tuple(
        Expectation(
            np.array(each["sensors"], dtype=np.int64),
            np.array(each["operating"], dtype=np.int64),
            *(np.array(each[name], dtype=np.float64) for name in _PER_GROUP),
        )
        for each in content["groups"]
    )
    form = NormalForm(
        n_features=int(content["n_features"]),
        places=places,
        recent=int(content["recent"]),
        groups=groups,
        **{name: np.array(content[name], dtype=np.float64) for name in _PER_SENSOR},
        mean_limit=float(content["mean_limit"]),
        single_limit=float(content["single_limit"]),
        runs_when=None if content["runs_when"] is None else RunsWhen(**content["runs_when"]),
    )
    form.predict(np.zeros((1, form.n_features), dtype=np.float32))  # numbers that do not fit together fail here
    return form
