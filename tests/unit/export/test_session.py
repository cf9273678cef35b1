from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from ml.errors import DataError, IntegrityError, MissingArtifactError
from ml.export import session
from ml.export.graph.model import build_model
from ml.export.session import Scorer, open_model
from tests.unit.export.trained_models import N_FEATURES


@pytest.fixture
def content(gbdt) -> bytes:
    return build_model(gbdt.ensemble, n_features=N_FEATURES, scaling=None, threshold=0.5, metadata={"version": "7"})


def external_tensor(name: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, dtype=np.float32), name)
    external_data_helper.set_external_data(tensor, "../../secret.bin")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def test_batches_and_threads_change_no_bit(gbdt, content, monkeypatch):
    whole = Scorer(content).score(gbdt.rows)
    monkeypatch.setattr(session, "BATCH_ROWS", 77)
    for threads in (1, 3):
        parts = Scorer(content, threads=threads).score(gbdt.rows)
        np.testing.assert_array_equal(parts[0], whole[0])
        np.testing.assert_array_equal(parts[1], whole[1])


def test_a_failing_batch_in_a_thread_is_not_lost(gbdt, content, monkeypatch):
    scorer = Scorer(content, threads=2)
    monkeypatch.setattr(scorer, "session", None)
    with pytest.raises(AttributeError):
        scorer.score(gbdt.rows)


def test_column_major_rows_are_scored_alike(gbdt, content):
    scorer = Scorer(content)
    columns_first = np.asfortranarray(gbdt.rows)
    np.testing.assert_array_equal(scorer.probability(columns_first), scorer.probability(gbdt.rows))


def test_no_rows_give_no_probabilities(content):
    probability, label = Scorer(content).score(np.empty((0, N_FEATURES), dtype=np.float32))
    assert probability.shape == label.shape == (0,)


def test_the_metadata_of_the_model_is_at_hand(content, tmp_path):
    (tmp_path / "model.onnx").write_bytes(content)
    assert Scorer(tmp_path / "model.onnx").metadata == {"version": "7"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.zeros((2, N_FEATURES)), "float64"),
        (np.zeros((2, N_FEATURES + 1), dtype=np.float32), r"\(2, 7\)"),
        (np.zeros(N_FEATURES, dtype=np.float32), r"\(6,\)"),
    ],
)
def test_rows_of_another_shape_or_type_are_refused(content, rows, reason):
    with pytest.raises(DataError, match=reason):
        Scorer(content).score(rows)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingArtifactError, match=r"model\.onnx"):
        open_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("damage", [b"", b"\x00\x01garbage", b"{}"])
def test_what_is_not_onnx_is_refused(damage):
    with pytest.raises(IntegrityError):
        open_model(damage)


def test_a_truncated_model_is_refused(content):
    with pytest.raises(IntegrityError):
        open_model(content[: len(content) // 2])


def test_external_data_of_a_constant_is_refused(content):
    model = onnx.load_model_from_string(content)
    model.graph.initializer.append(external_tensor("weights"))
    with pytest.raises(IntegrityError, match="weights"):
        open_model(model.SerializeToString())


def test_external_data_hidden_in_a_branch_is_refused():
    inner = helper.make_node("Constant", [], ["y"], value=external_tensor("hidden"))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    branch = helper.make_graph([inner], "branch", [], [output])
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], "g", [condition], [output]
    )
    with pytest.raises(IntegrityError, match="hidden"):
        open_model(helper.make_model(graph, ir_version=10).SerializeToString())


def test_a_location_without_the_external_flag_is_refused(content):
    model = onnx.load_model_from_string(content)
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(IntegrityError, match="external_data"):
        open_model(model.SerializeToString())


def test_operators_outside_the_standard_are_refused(content):
    model = onnx.load_model_from_string(content)
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(IntegrityError, match=r"com\.microsoft"):
        open_model(model.SerializeToString())


def test_outputs_in_another_order_are_refused(content):
    model = onnx.load_model_from_string(content)
    model.graph.output.reverse()
    with pytest.raises(IntegrityError, match="label"):
        Scorer(model.SerializeToString())
