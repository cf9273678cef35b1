import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from ml.evaluation.report.split_picture import MAX_ASSETS, PART_COLOURS, split_picture

HOUR = 3600


def frame_of(assets=3, rows=300):
    time = pd.date_range("2025-01-01", periods=rows, freq="h", tz="UTC")
    frame = pd.concat([pd.DataFrame({"asset_id": f"pump {number:03}", "timestamp": time}) for number in range(assets)])
    return frame.assign(event=-1).reset_index(drop=True)


def share_of(picture, name, tmp_path):
    """Share of the picture's pixels that have a part's colour."""
    file = tmp_path / "picture.png"
    file.write_bytes(picture)
    pixels = imread(file)[..., :3]
    return float((np.abs(pixels - to_rgb(PART_COLOURS[name])).max(axis=-1) < 0.02).mean())


def test_each_part_is_as_large_in_the_picture_as_in_the_data(tmp_path):
    frame = frame_of()
    hour = np.tile(np.arange(300), 3)
    parts = {"training": hour < 150, "purged": (hour >= 150) & (hour < 175), "test": hour >= 200}

    picture = split_picture(frame, parts, HOUR)

    shares = {name: share_of(picture, name, tmp_path) for name in parts}
    assert shares["training"] == pytest.approx(1.5 * shares["test"], rel=0.1)
    assert shares["training"] > 4 * shares["purged"] > 0
    assert share_of(picture, "validation", tmp_path) == 0


def test_a_single_row_and_every_failure_can_be_seen(tmp_path):
    frame = frame_of(rows=20_000)
    nothing = np.zeros(len(frame), dtype=bool)
    single = nothing.copy()
    single[9_000] = True
    failed = frame.assign(event=np.where(np.arange(len(frame)) == 5_000, 0, -1))

    alone = split_picture(frame, {"training": nothing, "test": single}, HOUR)

    assert share_of(alone, "test", tmp_path) > 0
    assert split_picture(failed, {"test": single}, HOUR) != split_picture(frame, {"test": single}, HOUR)


def test_the_same_rows_give_the_same_bytes_and_others_others():
    frame, rows = frame_of(), np.arange(900) % 300 < 100

    assert split_picture(frame, {"fold 1": rows}, HOUR) == split_picture(frame, {"fold 1": rows}, HOUR)
    assert split_picture(frame, {"fold 1": rows}, HOUR) != split_picture(frame, {"fold 1": ~rows}, HOUR)


def test_many_assets_are_thinned_and_no_row_at_all_is_said():
    many = frame_of(assets=MAX_ASSETS * 10, rows=3)
    everything = np.ones(len(many), dtype=bool)

    assert split_picture(many, {"training": everything}, HOUR).startswith(b"\x89PNG")
    assert split_picture(frame_of(), {"training": np.zeros(900, dtype=bool)}, HOUR).startswith(b"\x89PNG")
