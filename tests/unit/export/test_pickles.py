from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy._core.multiarray import _reconstruct, scalar
from numpy._core.numeric import _frombuffer
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree._tree import Tree

from ml.errors import IntegrityError, MissingArtifactError
from ml.export import pickles
from ml.export.scaling import scaler_object
from tests.unit.export.trained_models import plant_forest, plant_rows


class _Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments, state=None):
        self._call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self._call


def _planted(path: Path) -> list[tuple[str, object]]:
    touch = f"touch {path}"
    return [
        ("posix.system", _Calls(os.system, touch)),
        ("subprocess.Popen", _Calls(subprocess.Popen, touch)),
        ("builtins.eval", _Calls(eval, f"open({str(path)!r}, 'w')")),
        ("builtins.exec", _Calls(exec, f"open({str(path)!r}, 'w')")),
        ("builtins.getattr", _Calls(getattr, os.path.join, "__globals__")),
        ("io.open", _Calls(open, str(path), "w")),
        ("numpy.load", _Calls(np.load, str(path), None, True)),
        ("joblib.numpy_pickle.load", _Calls(joblib.load, str(path))),
    ]


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("nested", [False, True])
def test_a_pickle_that_would_call_something_is_refused_and_nothing_runs(tmp_path, number, nested):
    trace = tmp_path / "trace"
    name, value = _planted(trace)[number]
    scaler = StandardScaler().fit(np.eye(2))
    scaler.mean_ = [value]
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"scaler": scaler} if nested else value))
    with pytest.raises(IntegrityError, match=name):
        pickles.load(tmp_path / "model.pkl")
    assert not trace.exists()


_DTYPE = np.dtype
_OBJECT_RECORD = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)


def _array(kind: object, content: object = b"A" * 8) -> _Calls:
    """An array of one element whose content is these bytes."""
    return _Calls(_reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), kind, False, content))


def _tree(**changes: object) -> _Calls:
    """A fitted tree with parts of its state changed."""
    constructor, arguments, state = plant_forest(max_depth=2).estimators_[0].tree_.__reduce__()
    return _Calls(constructor, *arguments, state=state | changes)


# numpy and scikit-learn believe each of these, and then take the eight A's for the address of a Python object, or read
# and write beside their arrays.
_MEMORY_ATTACKS = {
    "objects_by_flags": lambda: _array(_Calls(_DTYPE, "O", False, True, state=(3, "|", None, None, None, -1, -1, 0))),
    "objects_in_a_record": lambda: _array(_Calls(_DTYPE, "V8", False, True, state=_OBJECT_RECORD)),
    "objects_in_a_subarray": lambda: _array(
        _Calls(_DTYPE, "V8", False, True, state=(3, "|", (np.dtype("O"), (1,)), None, None, 8, 1, 0))
    ),
    "objects_of_a_buffer": lambda: _Calls(np.ndarray, (1,), "O", b"A" * 8),
    "objects_of_a_scalar": lambda: _Calls(scalar, _Calls(_DTYPE, "V8", False, True, state=_OBJECT_RECORD), b"A" * 8),
    "objects_in_a_short_list": lambda: _array(np.dtype("O"), []),
    "field_outside": lambda: _array(
        _Calls(_DTYPE, "V8", False, True, state=(3, "|", None, ("a",), {"a": (np.dtype("i8"), 99_999)}, 8, 1, 0))
    ),
    "fewer_bytes_than_elements": lambda: _Calls(
        _reconstruct, np.ndarray, (0,), b"b", state=(1, (10**9,), np.dtype("f8"), False, b"A" * 8)
    ),
    "negative_shape": lambda: _Calls(
        _reconstruct, np.ndarray, (0,), b"b", state=(1, (-1, -1), np.dtype("f8"), False, b"A" * 8)
    ),
    "buffer_as_state": lambda: _Calls(_frombuffer, b"A" * 8, np.dtype("f8"), (1,), "C", state={"x": 1}),
    "more_nodes_than_there_are": lambda: _tree(node_count=10**6),
    "fewer_nodes": lambda: _tree(nodes=np.zeros(1)),
    "no_nodes": lambda: _tree(nodes=np.zeros(0), node_count=0),
    "tree_of_negative_classes": lambda: _Calls(Tree, 2, np.array([-5]), 1),
    "tree_of_many_outputs": lambda: _Calls(Tree, 2, np.array([2]), 10**9),
    "changed_type": lambda: _Calls(_DTYPE, "f8", state={"plain": 1}),
}


