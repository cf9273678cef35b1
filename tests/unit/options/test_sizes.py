"""However a configuration of the allowed size is filled, it is refused or read in under half a second."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from ml.config import MAX_CONFIG_BYTES, OrganizationConfig
from ml.errors import ConfigError, EagleError
from ml.options.forms.strict_json import MAX_ENTRIES

LIMIT_SECONDS = 2.0  # about 0.1 on a quiet machine; what was quadratic took from 8 s on
BASE: dict[str, Any] = {"organizationId": "plant", "schemaConfig": {"continuousColumns": ["x"]}}


def names(count: int, length: int = 0) -> list[str]:
    return [f"{number:x}".rjust(length, "z") for number in range(count)]


def with_keys(section: str, **keys: Any) -> dict[str, Any]:
    data = copy.deepcopy(BASE)
    data[section] = data.get(section, {}) | keys
    return data


MANY = MAX_CONFIG_BYTES // 10
TOO_MANY = {
    "columns": (with_keys("schemaConfig", continuousColumns=names(20_000)), "schemaConfig.continuousColumns"),
    "more columns": (with_keys("schemaConfig", continuousColumns=names(MANY)), "schemaConfig.continuousColumns"),
    "lags": (with_keys("schemaConfig", lagSeconds=list(range(1, MANY))), "schemaConfig.lagSeconds"),
    "zeros": (with_keys("schemaConfig", lagSeconds=[0] * MANY), "schemaConfig.lagSeconds"),
    "categories": (
        with_keys("trainingConfig", lgbParams={"categoricalFeatures": names(MANY)}),
        "trainingConfig.lgbParams.categoricalFeatures",
    ),
    "mapping": (with_keys("schemaConfig", columnMapping=dict.fromkeys(names(MANY), "x")), "schemaConfig.columnMapping"),
    "choices": (
        with_keys("tuningConfig", searchSpace={"a": {"choices": [1] * MANY}}),
        "tuningConfig.searchSpace.a.choices",
    ),
    "keys": (BASE | dict.fromkeys(names(MANY), 1), None),
    "flat columns": (BASE | {"featureColumns": names(MANY)}, "featureColumns"),
    "deep": (with_keys("trainingConfig", modelParams={"a": [[1] * MANY]}), "trainingConfig.modelParams.a[0]"),
}


@pytest.mark.parametrize("kind", TOO_MANY)
def test_too_many_entries_are_refused_by_number(kind: str) -> None:
    data, field = TOO_MANY[kind]
    began = time.process_time()
    with pytest.raises(ConfigError, match=f"entries; at most {MAX_ENTRIES:,} are allowed") as caught:
        OrganizationConfig.from_dict(data)
    assert caught.value.field == field
    assert time.process_time() - began < LIMIT_SECONDS


N = MAX_ENTRIES
FULL = {
    "columns": with_keys("schemaConfig", continuousColumns=names(N)),
    "long columns": with_keys("schemaConfig", continuousColumns=names(N, 120)),
    "columns twice": with_keys("schemaConfig", continuousColumns=["x"] * N),
    "both kinds": with_keys("schemaConfig", continuousColumns=names(N, 60), booleanColumns=names(N, 61)),
    "counters and operating": with_keys(
        "schemaConfig", continuousColumns=names(N), counterColumns=names(N), operatingColumns=["x"]
    ),
    "an unknown role": with_keys("schemaConfig", continuousColumns=names(N), columnRoles=dict.fromkeys(names(N), "y")),
    "ranges": with_keys(
        "schemaConfig", continuousColumns=names(N), validRange={name: [0, 1] for name in names(N)}
    ),
    "mapping": with_keys("schemaConfig", columnMapping=dict(zip(names(N, 20), names(N, 21), strict=True))),
    "wrong lags": with_keys("schemaConfig", lagSeconds=[0] * N),
    "lags": with_keys("schemaConfig", lagSeconds=list(range(1, N))),
    "flat columns": with_keys("schemaConfig", continuousColumns=names(N)) | {"featureColumns": names(N)},
    "an unknown flat column": with_keys("schemaConfig", continuousColumns=names(N, 60))
    | {"featureColumns": [*names(N - 1, 60), "z" * 58 + "gg"]},
    "unknown keys": BASE | dict.fromkeys(names(N - 2, 60), 1),
    "a long unknown key": BASE | {"schemaConfig" * 80_000: 1},
    "a long text": BASE | {"industry": "x" * 990_000},
    "a long column": with_keys("schemaConfig", continuousColumns=["x" * 990_000]),
    "a long id": BASE | {"organizationId": "a" * 990_000},
    "a long version": BASE | {"version": "a." * 400_000},
    "a long zone": with_keys("dataConfig", timezone="A/" * 400_000),
    "a long date": with_keys("dataRange", startDate="2024" * 200_000),
    "a long path": BASE | {"dataSource": {"path": "a:/" * 300_000}},
    "lists": with_keys("trainingConfig", modelParams={"a": [[[1]] * 90] * 900}),
    "choices": with_keys("tuningConfig", searchSpace={"a": {"choices": names(N, 100)}}),
    "references": with_keys("validationConfig", referenceScores=[{"name": "a", "path": "b"}] * N),
}  # fmt: skip


@pytest.mark.parametrize("kind", FULL)
def test_what_is_as_large_as_allowed(kind: str) -> None:
    text = json.dumps(FULL[kind])
    assert len(text) < 1.2 * MAX_CONFIG_BYTES
    began = time.process_time()
    try:
        OrganizationConfig.from_json(text)
    except EagleError as error:
        refusal = error
    else:
        refusal = EagleError("none")
    assert time.process_time() - began < LIMIT_SECONDS
    assert len(json.dumps(refusal.to_json())) < 2_000


@pytest.mark.parametrize("end", ["]" * 30, ""])
def test_keys_that_repeat_and_depth(end: str) -> None:
    pairs = ",".join(f'"k{number}":1' for number in range(80_000))
    for text in (f'{{{pairs},"k79999":2}}', '{"a":' + "[" * 30 + end + "}", '{"a":' * 150_000, "[" * 900_000):
        began = time.process_time()
        with pytest.raises(ConfigError):
            OrganizationConfig.from_json(text)
        assert time.process_time() - began < LIMIT_SECONDS


@pytest.mark.parametrize("place", [("version",), ("schemaConfig", "timestampColumn"), ("scadaDbConfig", "password")])
def test_half_a_character_is_no_text(place: tuple[str, ...]) -> None:
    data = with_keys("scadaDbConfig", database="d")
    holder = data if len(place) == 1 else data[place[0]]
    holder[place[-1]] = "a\ud800"
    with pytest.raises(ConfigError, match="half a character"):
        OrganizationConfig.from_dict(data)
    holder[place[-1]] = "A1" if place == ("version",) else "\U0001f600"
    OrganizationConfig.from_dict(data)
