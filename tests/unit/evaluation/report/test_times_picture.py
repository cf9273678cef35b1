"""The picture of the time to failure is an image whatever was said before failures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.report.times import times_picture

HORIZON = 3600


def told(n_failures, said=1.0):
    truth = np.arange(240, 0, -1) * 60.0
    parts = [
        pd.DataFrame(
            {
                "asset_id": "pump <1> $x$",
                "timestamp": pd.Timestamp("2024-01-01", tz="UTC"),
                "p10": 0.5 * said * truth,
                "p50": said * truth * (1 + number / 10),
                "p90": np.where(truth > HORIZON, np.inf, 2 * said * truth),
                "truth": truth,
                "alarm": truth < 1800 + number,
                "failure": number,
            }
        )
        for number in range(n_failures)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("rows", [told(1), told(3), told(12), told(2, said=np.inf), told(2).assign(alarm=False)])
def test_it_is_a_picture_and_the_same_for_the_same_rows(rows):
    png = times_picture(rows, HORIZON)
    assert png.startswith(b"\x89PNG")
    assert times_picture(rows, HORIZON) == png


def test_no_failure_is_said_in_words():
    assert times_picture(told(1).iloc[:0], HORIZON).startswith(b"\x89PNG")
