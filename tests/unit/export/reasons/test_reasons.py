"""reasons.onnx: its sums are the score, its bits are the table's, and a row does not depend on its batch."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from ml.errors import IntegrityError, ParityError
from ml.export.adversarial import adversarial_rows
from ml.export.graph.model import INPUT
from ml.export.graph.scaling import apply_scaling
from ml.export.package import REASONS_FILE, exact_models
from ml.export.reasons.agreement import agreement
from ml.export.reasons.exact import TIME, sensor_shares
from ml.export.reasons.graph import CONTRIBUTIONS
from ml.export.session import open_model
from tests.unit.export.test_package import trained


@pytest.fixture(scope="module")
def exported():
    model, engineer, frame, rows, metadata = trained("lightgbm")
    models, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=2000)
    assert models.reasons is not None
    assert metadata.reasons is not None
    return model, engineer, rows, metadata, models


def contributions(content: bytes, rows):
    (given,) = open_model(content).run([CONTRIBUTIONS], {INPUT: rows})
    return given


def test_contributions_and_the_expected_score_add_up_to_the_score(exported):
    model, engineer, rows, metadata, models = exported
    total = contributions(models.reasons, rows).astype(np.float64).sum(axis=1) + metadata.reasons.expected_score
    np.testing.assert_allclose(total, model.scores(engineer.scaling.apply(rows)), atol=1e-3)


def test_a_row_alone_has_the_bits_that_it_has_in_a_batch(exported):
    model, _, rows, metadata, models = exported
    scaling = metadata.scaling.model_dump()
    probing = adversarial_rows(model.form(), 4000, seed=3, base_rows=rows, scaling=scaling)
    assert len(apply_scaling(probing, scaling)) == 4000
    whole = contributions(models.reasons, probing)
    session = open_model(models.reasons)
    for at in range(0, 4000, 97):
        (alone,) = session.run([CONTRIBUTIONS], {INPUT: probing[at : at + 1]})
        assert alone.tobytes() == whole[at].tobytes()
    assert metadata.reasons.parity_rows > 0


def test_it_agrees_with_exact_contributions_by_sensor(exported):
    model, engineer, rows, metadata, models = exported
    exact = model.contributions(engineer.scaling.apply(rows))
    _, shares = sensor_shares(engineer.features)
    probability = model.predict(engineer.scaling.apply(rows))
    top = np.argsort(-probability)[:200]
    found = agreement(contributions(models.reasons, rows[top]).astype(np.float64), (exact[:, :-1] @ shares)[top])
    assert found.same_first_sensor > 0.85
    assert found.relative_error < 0.25
    assert set(metadata.reasons.sensors) <= {*engineer.channels, TIME}


def test_a_wrong_table_is_no_version(monkeypatch):
    model, engineer, frame, rows, metadata = trained("lightgbm")
    from ml.export.reasons import exact

    right = exact.build_reasons
    monkeypatch.setattr(exact, "build_reasons", lambda form, table, **rest: right(form, table + 2.0**-10, **rest))
    with pytest.raises(ParityError, match=r"reasons\.onnx differs"):
        exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=500)


@pytest.mark.parametrize("model_type", ["random_forest", "logistic_regression"])
def test_models_without_contributions_of_trees_have_none(model_type):
    model, engineer, frame, rows, metadata = trained(model_type)
    models, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=500)
    assert models.reasons is None
    assert metadata.reasons is None
    assert REASONS_FILE not in models.files


def test_agreement_counts_what_differs():
    exact = np.array([[3.0, 1.0, 0.5, 0.1], [0.0, 2.0, 1.0, 0.5]])
    given = np.array([[3.0, 1.0, 0.5, 0.1], [2.5, 2.0, 1.0, 0.0]])
    found = agreement(given, exact)
    assert (found.rows, found.same_first_sensor, found.same_first_three) == (2, 0.5, 0.5)
    assert found.relative_error == pytest.approx((0 + 3.0 / 3.5) / 2)


def attribute(model: onnx.ModelProto, name: str) -> onnx.AttributeProto:
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    return next(found for found in node.attribute if found.name == name)


@pytest.mark.parametrize(
    "name",
    ["nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_nodeids", "target_nodeids", "target_ids"],
)
@pytest.mark.parametrize("value", [10**6, -1])
def test_damaged_trees_are_refused(exported, name, value):
    model = onnx.load_model_from_string(exported[4].reasons)
    attribute(model, name).ints[0] = value
    with pytest.raises(IntegrityError):
        open_model(model.SerializeToString())


def test_a_node_that_leads_back_or_to_another_tree_is_refused(exported):
    for wanted in ("two parents|another tree", "different lengths", "neither a comparison"):
        model = onnx.load_model_from_string(exported[4].reasons)
        if wanted.startswith("two"):
            attribute(model, "nodes_truenodeids").ints[0] = attribute(model, "nodes_nodeids").ints[0]
        elif wanted.startswith("different"):
            del attribute(model, "target_ids").ints[-1]
        else:
            attribute(model, "nodes_modes").strings[0] = b"BRANCH_EQ"
        with pytest.raises(IntegrityError, match=wanted):
            open_model(model.SerializeToString())
