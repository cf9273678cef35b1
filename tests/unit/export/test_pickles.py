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
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from ml.errors import IntegrityError, MissingArtifactError
from ml.export import pickles
from ml.export.scaling import scaler_object
from tests.unit.export.trained_models import plant_forest, plant_rows


class _Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

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
