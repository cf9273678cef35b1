"""A model that counts time from events: given as a table, read from the configured lists, or not given."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ml.config import OrganizationConfig
from ml.ingest.failures.since import times_since
from ml.predict import load_model
from ml.predict.scoring import score_file
from ml.progress import silent
from ml.workspace.paths import OrganizationPaths
from tests.unit.predict.installed import install
from tests.unit.predict.irregular import INTERVAL, config, readings

INPUTS = {"since_oil": ["maintenance:oil"], "since_failure": ["failure"]}  # stored by name, whatever the order here


def settings(**lists: object) -> OrganizationConfig:
    data = config().model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data["schemaConfig"]["eventInputs"] = INPUTS
    # Features of readings say nothing of labels that are drawn: those of events alone are left to the trees.
    data["featureConfig"] = {"families": {"since": True, "rolling": False, "lags": False, "differences": False}}
    return OrganizationConfig.from_dict({**data, "failureConfig": lists})


def test_events_reach_the_model_by_every_way(tmp_path: Path) -> None:
    table = readings(1).groupby(["machine", "timestamp"], as_index=False).last()
    first = table["timestamp"].min()
    events = pd.DataFrame(
        {
            "asset_id": ["M0", "M1", "M2"] * 2,
            "event": ["failure"] * 3 + ["maintenance:Oil"] * 3,
            "timestamp": [first + pd.Timedelta(hours=hours) for hours in (1, 0, -3, 2, 1, -9)],
        }
    )
    inputs = {name: tuple(each) for name, each in INPUTS.items()}
    paths = OrganizationPaths("plant_a", tmp_path)
    install(paths, "v1", settings=settings(), since=times_since(inputs, events, INTERVAL))
    model = load_model("plant_a", "v1", root=tmp_path)
    known, unknown = model.predict(table, events), model.predict(table)
    assert (known["probability"] != unknown["probability"]).mean() > 0.2
    frame = model.grid_of(table, events)
    pd.testing.assert_frame_equal(model.predict_grid(frame), known)

    table.to_csv(tmp_path / "data.csv", index=False)
    lists = {}
    for name, what in (("events", "failure"), ("maintenance", "maintenance")):
        own = events[events["event"].str.startswith(what)].assign(kind="OIL", machine=events["asset_id"])
        own.to_csv(tmp_path / f"{name}.csv", index=False)
        lists[name] = {"path": str(tmp_path / f"{name}.csv"), "startColumn": "timestamp", "modeColumn": "kind"}
    for given, expected, codes in ((settings(**lists), known, []), (settings(), unknown, ["EVENTS_NOT_GIVEN"])):
        scratch = tmp_path / f"scratch{len(codes)}"
        scratch.mkdir()
        scored = score_file(model, given, tmp_path / "data.csv", tmp_path / "o.csv", scratch=scratch, progress=silent)
        assert [finding.code for finding in scored.findings] == codes
        written = pd.read_csv(tmp_path / "o.csv")["probability"].astype("float32")
        assert written.equals(expected["probability"])
