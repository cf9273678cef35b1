from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from ml.errors import InternalError, ParityError
from ml.export.adversarial import adversarial_rows
from ml.export.builder import DOUBLE, GraphBuilder, value_info
from ml.export.graph.model import build_model
from ml.export.graph.parts import HEAD_OUTPUTS, add_head
from ml.export.graph.scaling import apply_scaling
from ml.export.parity import check_leaves, check_parity
from ml.export.session import Scorer, open_model
from ml.export.trees.ensemble import TreeEnsemble, from_lightgbm
from tests.unit.export.trained_models import N_FEATURES, of_booster, plant_rows, train_booster

METADATA = {"organizationId": "acme", "version": "1"}


def scorer_of(ensemble: TreeEnsemble, *, threshold: float = 0.5, scaling=None) -> Scorer:
    return Scorer(build_model(ensemble, n_features=N_FEATURES, scaling=scaling, threshold=threshold, metadata=METADATA))


def test_every_kind_of_model_has_the_same_bits_and_leaves_in_onnx(trained):
    rows = adversarial_rows(trained.ensemble, 4000, seed=11, base_rows=trained.rows)
    figures = check_parity(trained.predict, scorer_of(trained.ensemble), rows, threshold=0.5)
    assert (figures.rows, figures.differing_bits, figures.differing_labels) == (4000, 0, 0)
    assert check_leaves(trained.apply, trained.ensemble, rows).differing == 0


def test_one_row_has_the_bits_that_it_has_in_a_batch(gbdt):
    rows = adversarial_rows(gbdt.ensemble, 200, seed=2)
    scorer = scorer_of(gbdt.ensemble)
    alone = np.concatenate([scorer.probability(row[None, :]) for row in rows])
    np.testing.assert_array_equal(alone, scorer.probability(rows))


def test_a_scaler_is_folded_in_exactly():
    rows, labels = plant_rows()
    rng = np.random.default_rng(0)
    with np.errstate(invalid="ignore"):
        center = np.nanmean(rows, axis=0)
        scale = (np.nanstd(rows, axis=0) * rng.uniform(0.9, 1.1, N_FEATURES)).astype(np.float32) + np.float32(1e-30)
    scaling = {"method": "standard", "center": center.tolist(), "scale": scale.tolist()}
    model = of_booster(train_booster(apply_scaling(rows, scaling), labels), rows)
    probe = adversarial_rows(model.ensemble, 6000, seed=3, base_rows=rows, scaling=scaling)
    figures = check_parity(
        lambda X: model.predict(apply_scaling(X, scaling)),
        scorer_of(model.ensemble, scaling=scaling),
        probe,
        threshold=0.5,
    )
    assert figures.differing_bits == 0
    leaves = check_leaves(lambda X: model.apply(apply_scaling(X, scaling)), model.ensemble, probe, scaling=scaling)
    assert leaves.differing == 0


def test_scaling_of_method_none_changes_nothing(gbdt):
    arguments = {"n_features": N_FEATURES, "threshold": 0.5, "metadata": {}}
    none = {"method": "none", "center": [], "scale": []}
    assert build_model(gbdt.ensemble, scaling=none, **arguments) == build_model(
        gbdt.ensemble, scaling=None, **arguments
    )


def test_a_probability_equal_to_the_threshold_is_an_alarm(gbdt):
    rows = gbdt.rows[:500]
    probability = gbdt.predict(rows).astype(np.float32)
    threshold = np.sort(probability)[250]
    label = scorer_of(gbdt.ensemble, threshold=float(threshold)).label(rows)
    assert (probability == threshold).any()
    np.testing.assert_array_equal(label, probability >= threshold)
    above = scorer_of(gbdt.ensemble, threshold=float(np.nextafter(threshold, np.float32(1)))).label(rows)
    np.testing.assert_array_equal(above, probability > threshold)


def test_the_threshold_is_rounded_to_float32_like_the_probabilities(gbdt):
    probability = gbdt.predict(gbdt.rows[:1]).astype(np.float32)
    just_above = float(probability[0]) * (1 + 1e-12)
    assert scorer_of(gbdt.ensemble, threshold=just_above).label(gbdt.rows[:1]).tolist() == [1]


