from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from ml.errors import IntegrityError, MissingArtifactError
from ml.export.metadata import ModelMetadata, metadata_schema, read_metadata

DIGEST = "0" * 64


def content(**changes: Any) -> dict[str, Any]:
    return {
        "formatVersion": 1,
        "organizationId": "acme",
        "version": "2026-01-01",
        "modelType": "lightgbm",
        "scoreKind": "probability",
        "features": ["temperature", "temperature__mean__w=5"],
        "horizonSeconds": 3600,
        "samplingIntervalSeconds": 60,
        "calibration": {"method": "none", "slope": None, "intercept": None, "bounds": [], "values": []},
        "thresholdChoice": {},
        "suspiciousColumns": [],
        "servingProfile": None,
        "threshold": 0.25,
        "suggestedThreshold": 0.25,
        "window": {
            "lookBack": 5,
            "channels": [
                {
                    "name": "temperature",
                    "kind": "continuous",
                    "role": "temperature",
                    "unit": "°C",
                    "validRange": [-40.0, None],
                    "words": [],
                    "events": [],
                    "sourceUnit": "°F",
                    "factor": 0.5,
                    "offset": -17.5,
                }
            ],
        },
        "differences": [{"name": "apart", "value": "temperature", "setPoint": "wanted"}],
        "reasons": None,
        "timeToFailure": None,
        "modes": None,
        "runningWhen": {"column": "temperature", "equals": None, "above": 5.0},
        "grid": {
            "instants": "multiplesOfIntervalSinceEpoch",
            "covers": "afterPreviousInstantUpToOwn",
            "aggregation": "last",
            "maxGapSeconds": 300,
            "ownGaps": {},
            "newSegment": "afterPauseLongerThanMaxGap",
        },
        "engine": {"zeta": 1, "alpha": {"snake_key": [1.5, None]}},
        "scaling": {"method": "standard", "center": [1.0, 2.0], "scale": [1.0, 3.0]},
        "metrics": {"averagePrecision": 0.7},
        "training": {
            "rows": 100,
            "positives": 7,
            "seed": 42,
            "engine": "local",
            "parameters": {"numLeaves": 31},
            "rounds": 20,
            "bestScore": 0.7,
            "scheme": "backtest",
            "seen": "all",
            "folds": {"fold 1": {"rows": 10}},
        },
        "data": {
            "digest": DIGEST,
            "from": "2025-01-01T00:00:00Z",
            "to": "2025-02-01T00:00:00Z",
            "sensors": ["temperature"],
            "seen": {"asset": [0, 3600]},
            "notation": {},
        },
        "sensorStatistics": {"temperature": {"mean": 20.0, "std": None}},
        "driftBaseline": {"temperature": {"edges": [19.5, 20.5], "counts": [30, 40, 30], "missing": 0}},
        "libraries": {"python": "3.11.0"},
        "parity": {
            "probabilities": {"rows": 10, "differingBits": 0, "differingLabels": 0, "maxDifference": 0.0},
            "leaves": {"rows": 10, "trees": 20, "differing": 0},
            "windows": {
                "rows": 10,
                "cells": 20,
                "differingCells": 0,
                "differingBits": 0,
                "differingLabels": 0,
            },
        },
        "runtime": {
            "minimumOnnxruntime": "1.26.0",
            "minimumOnnxruntimeNode": "1.26.0",
            "intraOpNumThreads": 1,
            "opset": {"ai.onnx": 18, "ai.onnx.ml": 5},
            "irVersion": 10,
        },
        "files": {"model.onnx": {"sha256": DIGEST, "bytes": 4}},
        "configDigest": DIGEST,
        **changes,
    }


def test_reading_what_was_written_gives_the_same_bytes(tmp_path):
    written = ModelMetadata.model_validate(content()).to_json_bytes()
    (tmp_path / "metadata.json").write_bytes(written)
    again = read_metadata(tmp_path / "metadata.json")
    assert again.to_json_bytes() == written
    assert json.loads(written) == content()


def test_free_parts_keep_their_keys_and_order():
    written = json.loads(ModelMetadata.model_validate(content()).to_json_bytes())
    assert list(written["engine"]) == ["zeta", "alpha"]
    assert list(written["engine"]["alpha"]) == ["snake_key"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"formatVersion": 2}, "formatVersion 2; this release reads up to 1"),
        ({"formatVersion": "1"}, "not written by this program"),
        ({"formatVersion": 0}, "not written by this program"),
        ({"organizationId": "../other"}, "organizationId"),
        ({"surprise": 1}, 'unknown key "surprise"'),
        ({"threshold": 1.5}, "threshold"),
        ({"configDigest": "abc"}, "configDigest"),
        ({"scaling": {"method": "standard", "center": [1.0], "scale": [1.0]}}, "must hold 2 centers"),
        ({"driftBaseline": {"t": {"edges": [2.0, 1.0], "counts": [1, 1, 1], "missing": 0}}}, "edges must increase"),
        ({"driftBaseline": {"t": {"edges": [1.0], "counts": [1], "missing": 0}}}, "one more than edges"),
        ({"grid": {"aggregation": "median", "maxGapSeconds": 300, "ownGaps": {}}}, "grid.aggregation"),
        ({"scaling": {"method": "none", "center": [1.0, 2.0], "scale": []}}, "must hold 0 centers"),
    ],
)
def test_what_is_not_ours_or_newer_is_refused(tmp_path, changes, words):
    (tmp_path / "metadata.json").write_text(json.dumps(content(**changes)))
    with pytest.raises(IntegrityError, match=words.replace(".", r"\.")):
        read_metadata(tmp_path / "metadata.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "\ufeff{}"])
def test_what_is_not_json_metadata_is_refused(tmp_path, text):
    (tmp_path / "metadata.json").write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"metadata\.json"):
        read_metadata(tmp_path / "metadata.json")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingArtifactError, match=r"metadata\.json"):
        read_metadata(tmp_path / "metadata.json")


@pytest.mark.parametrize("part", ["metrics", "engine"])
def test_numbers_that_json_cannot_say_are_refused_in_the_free_parts(part):
    with pytest.raises(ValidationError, match="finite"):
        ModelMetadata.model_validate(content(**{part: {"inner": [float("nan")]}}))


def test_the_schema_names_every_key_as_written():
    schema = metadata_schema()
    assert set(schema["properties"]) == set(content())
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["DataOrigin"]["properties"]) == {"digest", "from", "to", "sensors", "seen", "notation"}
    assert all("description" in field for field in schema["properties"].values())
