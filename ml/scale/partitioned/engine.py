"""The engine that works by partitions, here or on a Dask cluster; `ml.learning.engine` says what an engine does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s
from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
from ml.learning.binning import SAMPLE_ROWS
from ml.learning.engine import Engine, Found
from ml.learning.estimators.base import Estimator, RoundCallback, class_counts
from ml.learning.estimators.lightgbm import LightGBM
from ml.options.learning import TrainingConfig
from ml.progress import ProgressCallback
from ml.scale.partitioned import tasks
from ml.scale.partitioned.masks import Mask, partitions
from ml.scale.partitioned.member import Growth
from ml.scale.partitioned.stored import Stored
from ml.scale.partitioned.workers import Workers
from ml.windows.normality import Normality
from ml.windows.scaling import Scaling
from ml.windows.selection import drawn_rows

_SECTIONS = {"organization_id", "schema_config", "feature_config", "data_config", "training_config"}
_SCALING_CELLS = 1 << 26  # values that the scaling of a group of features is learned from, 256 MB
_EXCERPT_STRETCHES, _STRETCH_ROWS = 16, 8_192


class PartitionedEngine(Engine):
    """Prepared data in a file that all workers see, of which this process holds times and labels only.

    Parameters
    ----------
    workers
        What computes.
    config
        The organisation; only its sections on columns, features and training are sent to workers.
    stored
        The prepared file.
    frame
        The grid frame that is in it, without the sensors.
    progress
        Told how far features are.
    """

    def __init__(
        self,
        workers: Workers,
        config: OrganizationConfig,
        stored: Stored,
        frame: pd.DataFrame,
        progress: ProgressCallback,
    ) -> None:
        self._workers, self._stored, self._tell = workers, stored, progress
        # Neither the source nor a password in it may be in a task.
        safe = OrganizationConfig.from_dict(config.model_dump(mode="json", by_alias=True, include=_SECTIONS))
        super().__init__(safe, frame)

    def learn_features(self, engineer: FeatureEngineer, rows: Bools) -> None:
        """As `Engine.learn_features`: a task for each channel, and for each group of features to scale."""
        mask, channels = Mask.of(rows), self._config.schema_config.continuous_channels
        parts = self._gathered("learning what is normal", tasks.normality, (self._config, mask), channels)
        engineer.adopt_normality(Normality.joined(parts) if parts else Normality({}, {}, None))
        drawn = engineer.rows_to_select_by(rows)
        if drawn is not None:
            engineer.select(self.features(engineer, drawn), self._label[drawn])
        method = self._config.feature_config.scaling
        if method == "none":
            engineer.adopt_scaling(Scaling.learn("none", ()))
            return
        size = max(1, _SCALING_CELLS // max(1, int(rows.sum())))
        groups = [slice(at, at + size) for at in range(0, len(engineer.features), size)]
        common = engineer.to_dict(), mask, method
        found = self._gathered("learning the scale of features", tasks.scaling, common, groups)
        center, scale = (np.concatenate([getattr(each, name) for each in found]) for name in ("center", "scale"))
        engineer.adopt_scaling(Scaling(method, center, scale))

    def fit(
        self,
        settings: TrainingConfig,
        engineer: FeatureEngineer,
        rows: Bools,
        stop_by: Bools | None,
        on_round: RoundCallback,
    ) -> Estimator:
        """As `Engine.fit`, in processes of LightGBM's own."""
        label, names = self._label, engineer.get_feature_names_out()
        estimator = LightGBM(settings)
        class_counts(label[rows], "training")
        if stop_by is not None and estimator.stops_early:
            class_counts(label[stop_by], "validation")
        else:
            stop_by = None
        sample = self._features(engineer, drawn_rows(rows, SAMPLE_ROWS, settings.random_state), scaled=True)
        parameters = estimator.lightgbm_parameters(label[rows].astype(np.float32), len(names))
        common = Growth(self._stored, engineer.to_dict(), settings, tuple(names), parameters, sample)
        wanted = int(rows.sum()) + (0 if stop_by is None else int(stop_by.sum()))
        total, done = settings.lgb_params.num_iterations, 0

        def on_progress(event: dict[str, Any]) -> None:
            nonlocal done
            if "round" in event:
                if event["rank"] == 0:
                    on_round(event["round"], total)
                return
            done += event["rows"]
            self._tell(min(done, wanted), wanted, "binning features")

        text = self._workers.grow(common, rows, stop_by, on_progress)
        return LightGBM.of_text(text, settings, names=names)

    def predicted(self, predict: Callable[[Float32s], Float64s], engineer: FeatureEngineer, rows: Bools) -> Float64s:
        """As `Engine.predicted`."""
        common = engineer.to_dict(), predict
        return np.concatenate([np.empty(0), *self._gathered("scoring", tasks.predicted, common, partitions(rows))])

    def features(self, engineer: FeatureEngineer, rows: Bools) -> Float32s:
        """As `Engine.features`."""
        return self._features(engineer, rows, scaled=False)

    def readings(self, rows: Bools) -> pd.DataFrame:
        """As `Engine.readings`."""
        columns = self._config.schema_config.sensor_columns
        parts = self._gathered("reading sensors", tasks.readings, (columns,), partitions(rows))
        found = pd.concat(parts, ignore_index=True)
        return found.set_axis(self.frame.index[rows])[list(columns)]

    def each_channel(self, function: Callable[[Float32s], Found], rows: Bools) -> dict[str, Found]:
        """As `Engine.each_channel`; the function is sent by its name."""
        common, channels = (self._config, Mask.of(rows), function), self._config.schema_config.sensor_columns
        found = self._gathered("describing sensors", tasks.of_channel, common, channels)
        return dict(zip(channels, found, strict=True))

    def excerpt(self) -> pd.DataFrame:
        """Stretches evenly spread over the rows, each with segments of its own."""
        n_rows = len(self.frame)
        wanted = np.zeros(n_rows, dtype=np.bool_)
        stretches = np.linspace(0, max(0, n_rows - _STRETCH_ROWS), _EXCERPT_STRETCHES).astype(np.int64)
        for start in stretches.tolist():
            wanted[start : start + _STRETCH_ROWS] = True
        part = self.frame.loc[wanted].join(self.readings(wanted))
        position = np.flatnonzero(wanted)
        begins = (part["segment"].diff() != 0).to_numpy() | (np.diff(position, prepend=-1) != 1)
        return part.assign(segment=begins.cumsum().astype(np.int32)).reset_index(drop=True)

    def forget(self) -> None:
        """Have the workers keep nothing of what they have worked on."""
        self._workers.forget()

    def _features(self, engineer: FeatureEngineer, rows: Bools, *, scaled: bool) -> Float32s:
        """Column-major (n_wanted, n_features), as one process would give them."""
        masks = list(partitions(rows))
        out = np.empty((int(rows.sum()), len(engineer.features)), dtype=np.float32, order="F")
        ends = np.cumsum([int(mask.wanted.sum()) for mask in masks])
        for number, part in self._each("computing features", tasks.features, (engineer.to_dict(), scaled), masks):
            out[ends[number] - len(part) : ends[number]] = part
        return out

    def _gathered(self, message: str, *work: Any) -> list[Any]:
        """What `_each` gives, in order."""
        results = dict(self._each(message, *work))
        return [results[number] for number in range(len(results))]

    def _each(
        self, message: str, function: Callable[..., Any], common: tuple[Any, ...], own: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Number and result of a task for each of `own`, as they come; raises what its `each` does."""
        work = list(own)
        for done, found in enumerate(self._workers.each(function, self._stored, common, work), start=1):
            yield found
            self._tell(done, len(work), message)