def test_the_sigmoid_has_lightgbms_bits_at_every_score(gbdt):
    rng = np.random.default_rng(4)
    extremes = [0.0, -0.0, 36.7, -36.7, 87.4, -87.4, 103.9, -103.9, 709.7, -709.7, 745.2, -745.2, 1e300, -1e300]
    scores = np.concatenate([rng.normal(size=100_000) * 4, rng.uniform(-120, 120, 100_000), extremes])
    graph = GraphBuilder()
    add_head(graph, "score", replace(gbdt.ensemble, divisor=1), 0.5)
    session = open_model(graph.to_bytes("head", [value_info("score", DOUBLE, ["N", 1])], HEAD_OUTPUTS, {}))
    (probabilities,) = session.run(["probabilities"], {"score": scores[:, None]})
    expected = np.array([1 / (1 + math.exp(-score)) if score > -709 else 0.0 for score in scores])
    np.testing.assert_array_equal(probabilities[:, 1].view(np.uint32), expected.astype(np.float32).view(np.uint32))
    np.testing.assert_array_equal(probabilities[:, 0], (1 - expected).astype(np.float32))


def test_inputs_and_outputs_are_as_promised(gbdt):
    session = scorer_of(gbdt.ensemble).session
    assert [(entry.name, entry.type, entry.shape) for entry in session.get_inputs()] == [
        ("input", "tensor(float)", ["N", N_FEATURES])
    ]
    assert [(entry.name, entry.type, entry.shape) for entry in session.get_outputs()] == [
        ("probabilities", "tensor(float)", ["N", 2]),
        ("label", "tensor(int64)", ["N"]),
    ]
    probabilities, label = session.run(None, {"input": gbdt.rows[:3]})
    assert probabilities.shape == (3, 2)
    assert label.shape == (3,)


def test_versions_and_metadata_are_what_older_runtimes_can_read(gbdt):
    content = build_model(gbdt.ensemble, n_features=N_FEATURES, scaling=None, threshold=0.5, metadata=METADATA)
    model = onnx.load_model_from_string(content)
    assert model.ir_version <= 10
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18, "ai.onnx.ml": 5}
    assert {entry.key: entry.value for entry in model.metadata_props} == METADATA
    assert model.producer_name == "eagle-ml"


def test_no_root_has_a_leaf_and_a_split_under_one_index(trained):
    model = onnx.load_model_from_string(
        build_model(trained.ensemble, n_features=N_FEATURES, scaling=None, threshold=0.5, metadata={})
    )
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    ints = {attribute.name: np.array(attribute.ints) for attribute in node.attribute}
    roots = ints["tree_roots"]
    same_index = ints["nodes_truenodeids"][roots] == ints["nodes_falsenodeids"][roots]
    mixed = ints["nodes_trueleafs"][roots] != ints["nodes_falseleafs"][roots]
    assert not (same_index & mixed).any()


_BUILD_AND_HASH = """
import hashlib
from ml.export.graph.model import build_model
from ml.export.trees.ensemble import from_lightgbm
from tests.unit.export.trained_models import N_FEATURES, plant_rows, train_booster
ensemble = from_lightgbm(train_booster(*plant_rows()))
metadata = {"version": "1", "organizationId": "acme"}
print(hashlib.sha256(
    build_model(ensemble, n_features=N_FEATURES, scaling=None, threshold=0.5, metadata=metadata)
).hexdigest())
"""


def test_another_process_builds_the_same_bytes(booster):
    here = build_model(from_lightgbm(booster), n_features=N_FEATURES, scaling=None, threshold=0.5, metadata=METADATA)
    root = Path(__file__).parents[4]
    there = subprocess.run(
        [sys.executable, "-c", _BUILD_AND_HASH], cwd=root, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_a_graph_of_another_width_is_refused(gbdt):
    with pytest.raises(InternalError, match="trained on 6 features; the graph has 5"):
        build_model(gbdt.ensemble, n_features=5, scaling=None, threshold=0.5, metadata={})


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_that_is_no_number_is_refused(gbdt, threshold):
    with pytest.raises(ParityError, match="threshold"):
        scorer_of(gbdt.ensemble, threshold=threshold)
