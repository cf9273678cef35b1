"""modes.onnx: the bits of the trained models, for rows alone and in batches, or no version."""

from __future__ import annotations

import numpy as np
import pytest

from ml.errors import ParityError
from ml.export import modes as exporting
from ml.export.adversarial import adversarial_rows
from ml.export.graph.scaling import apply_scaling
from ml.export.modes import Modes, exact_modes, run_modes
from ml.export.package import exact_models, with_modes
from ml.export.session import open_model
from ml.export.window.parity import window_batch
from ml.learning.estimators.lightgbm import LightGBM
from ml.learning.modes.models import ModeModels
from ml.options.learning import LgbParams, TrainingConfig
from tests.unit.export.test_package import trained

NAMES = ("drive", "heater", "other")
DESCRIBED = Modes(
    names=NAMES, name_of={name: name for name in NAMES}, failures={"drive": 9}, thresholds=(0.5, 0.5, None)
)


@pytest.fixture(scope="module", params=["standard", "none"])
def fitted(request):
    """Models of three modes, unscaled also with categories; the last mode has every failure, and so no split."""
    options = {} if request.param != "none" else {"zero_as_missing": True, "categorical_features": ["operating_regime"]}
    _, engineer, _, rows, metadata = trained("lightgbm", scaling=request.param)
    params = LgbParams(num_iterations=15, num_leaves=7, min_data_in_leaf=5, scale_pos_weight=1.0, **options)
    settings = TrainingConfig(threads=1, lgb_params=params)
    scaled = np.ascontiguousarray(engineer.scaling.apply(rows))
    names = engineer.get_feature_names_out()
    label = np.random.default_rng(2).random((len(rows), 3)) < 0.4
    label[:, 2] = True
    models = []
    for own in label.T:
        binned = LightGBM(settings).part_of_dataset(scaled, own, names=names, reference=None)
        models.append(LightGBM(settings).fit_binned(binned, None, names=names))
    return ModeModels(tuple(models)), rows, metadata


def test_every_row_has_the_bits_of_the_trained_models_alone_and_in_a_batch(fitted):
    models, rows, metadata = fitted
    scaling = metadata.scaling.model_dump()
    content, described = exact_modes(
        models.predict, models.ensembles(), DESCRIBED, scaling=scaling, real_rows=rows, seed=1, metadata={}
    )
    assert described.parity_rows >= 6000
    probing = adversarial_rows(models.ensembles()[0], 3000, seed=9, base_rows=rows, scaling=scaling)
    session = open_model(content)
    whole = run_modes(session, probing)
    assert whole.tobytes() == models.predict(apply_scaling(probing, scaling)).tobytes()
    for at in range(0, 3000, 97):
        assert run_modes(session, probing[at : at + 1]).tobytes() == whole[at].tobytes()
    assert (whole[:, 2] == 1).all()
    assert run_modes(session, probing[:0]).shape == (0, 3)


def test_another_bit_is_no_version(fitted, monkeypatch):
    models, rows, metadata = fitted
    right = exporting.run_modes
    monkeypatch.setattr(exporting, "run_modes", lambda session, X: np.nextafter(right(session, X), np.float32(2)))
    with pytest.raises(ParityError, match=r"modes\.onnx differs"):
        exact_modes(
            models.predict,
            models.ensembles(),
            DESCRIBED,
            scaling=metadata.scaling.model_dump(),
            real_rows=rows,
            seed=1,
            metadata={},
        )


def test_the_window_graph_computes_what_the_modes_need_and_changes_no_other_file(fitted):
    models, rows, described = fitted
    model, engineer, frame, _, metadata = trained("lightgbm", scaling=described.scaling.method)
    options = {"frame": frame, "real_rows": rows, "parity_rows": 300}
    plain, _ = exact_models(model, engineer, metadata, **options)
    assert "modes.onnx" not in plain.files
    metadata = metadata.model_copy(update={"modes": DESCRIBED})
    exported, metadata = with_modes(
        *exact_models(model, engineer, metadata, **options, others=models.ensembles()), models, rows
    )
    assert metadata.modes.parity_rows >= 6000
    assert (exported.model, exported.reasons) == (plain.model, plain.reasons)
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    given = {"window": window, "timestamp": timestamp}
    probabilities, _, features = open_model(exported.window).run(None, given)
    assert probabilities.tobytes() == open_model(plain.window).run(None, given)[0].tobytes()
    session = open_model(exported.files["modes.onnx"])
    assert run_modes(session, features).tobytes() == run_modes(session, rows).tobytes()
