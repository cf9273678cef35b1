from __future__ import annotations

from pathlib import Path

import pytest

from ml.errors import ConfigError, IsolationError
from ml.scale.fleet.summary import render_html, summarize, summary_folder
from ml.scale.fleet.task import Outcome

STEP = {"step": "train_model", "exitCode": 0, "seconds": 61.25, "peakMemoryBytes": 412_300_000}
EVENTS = {"failures": 16, "detected": 14, "falseAlarms": 5}
GOOD = Outcome("acme", "v1", "done", (STEP,), findings={"status": "PASSED", "verdict": "Good.", "events": EVENTS})
REFUSED = Outcome("b", "v2", "refused", (STEP,), {"code": "QUALITY_GATE", "message": "<script>alert(1)</script>"})
BROKEN = Outcome("", "", "failed", error=ConfigError("it is no JSON").to_json(), config_file="<b>.json")


def test_counts_and_rows() -> None:
    summary = summarize([GOOD, REFUSED, BROKEN], 3.14159, None)
    assert summary.counts == {"done": 1, "failed": 1, "refused": 1}
    assert summary.unfinished == 2
    content = summary.to_json()
    assert content["seconds"] == 3.14
    assert [row["reason"] for row in content["organizations"]] == [
        "Good.",
        "<script>alert(1)</script>",
        "it is no JSON",
    ]
    assert content["organizations"][0]["peakMemoryBytes"] == 412_300_000
    assert content["organizations"][2]["configFile"] == "<b>.json"


def test_the_page_shows_the_figures_and_escapes_every_text() -> None:
    page = render_html(summarize([GOOD, REFUSED, BROKEN], 3.0, None))
    for text in ("PASSED", "14 of 16", "<td>5</td>", "61.2", "412", "&lt;script&gt;alert(1)", "&lt;b&gt;.json"):
        assert text in page
    assert "<script" not in page
    assert "<b>" not in page
    assert "http:" not in page
    assert "https:" not in page


def test_the_summary_lies_in_no_organisations_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path))
    assert summary_folder(None) == tmp_path / "fleet_summary"
    assert summary_folder(str(tmp_path / "elsewhere")) == tmp_path / "elsewhere"
    (tmp_path / "link").symlink_to(tmp_path / "artifacts")
    for named in ("artifacts", "artifacts/acme/v1", "models/acme", "link/acme"):
        with pytest.raises(IsolationError, match="several organisations"):
            summary_folder(str(tmp_path / named))
