"""Rows while the machine is off: which they are, and that they change nothing about other rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.grid.running import off_rows
from ml.ingest.failures.labels import label_grid
from ml.ingest.labelled_grid import labelled_groups
from ml.options.columns.kinds import Running
from ml.options.data import DataConfig


def configured(running):
    schema = {"continuousColumns": ["speed", "total"], "booleanColumns": ["on"], "counterColumns": ["total"]}
    return OrganizationConfig.from_dict({"organizationId": "plant", "schemaConfig": schema | {"runningWhen": running}})


@pytest.mark.parametrize(
    ("rule", "off"),
    [
        ({"above": 0.1}, [1, 1, 0, 0, 1]),
        ({"above": 0}, [1, 0, 0, 0, 1]),
        ({"equals": 0.1}, [1, 0, 1, 0, 1]),
        ({"equals": -5}, [1, 1, 1, 0, 0]),
    ],
)
def test_a_row_is_off_where_its_value_is_known_and_another(rule, off):
    values = np.array([0.0, 0.1, 0.2, np.nan, -5.0], dtype=np.float32)
    frame = pd.DataFrame({"speed": values})
    assert off_rows(frame, Running(column="speed", **rule)).tolist() == [bool(each) for each in off]
    assert not off_rows(frame, None).any()


@pytest.mark.parametrize(
    ("running", "message"),
    [
        ({"column": "sped", "above": 1}, "names sped, which is not one of the sensors.*did you mean speed"),
        ({"column": "total", "above": 1}, "total, which is a counter"),
        ({"column": "on"}, 'one of "equals" and "above"'),
        ({"column": "on", "equals": 1, "above": 0}, 'one of "equals" and "above"'),
        ({"column": "speed", "above": 1e39}, "less than or equal"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(running, message):
    with pytest.raises(ConfigError, match=message):
        configured(running)


def test_the_rule_belongs_to_prepared_data():
    plain, other = configured(None), configured({"column": "on", "equals": 1})
    assert plain.settings_digest() != other.settings_digest()


def grid(target, off, assets=1):
    rows = len(target)
    return pd.DataFrame(
        {
            "asset_id": np.repeat([f"a{number}" for number in range(assets)], rows // assets),
            "timestamp": pd.date_range("2024-01-01", periods=rows, freq="10s", tz="UTC").as_unit("us"),
            "segment": np.repeat(np.arange(assets), rows // assets).astype(np.int32),
            "on": np.where(off, 0, 1).astype(np.float32),
            "target": np.array(target, dtype=np.float32),
        }
    )


@given(
    rows=st.lists(st.tuples(st.sampled_from([0, 0, 0, 0, 1, np.nan]), st.booleans()), min_size=1, max_size=60),
    horizon=st.sampled_from([0, 20, 50]),
    during=st.sampled_from(["exclude", "positive"]),
    recovery=st.sampled_from([0, 20]),
)
def test_off_rows_have_no_label_and_all_others_are_as_they_would_be(rows, horizon, during, recovery):
    target, off = (np.array(each) for each in zip(*rows, strict=True))
    settings = {"interval": 10, "horizon": horizon, "during_failure": during, "recovery_seconds": recovery}
    frame = grid(target, off)
    plain, found = label_grid(frame, **settings), label_grid(frame, **settings, off=off.astype(bool))
    off = off.astype(bool)
    assert (found["label"][off] == -1).all()
    assert (found["event"] == plain["event"]).all()
    assert (found["target"] == plain["target"]).all()
    assert (found["label"][~off] == plain["label"][~off]).all()
    status, before = found["status"].astype(str), plain["status"].astype(str)
    kept = ~off | before.isin(["in_failure", "unknown"])
    assert (status[kept] == before[kept]).all()
    assert (status[~kept] == "off").all()


def test_groups_of_assets_and_pieces_give_the_same_labels():
    random = np.random.default_rng(0)
    target, off = random.random(200) < 0.05, random.random(200) < 0.4
    frame = grid(target, off, assets=4)
    settings = DataConfig(prediction_horizon_seconds=30)
    running = Running(column="on", equals=1)
    pieces = [frame.iloc[at : at + 30] for at in range(0, 200, 30)]
    groups = list(labelled_groups(pieces, settings, interval=10, folder=None, running=running))
    found = pd.concat([piece for group in groups for piece in group.pieces()], ignore_index=True)
    whole = label_grid(frame, interval=10, horizon=30, off=off)
    assert found["label"].tolist() == whole["label"].tolist()
    assert found["status"].tolist() == whole["status"].tolist()
    assert (found["status"] == "off").sum() > 30
