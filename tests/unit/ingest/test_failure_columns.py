"""Columns that say failed: codes, words, inverse and several columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError
from ml.ingest.failures.copies import without_copies
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared


def prepared_of(folder: Path, cells: dict[str, list[str]], **keys: Any) -> Prepared:
    """Of rows a minute apart with the cells of some columns."""
    n_rows = len(next(iter(cells.values())))
    lines = [",".join(["timestamp", "x", *cells])]
    for row in range(n_rows):
        values = [values[row] for values in cells.values()]
        lines.append(",".join([f"2024-01-01T00:{row:02d}:00Z", str(row % 5), *values]))
    file = folder / "readings.csv"
    file.write_text("\n".join(lines) + "\n")
    return prepare(config_of(file, **keys))


def config_of(file: Path | str, **keys: Any) -> OrganizationConfig:
    schema = {"continuousColumns": ["x"], **keys.pop("schema", {})}
    content = {
        "organizationId": "o",
        "schemaConfig": schema,
        "dataSource": {"path": str(file)},
        "dataConfig": {"predictionHorizonSeconds": 120, "samplingIntervalSeconds": 60},
    }
    return OrganizationConfig.from_dict({**content, "failureConfig": keys})


def target_of(prepared: Prepared) -> list[int]:
    return prepared.frame["target"].tolist()


@pytest.mark.parametrize(
    ("values", "keys", "expected"),
    [
        (["OK", "Broken ", "ok", "", "ok"], {"failureValues": ["BROKEN"]}, [0, 1, 0, 0, 0]),
        (["0", "2", "1", "0.0", "2.0"], {"failureValues": [2], "healthyValues": [0]}, [0, 1, -1, 0, 1]),
        (["0", "2", "1", "0", "0"], {"failureValues": [1, 2]}, [0, 1, 1, 0, 0]),
        (
            ["None", "TRIP", "none", "x", "None"],
            {"failureValues": ["trip"], "healthyValues": ["None"]},
            [0, 1, 0, -1, 0],
        ),
        (["true", "false", "True", "0", "1"], {"failureValues": [False]}, [0, 1, 0, 1, 0]),
        (["1", "", "", "1", ""], {"failureValues": ["1"], "healthyValues": ["", "0"]}, [1, 0, 0, 1, 0]),
        (["1", "0", "1", "on", "off"], {"inverse": ["s"]}, [0, 1, 0, 0, 1]),
    ],
)
def test_what_values_mean(tmp_path: Path, values: list[str], keys: dict[str, Any], expected: list[int]) -> None:
    found = prepared_of(tmp_path, {"s": values}, schema={"targetColumn": "s"}, **keys)
    assert target_of(found) == expected
    assert "modes" not in found.frame.columns


@pytest.mark.parametrize(("hold", "known"), [(True, 20), (False, 12)])
def test_a_flag_that_is_written_down_when_it_changes_is_held(tmp_path: Path, hold: bool, known: int) -> None:
    values = ["0", *[""] * 15, "1", "", "0", ""]
    found = prepared_of(tmp_path, {"s": values}, schema={"targetColumn": "s"}, holdUntilChanged=hold)
    assert sum(value >= 0 for value in target_of(found)) == (known if hold else pytest.approx(known, abs=3))
    assert target_of(found)[16:] == [1, 1, 0, 0]


def test_any_of_several_columns_counts_and_each_is_carried_by_itself(tmp_path: Path) -> None:
    columns = {"heat": ["0", "1", "", "0", "0"], "fan": ["0", "", "0", "", "bad"], "ready": ["1", "1", "1", "0", "1"]}
    found = prepared_of(tmp_path, columns, columns=["heat", "fan", "ready"], inverse=["ready"])
    assert target_of(found) == [0, 1, 1, 1, -1]
    assert found.frame["modes"].tolist() == ["", "heat", "heat", "ready", ""]
    assert found.summary["failureEvents"]["perMode"] == {"heat": 1, "fan": 0, "ready": 1}


def test_columns_and_codes_are_grouped_into_modes(tmp_path: Path) -> None:
    bits = {"h1": ["0", "1", "0", "0"], "h2": ["0", "1", "1", "0"], "f": ["0", "0", "1", "0"]}
    found = prepared_of(tmp_path, bits, columns=["h1", "h2", "f"], modes={"heater": ["h1", "h2"]})
    assert found.frame["modes"].tolist() == ["", "heater", "heater|f", ""]
    codes = {"s": ["0", "2", "3", "4", "0"]}
    found = prepared_of(tmp_path, codes, schema={"targetColumn": "s"}, modes={"heater": [2, 3], "fan": [4]})
    assert found.frame["modes"].tolist() == ["", "heater", "heater", "fan", ""]
    assert target_of(found) == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("columns", "keys", "words"),
    [
        ({"s": ["UP", "DOWN", "UP"]}, {"failureValues": ["TRIP"]}, r"'UP' \(2 times\), 'DOWN' \(1 times\)"),
        ({"s": ["UP", "DOWN", "UP"]}, {"failureValues": ["TRIP"], "healthyValues": ["UP"]}, "'DOWN'"),
        ({"s": ["UP", "DOWN", "UP"]}, {}, "which are neither failed nor healthy"),
        ({"s": ["1", "0", "1"], "t": ["a", "b", "a"]}, {"columns": ["s", "t"]}, r'no value of "t"'),
    ],
)
def test_values_that_do_not_fit_are_named(
    tmp_path: Path, columns: dict[str, list[str]], keys: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words) as refused:
        prepared_of(tmp_path, columns, schema={"targetColumn": "s"}, **keys)
    assert "failureConfig" in (refused.value.hint or "")


def test_a_history_without_a_failure_is_no_error_where_all_its_words_are_known(tmp_path: Path) -> None:
    keys = {"failureValues": ["TRIP"], "healthyValues": ["UP"]}
    found = prepared_of(tmp_path, {"s": ["UP"] * 5}, schema={"targetColumn": "s"}, **keys)
    assert next(finding["code"] for finding in found.summary["findings"]) == "NO_FAILURES"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"healthyValues": ["UP"]}, "healthyValues needs failureValues"),
        ({"failureValues": [1], "healthyValues": ["1.0"]}, "cannot be in failureValues and in healthyValues"),
        ({"columns": ["a"], "inverse": ["b"]}, "inverse names b"),
        ({"columns": ["fan", "b"], "modes": {"m": ["fam"]}}, "did you mean fan"),
        ({"columns": ["a"], "events": {"path": "e.csv", "startColumn": "t"}}, "exclude each other"),
        ({"events": {"path": "e.csv", "startColumn": "t"}, "modes": {"m": ["a"]}}, "modeColumn"),
        ({"events": {"startColumn": "t"}}, "needs either path"),
        ({"modes": {"m": ["a"], "n": ["A"]}}, "more than once"),
        ({"maintenance": {"path": "e.csv", "startColumn": "t", "prevents": ["x"]}}, "modeColumn"),
    ],
)
def test_a_configuration_that_says_two_things_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_of("readings.csv", **keys)


def test_columns_that_define_failures_are_no_features_unless_asked_for() -> None:
    schema = {"booleanColumns": ["trip", "door"]}
    fenced = config_of("r.csv", schema=schema, columns=["trip"])
    assert fenced.schema_config.sensor_columns == ("x", "door")
    assert [finding.code for finding in fenced.findings] == ["FAILURE_COLUMNS_FENCED"]
    allowed = config_of("r.csv", schema=schema, columns=["trip"], allowAsFeatures=["trip"])
    assert allowed.schema_config.sensor_columns == ("x", "trip", "door")
    with pytest.raises(ConfigError, match="nothing is left"):
        config_of("r.csv", columns=["x"])


def test_a_copy_of_the_target_is_told(tmp_path: Path) -> None:
    bits = ["0", "0", "1", "1", "0"]
    columns = {"failure_indicator": bits, "alarm": bits, "running": [str(1 - int(bit)) for bit in bits]}
    schema = {"booleanColumns": ["alarm"], "continuousColumns": ["x", "running"]}
    found = prepared_of(tmp_path, columns, schema=schema)
    assert found.summary["copiesOfTarget"] == ["running", "alarm"]
    allowed = prepared_of(tmp_path, columns, schema=schema, allowAsFeatures=["alarm", "running"])
    assert "copiesOfTarget" not in allowed.summary
    config = config_of("r.csv", schema=schema)
    fenced = without_copies(config, found.summary)
    assert fenced.schema_config.sensor_columns == ("x",)
    assert fenced.findings[0].to_json() in found.summary["findings"]
    assert without_copies(config, allowed.summary) is config
    alone = config_of("r.csv", schema={"continuousColumns": ["running"], "booleanColumns": ["alarm"]})
    with pytest.raises(ConfigError, match="every sensor is a copy"):
        without_copies(alone, found.summary)


def test_what_makes_prepared_data_is_in_the_digest_of_the_settings() -> None:
    plain, coded, grouped = (
        config_of("r.csv", **keys)
        for keys in ({}, {"failureValues": [2]}, {"events": {"path": "e", "startColumn": "t"}})
    )
    assert len({config.settings_digest() for config in (plain, coded, grouped)}) == 3
    assert config_of("r.csv", allowAsFeatures=["x"]).settings_digest() == plain.settings_digest()
    assert list(grouped.tables) == ["failureConfig.events"]