@pytest.mark.parametrize("attack", list(_MEMORY_ATTACKS))
def test_what_would_break_into_memory_is_refused(attack):
    with pytest.raises(IntegrityError):
        pickles.loads(pickle.dumps(_MEMORY_ATTACKS[attack](), protocol=4))


def test_a_class_cannot_be_changed_for_everybody():
    """``BUILD`` on a class sets attributes of the class itself."""
    program = b"\x80\x04csklearn.preprocessing._data\nStandardScaler\n(N}X\x09\x00\x00\x00transformK\x01stb."
    with pytest.raises(IntegrityError, match="changes a type"):
        pickles.loads(program)
    assert callable(StandardScaler.transform)


def test_arrays_of_every_plain_kind_come_back():
    values = [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.eye(3)),
        np.array(["a", "bcd"]),
        np.array([True]),
        1 + 1,
    ]
    values += [np.arange(3, dtype=">i4"), np.empty((0, 4), np.float32), np.float32(1.5), np.int64(7), np.zeros((), int)]
    values += [np.zeros(2, dtype=[("x", "f8"), ("y", "u1")])]
    for protocol in (3, 4, 5):
        for value in values:
            again = pickles.loads(pickle.dumps(value, protocol=protocol))
            assert np.asarray(again).dtype == np.asarray(pickle.loads(pickle.dumps(value, protocol=protocol))).dtype
            np.testing.assert_array_equal(again, value)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_guarded(protocol):
    with pytest.raises(IntegrityError, match="system"):
        pickles.loads(pickle.dumps(_Calls(os.system, "true"), protocol=protocol))


def test_a_dotted_name_cannot_climb_out_of_an_allowed_module():
    climbing = b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93."
    with pytest.raises(IntegrityError, match=r"numpy\.dtype\.__init__"):
        pickles.loads(climbing)


def test_a_registered_extension_code_is_guarded():
    with pytest.raises(IntegrityError):
        pickles.loads(b"\x80\x02\x82\x01.")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2, 3])[:-3],
        b"\x80\x05" + b"\x8e" + struct.pack("<Q", 2**62) + b".",
        b"cnumpy\nndarray\n(I99999999999999999\ntR.",
        b"\x80\x04P1\n.",
        b"0.",
    ],
)
def test_bytes_that_make_no_sense_are_refused(content):
    with pytest.raises(IntegrityError):
        pickles.loads(content)


def test_a_forest_comes_back_with_the_same_predictions(tmp_path):
    rows, _ = plant_rows()
    forest = plant_forest()
    pickles.dump(forest, tmp_path / "model.pkl")
    for load in (pickles.load, joblib.load):
        again = load(tmp_path / "model.pkl")
        np.testing.assert_array_equal(again.predict_proba(rows), forest.predict_proba(rows))


@pytest.mark.parametrize("kind", [StandardScaler, MinMaxScaler, RobustScaler])
def test_scalers_come_back(tmp_path, kind):
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    pickles.dump(kind().fit(rows), tmp_path / "scaler.pkl")
    np.testing.assert_array_equal(
        pickles.load(tmp_path / "scaler.pkl").transform(rows), kind().fit(rows).transform(rows)
    )


@pytest.mark.parametrize("scaling", [None, {"method": "robust", "center": [1.0, 2.0], "scale": [3.0, 4.0]}])
def test_the_stored_scaler_opens_here_and_with_joblib(tmp_path, scaling):
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    scaler = scaler_object(scaling, 2)
    pickles.dump(scaler, tmp_path / "scaler.pkl")
    for load in (pickles.load, joblib.load):
        np.testing.assert_array_equal(load(tmp_path / "scaler.pkl").transform(rows), scaler.transform(rows))


_DUMP = """
import hashlib, sys
from pathlib import Path
from ml.export import pickles
from tests.unit.export.trained_models import plant_forest
pickles.dump(plant_forest(), Path(sys.argv[1]))
"""


def test_another_process_writes_the_same_bytes(tmp_path):
    for name in ("one.pkl", "two.pkl"):
        subprocess.run([sys.executable, "-c", _DUMP, str(tmp_path / name)], cwd=Path(__file__).parents[3], check=True)
    assert (tmp_path / "one.pkl").read_bytes() == (tmp_path / "two.pkl").read_bytes()


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_BYTES", 10)
    pickles.dump(list(range(100)), tmp_path / "model.pkl")
    with pytest.raises(IntegrityError, match="allowed are 10"):
        pickles.load(tmp_path / "model.pkl")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingArtifactError, match=r"model\.pkl"):
        pickles.load(tmp_path / "model.pkl")
