import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from ml.drawing import shorten
from ml.evaluation.perturbations.robustness import RobustnessPoint
from ml.evaluation.report import plots
from ml.evaluation.report.plots import ROBUSTNESS_AXES
from ml.evaluation.report.timeline import timeline

RANDOM = np.random.default_rng(4)
LABEL = (RANDOM.random(500) < 0.2).astype(np.int8)
PROBABILITY = np.clip(0.2 + 0.4 * LABEL + RANDOM.normal(0, 0.2, 500), 0, 1).astype(np.float32)
HOSTILE = "$x_{</svg><script>alert(1)</script> 温度 -->"
REFERENCES = {HOSTILE: np.where(RANDOM.random(500) < 0.1, np.nan, PROBABILITY)}
POINTS = [RobustnessPoint(kind, level, 0.9 - level, None, 0.5) for kind in ROBUSTNESS_AXES for level in (0, 0.1)]


def track_frame(rows=400, asset="pump"):
    event = np.full(rows, -1)
    event[300:310] = 0
    label = np.where(event >= 0, -1, 0)
    label[280:300] = 1
    probability = np.where(event >= 0, np.nan, np.linspace(0, 1, rows))
    start = pd.date_range("2025-01-01", periods=rows, freq="h", tz="UTC")
    return pd.DataFrame(
        {"asset_id": asset, "timestamp": start, "probability": probability, "label": label, "event": event}
    )


PICTURES = {
    "roc": lambda: plots.roc(LABEL, PROBABILITY, REFERENCES),
    "precision_recall": lambda: plots.precision_recall(LABEL, PROBABILITY, REFERENCES),
    "calibration": lambda: plots.calibration(LABEL, PROBABILITY),
    "score_distribution": lambda: plots.score_distribution(LABEL, PROBABILITY, 0.4),
    "confusion": lambda: plots.confusion(((90, 10), (3, 7))),
    "robustness": lambda: plots.robustness(POINTS, "noise"),
    "importance": lambda: plots.importance({HOSTILE: 3.0, "b": 1.0}),
    "timeline": lambda: timeline(track_frame(asset=HOSTILE), 0.7),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_data_gives_the_same_bytes(name):
    first, second = PICTURES[name](), PICTURES[name]()

    assert first == second


@pytest.mark.parametrize("name", PICTURES)
def test_files_are_what_their_names_say(name):
    found = PICTURES[name]()
    png = found if isinstance(found, bytes) else found.png

    assert png.startswith(b"\x89PNG\r\n")
    if not isinstance(found, bytes):
        assert found.svg.startswith(b"<?xml")
        assert b"<script" not in found.svg


@pytest.mark.parametrize("label", [np.zeros(4, np.int8), np.ones(4, np.int8)])
def test_one_class_is_drawn_without_failing(label):
    probability = np.array([0.1, 0.2, 0.3, 0.4], np.float32)

    for picture in (plots.roc, plots.precision_recall, plots.calibration):
        assert picture(label, probability).svg.startswith(b"<?xml")
    assert plots.score_distribution(label, probability, 0.5).svg.startswith(b"<?xml")


def test_what_is_drawn_follows_the_data():
    assert plots.roc(LABEL, PROBABILITY) != plots.roc(LABEL, 1 - PROBABILITY)
    assert plots.confusion(((90, 10), (3, 7))) != plots.confusion(((90, 10), (4, 6)))
    assert timeline(track_frame(), 0.7) != timeline(track_frame(), 0.2)


def test_an_empty_importance_and_an_empty_timeline_say_so():
    assert plots.importance({}).svg.startswith(b"<?xml")
    assert timeline(track_frame().iloc[:0], 0.5).startswith(b"\x89PNG")


def test_a_single_row_has_a_timeline():
    assert timeline(track_frame().iloc[:1], 0.5).startswith(b"\x89PNG")


def test_one_alarm_in_a_long_history_is_still_drawn():
    long = track_frame(rows=200_000)
    long["probability"] = 0.0
    with_alarm = long.copy()
    with_alarm.loc[123_457, "probability"] = 1.0

    assert timeline(long, 0.5) != timeline(with_alarm, 0.5)


def test_the_timeline_shows_the_eventful_assets_and_one_quiet_one():
    quiet = track_frame(asset="quiet").assign(label=0, event=-1)
    quieter = quiet.assign(asset_id="quieter", probability=0.1)
    busy = [track_frame(asset=f"busy {i}") for i in range(5)]
    everything = pd.concat([*busy, quieter, quiet], ignore_index=True)

    shown = pd.concat([*busy[:3], quiet], ignore_index=True)

    assert timeline(everything, 0.5, max_assets=4) == timeline(shown, 0.5, max_assets=4)


def test_pyplot_and_its_global_state_stay_out():
    check = "import sys; from ml.evaluation.report import plots, timeline; sys.exit('matplotlib.pyplot' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_long_name_keeps_its_beginning_and_its_end():
    short = shorten("temperature_of_the_bearing__rolling_mean__w=20", 20)

    assert len(short) == 20
    assert short.startswith("temperatu")
    assert short.endswith("mean__w=20")


def test_a_name_with_control_characters_leaves_the_picture_readable():
    hostile = {"a\x00b\x1b\r\n\u2028\u202ec\ufffe -->": PROBABILITY}

    drawn = ElementTree.fromstring(plots.roc(LABEL, PROBABILITY, hostile).svg)

    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert shorten("a\x00b\u202ec") == "a\ufffdb\ufffdc"
