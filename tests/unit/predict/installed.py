"""Small versions of a model, installed as train_model installs them."""

from __future__ import annotations

import numpy as np

from ml.arrays import Float32s
from ml.cleaning.table import from_table
from ml.config import OrganizationConfig
from ml.export.metadata import ModelMetadata
from ml.export.package import exact_models, with_times, write_package
from ml.export.times.described import Coverage, MeasuredTimes
from ml.export.times.exact import ExportedTimes
from ml.features import FeatureEngineer
from ml.grid.regular import to_grid
from ml.ingest.failures.since import TimesSince
from ml.learning import estimators
from ml.learning.folds.fitting import Labels
from ml.learning.times.pooled import HorizonModel
from ml.options.learning import TrainingConfig
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import stage_version
from tests.unit.export.test_metadata import content
from tests.unit.predict.irregular import INTERVAL, MAX_GAP, config, readings


def install(
    paths: OrganizationPaths,
    version: str,
    *,
    seed: int = 0,
    onnx: bool = True,
    times: bool = False,
    settings: OrganizationConfig | None = None,
    since: TimesSince | None = None,
) -> None:
    """A version of a model fitted on random labels, which differ by `seed`."""
    settings = (settings or config()).model_copy(update={"organization_id": paths.organization_id})
    frame = to_grid(
        from_table(readings(1), settings).frame, schema=settings.schema_config, interval=INTERVAL, max_gap=MAX_GAP
    )
    frame = frame if since is None else frame.assign(**since.columns(frame))
    label = (np.random.default_rng(seed).random(len(frame)) < 0.3).astype(np.int8)
    engineer = FeatureEngineer(settings).fit(frame)
    rows, names = engineer.matrix(frame), engineer.get_feature_names_out()
    options = TrainingConfig.model_validate({"lgbParams": {"numIterations": 8, "numLeaves": 7}, "threads": 1})
    model = estimators.get("lightgbm")(options).fit(rows, label, names=names)
    metadata = ModelMetadata.model_validate(
        content(
            organizationId=paths.organization_id,
            version=version,
            features=names,
            scaling=engineer.scaling.to_dict(),
            engine=engineer.to_dict(),
            horizonSeconds=settings.data_config.prediction_horizon_seconds,
            samplingIntervalSeconds=engineer.interval,
            window={
                "lookBack": engineer.look_back,
                "channels": [{"name": name, "kind": "continuous"} for name in engineer.channels],
            },
            differences=[],
            runningWhen=None,
            parity=None,
        )
    )
    models = None
    if onnx:
        models, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=200)
        if times:
            models, metadata = with_times(
                models, timed(options, rows, label), metadata, real_rows=rows, parity_rows=200
            )
    with stage_version(paths, version) as folder:
        model.save(folder / model.model_file)
        write_package(folder, metadata, models)


def timed(options: TrainingConfig, rows: Float32s, label: Labels) -> ExportedTimes:
    """A model of the time to failure that was fitted on one horizon and random labels."""
    model = HorizonModel(HorizonModel.settings(options))
    model.width = rows.shape[1]
    asked = np.column_stack([rows, np.where(label, 3, 1)]).astype(np.float32)
    model.fit(asked, label, names=[f"f{number}" for number in range(asked.shape[1])])
    none = Coverage(count=0, share=None, interval=None)
    measured = MeasuredTimes(
        part="test", rows=none, alarm_rows=none, first_alarms=none, median_error_seconds=None, median_width_seconds=None
    )
    return ExportedTimes(model, (60, 120, 240), np.array([1.0, 2.0, 3.0]), measured)
