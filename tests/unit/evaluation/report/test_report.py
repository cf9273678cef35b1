import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.attributions.contributions import Case, Explanation, explained
from ml.evaluation.checks.gates import GATES, champion_gate, check_gates
from ml.evaluation.comparison import Baseline, Champion
from ml.evaluation.drift.evaluated import Drift
from ml.evaluation.latency import Latency
from ml.evaluation.metrics import ReferenceResult, row_metrics
from ml.evaluation.perturbations.robustness import RobustnessPoint
from ml.evaluation.report.page.document import MAX_BYTES, records_table, render_html
from ml.evaluation.report.page.tables import breakable
from ml.evaluation.report.report import ValidationReport
from ml.evaluation.rows import EvaluatedRows
from ml.findings import Finding
from ml.learning.events.detection import find_events
from ml.learning.events.metrics import event_metrics
from ml.options.delivery import ValidationConfig
from ml.windows.catalogue import Feature
from ml.windows.operations import Value

HOSTILE = "</style><script>alert('x')</script><img src=x onerror=alert(1)>"
METRICS = row_metrics([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], 0.5)
EVENTS = {
    "failures": 16,
    "detected": 14,
    "eventRecall": 0.875,
    "leadTimeSeconds": {"min": 3600.0, "q25": 72_000.0, "median": 111_600.0, "q75": 129_600.0, "max": 169_200.0},
    "falseAlarms": 29,
    "falseAlarmsPerAssetDay": np.float64(0.0412),
    "alarmPrecision": 0.6,
    "healthyTimeInAlarm": 0.021,
    "savedCost": float("nan"),
    "perAsset": {HOSTILE: {"failures": 2, "detected": 2}},
}
MIDNIGHT = datetime(2025, 1, 1, tzinfo=UTC)
PLOTS = {"roc": b"<?xml version='1.0'?><svg/>", "timeline": b"\x89PNG\r\n"}


def report(**changes):
    measured = {**METRICS.to_json(), **EVENTS, "latencyP95Ms": 0.2}
    gates = check_gates(measured, ValidationConfig(minPrecision=0.5, minAccuracy=0.5))
    everything = {
        "organization_id": "org_1",
        "version": "v1",
        "model_type": "random_forest",
        "model_sha256": "ab" * 32,
        "threshold": 0.5,
        "horizon_seconds": 86_400,
        "test_set": EvaluatedRows("held-out part", 4, 2, 1, 16, MIDNIGHT, MIDNIGHT + timedelta(days=1)),
        "metrics": METRICS,
        "gates": tuple(gates),
        "events": EVENTS,
        "references": (ReferenceResult("oracle", 0.99, None),),
        "latency": Latency(0.1, 0.2, 0.3, 0.15),
        "robustness": (RobustnessPoint("noise", 0.0, 0.9, 0.9, 0.8), RobustnessPoint("missing", 0.2, 0.7, 0.8, None)),
        "drift": (Drift(HOSTILE, "sensor", 0.4, 0.3), Drift(HOSTILE, "feature", 0.05, None)),
        "importances": {"small": 1.0, HOSTILE: 3.0},
        "explanation": Explanation(
            9,
            9,
            {HOSTILE: 2.0},
            {HOSTILE: 2.0},
            1,
            0,
            (
                explained(
                    Case("missedFailure", HOSTILE, "2025-01-01T00:00:00+00:00", 3, 0.3),
                    [Feature(HOSTILE, Value(HOSTILE))],
                    np.float32([0.5]),
                    np.array([-1.0, 0.0]),
                    lambda feature, value: f"{feature.name} = {value}",
                ),
            ),
        ),
        "split": {"splitBy": "time", "train": {"rows": 100, "firstTime": "2024-01-01T00:00:00+00:00"}},
        "data_summary": {
            "verdict": ["Enough history."],
            "sensors": {HOSTILE: {"missingShare": 0.021}},
            "gaps": {"count": 3, "longestSeconds": 7200},
            "failureEvents": {"total": 95, "perAsset": {"hidden": 95}},
        },
        "provenance": {"seed": 42, "versions": {"lightgbm": "4.7.0"}},
    }
    return ValidationReport(**{**everything, **changes})


BARE = {
    "events": None, "references": (), "latency": None, "robustness": (), "drift": (), "importances": {},
    "explanation": None, "split": None,
    "data_summary": None, "provenance": None, "gates": (), "model_sha256": None,
    "test_set": EvaluatedRows("a file", 4, 2, 1),
}  # fmt: skip


class Page(HTMLParser):
    """Tags, addresses and text of a page, and whether its tags close in order."""

    VOID = ("meta", "link", "img", "br", "wbr")

    def __init__(self, html):
        super().__init__()
        self.tags, self.addresses, self.words, self.open = [], [], [], []
        self.images = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.addresses += [given[key] for key in ("src", "href", "action", "data") if key in given]
        if tag == "img":
            self.images.append(given)
        assert not any(key.startswith("on") for key in given)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split()).replace("\u00a0", " ")


def test_the_json_has_exactly_the_promised_keys_and_no_nan():
    content = report().to_json()

    assert list(content) == [
        "formatVersion", "status", "verdict", "organizationId", "version", "modelType", "modelSha256", "threshold",
        "horizonSeconds", "testSet", "metrics", "events", "gates", "refusals", "warnings", "references", "baselines",
        "champion", "latencyMs", "windowLatencyMs", "robustness", "drift", "importances", "explanation",
        "timeToFailure", "split", "dataSummary", "suspiciousColumns", "provenance",
    ]  # fmt: skip
    assert set(content["testSet"]) == {"source", "rows", "positives", "events", "assets", "from", "to", "digest"}
    assert set(content["metrics"]) == {
        "accuracy", "precision", "recall", "f1", "auc", "averagePrecision", "brier", "mcc", "calibrationError",
        "baseRate", "confusion",
    }  # fmt: skip
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["events"]["savedCost"] is None
    assert content["testSet"]["from"] == "2025-01-01T00:00:00+00:00"
    assert content["importances"][0] == {"feature": HOSTILE, "gain": 3.0, "share": 0.75}


def test_all_gates_passed_is_a_pass_told_in_maintenance_terms():
    passed = report(drift=())

    assert passed.status == "PASSED"
    assert passed.verdict == (
        "This model meets all 8 requirements set for it: it detected 14 of 16 failures, typically 31 h ahead, with "
        "0.04 false alarms per asset and day, and was in alarm for 2.1\u00a0% of the healthy time. "
        "What weakens it: the test holds only 16 failures."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"events": EVENTS | {"failures": 40}}, None),
        ({"events": EVENTS | {"failures": 1}}, "the test holds only 1 failure."),
        (
            {"drift": (Drift("flow", "sensor", 0.3, 0.3), Drift("f", "feature", 9.0, 0.3))},
            "the test holds only 16 failures; flow looks different from training.",
        ),
        (
            {"events": EVENTS | {"failures": 40, "healthyTimeInAlarm": 0.06}},
            "it is in alarm for 6\u00a0% of the healthy",
        ),
    ],
)
def test_the_verdict_says_what_weakens_it(changes, words):
    verdict = report(**{"drift": (), **changes}).verdict

    assert ("What weakens it" in verdict) == (words is not None)
    assert words is None or f"What weakens it: {words}" in verdict


def test_one_gate_missed_is_a_refusal_that_names_it():
    gates = tuple(check_gates({**METRICS.to_json(), **EVENTS}, ValidationConfig(minPrecision=0.7)))

    refused = report(gates=gates)

    assert refused.status == "REFUSED"
    assert "misses 3 of 8 requirements" in refused.verdict
    assert "precision is 0.667, required is at least 0.7" in refused.verdict
    assert "latency of one row, 95th percentile is not defined on these rows" in refused.verdict


def test_a_model_that_says_nothing_is_refused_by_that_sentence_first():
    finding = Finding("ALARM_NEVER_ENDS", "it is in alarm for 99 % of the healthy time of all machines")

    assert report(refusals=(finding,)).verdict == (
        "This model is refused: it is in alarm for 99 % of the healthy time of all machines."
    )
    gates = tuple(check_gates({"recall": 0.1}, ValidationConfig(**dict.fromkeys(GATES, None) | {"minRecall": 0.5})))
    both = report(refusals=(finding,), gates=gates)
    assert both.status == "REFUSED"
    assert "It also misses 1 of 1 requirement: recall is 0.100" in both.verdict
    assert both.to_json()["refusals"] == [finding.to_json()]


@pytest.mark.parametrize(
    ("events", "precision", "words"),
    [
        ({"detected": 14, "falseAlarms": 28}, 0.1, "14 failures detected with 28 false alarms, against 14 with 29"),
        ({"detected": 15, "falseAlarms": 29}, 0.1, "15 failures detected with 29 false alarms, against 14 with 29"),
        ({"detected": 16, "falseAlarms": 30}, 0.1, None),
        ({"detected": 14, "falseAlarms": 29}, 0.1, None),
        ({"detected": 15, "falseAlarms": 29, "healthyTimeInAlarm": 0.03}, 0.1, None),
        ({"detected": 2, "falseAlarms": 90}, 1.0, "average precision 1.000, against 0.833"),
        ({"detected": 2, "falseAlarms": 90}, 0.84, None),
    ],
)
def test_the_verdict_says_which_simpler_alarm_does_better(events, precision, words):
    metrics = row_metrics([0, 0, 1, 1], [0.1, 0.8, 0.7, 0.9], 0.5)
    limit = Baseline("Best limit on one sensor", "flow at or below 3", precision, EVENTS | events)
    verdict = report(baselines=(limit, Baseline("Model without tuning", "not evaluated: ...")), metrics=metrics).verdict

    assert ("does better" in verdict) == (words is not None)
    assert words is None or f"Best limit on one sensor does better: {words}." in verdict


def test_warnings_stand_below_the_verdict():
    warning = {"code": "HORIZON_TOO_LONG", "message": f"all were late {HOSTILE}", "hint": "try 3600"}
    short = {"code": "COOLDOWN_DIFFERS", "message": "One sentence."}
    text = Page(render_html(report(warnings=(warning, short)), {})).text

    assert "One sentence." in text
    assert text.index("PASSED") < text.index("Warnings") < text.index("all were late") < text.index("Requirements")
    assert "(try 3600)" in text
    assert report(warnings=(warning,)).to_json()["warnings"] == [warning]


def test_rare_false_alarms_are_told_per_year_and_intervals_in_one_unit():
    intervals = {
        "eventRecall": (0.7, 1.0), "leadTimeMedianSeconds": (86_400.0, 86_400.0),
        "falseAlarmsPerAssetDay": (0.001, 0.004),
    }  # fmt: skip
    rare = report(events={**EVENTS, "falseAlarmsPerAssetDay": 0.002, "intervals": intervals})
    text = Page(render_html(rare, {})).text

    assert "False alarms 0.73 per asset and year 29 in the whole test; in alarm for 2.1 % of the healthy time" in text
    assert "95 % interval: 0.36 to 1.46 per asset and year" in text
    assert "95 % interval: about 24 h" in text
    assert "half of them 20 to 36 h" in text
    assert "with 0.73 false alarms per asset and year" in rare.verdict


def test_no_gates_is_a_pass_that_says_nothing_was_demanded():
    assert report(gates=()).status == "PASSED"
    assert "No requirement is set" in report(gates=()).verdict


def test_the_page_leads_with_the_verdict_and_the_three_numbers():
    text = Page(render_html(report(), PLOTS)).text

    words = ["org_1", "random forest", "next 24 h", "Ready", "PASSED", "14 of 16", "31 h", "0.04", "Requirements"]
    positions = [text.index(word) for word in words]
    assert positions == sorted(positions)
    assert "2 came without an alarm" in text


def test_intervals_stand_below_the_three_numbers_where_they_were_measured():
    intervals = {
        "eventRecall": (0.7, 1.0), "leadTimeMedianSeconds": (72_000.0, 129_600.0), "falseAlarmsPerAssetDay": None,
    }  # fmt: skip

    text = Page(render_html(report(events={**EVENTS, "intervals": intervals}), {})).text

    assert "2 came without an alarm 95 % interval: 70 % to 100 %" in text
    assert "95 % interval: 20 to 36 h" in text
    assert text.count("95 % interval") == 2
    assert "interval:" not in Page(render_html(report(), {})).text


def test_a_plant_of_ten_thousand_assets_still_makes_a_page_of_the_promised_size():
    many = {f"asset {number} {HOSTILE}": {"failures": 2, "detected": 2, "alarms": 3} for number in range(10_000)}
    failures = [{"asset": name, "time": MIDNIGHT.isoformat(), "detected": True} for name in many]
    summary = {"sensors": {name: {"missingShare": 0.5} for name in many}, "warnings": list(many)}

    html = render_html(
        report(events={**EVENTS, "perAsset": many, "failureList": failures}, data_summary=summary), PLOTS
    )

    assert len(html.encode()) < MAX_BYTES / 3  # the pictures need room as well
    text = Page(html).text
    assert text.count("9,800 more are in validation_report.json.") == 3
    assert "9,900 more sentences in validation_report.json." in text


def test_the_page_shows_every_section():
    text = Page(render_html(report(), PLOTS)).text

    for words in ("oracle 0.990 n/a", "20 % of the readings removed", "Enough history.", "2.1 %", "Versions: lightgbm",
                  "Part Rows First time train 100", "Gaps: longest 2 h", "Failure events: total 95",
                  "2024-01-01 00:00", "0.2 ms", "1 of 1 sensor drifted strongly", "0.400 0.300 strong drift",
                  "0.050 n/a stable",
                  "= 0.5 kept the risk down most.", "1 missed failure, and why",
                  "guessing (base rate) 0.500", "SHA-256 abab"):  # fmt: skip
        assert words in text, words


def test_hostile_names_are_text_and_nothing_is_fetched():
    page = Page(render_html(report(organization_id=HOSTILE, model_type=HOSTILE), {**PLOTS, "unknown": b"<svg/>"}))

    assert "script" not in page.tags
    assert page.text.count("alert('x')") >= 11
    assert page.open == []
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert len(page.images) == 2
    assert all(image["alt"] for image in page.images)


def test_a_long_name_may_break_after_underscores_and_is_escaped_all_the_same():
    assert breakable("a__b_<i>") == "a__<wbr>b_<wbr>&lt;i&gt;"
    assert "flow__<wbr>mean</th>" in render_html(report(importances={"flow__mean": 1.0}), {})


def test_the_page_forbids_scripts_and_requests_and_names_its_language():
    html = render_html(report(), PLOTS)

    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert "<script" not in html
    assert "script-src" not in html
    assert '<html lang="en">' in html
    assert "data:image/svg+xml;base64," in html
    assert "data:image/png;base64," in html


def test_one_script_may_run_and_draws_the_probability():
    story = {"threshold": 0.5, "tracks": [{"name": HOSTILE, "step": 60, "end": 120, "time": [0, 60],
             "probability": [1, None], "positive": [], "alarms": [[0, 60]], "failures": []}]}  # fmt: skip
    html = render_html(report(), PLOTS, story)

    data, script = re.findall(r"<script(?: type=\S+ id=\S+)?>(.*?)</script>", html, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'\">" in html
    assert json.loads(data) == story
    assert html.index("<noscript>") < html.index("data:image") < html.index("</noscript>")


def test_the_contents_lead_to_every_section():
    html = render_html(report(), PLOTS)

    links = re.findall(r'<li><a href="#([\w-]+)">', html)
    assert len(links) > 8
    assert links == re.findall(r'<h2 id="([\w-]+)">', html)


def test_features_are_told_in_words_beside_their_names():
    html = render_html(
        report(importances={"flow__median__w=24": 1.0}, provenance={"samplingIntervalSeconds": 900}), PLOTS
    )

    assert '<span class="words">flow, median of 6 h</span><br>flow__<wbr>median__<wbr>w=24</th>' in html


def test_missing_pieces_are_left_out():
    page = Page(render_html(report(**BARE), {}))

    assert page.images == []
    for words in ("Failures", "Robustness", "Time for one prediction", "The data", "Requirements", "What the model"):
        assert words not in page.text, words
    assert "Average precision" in page.text


@pytest.mark.parametrize(
    "events",
    [
        {"failures": 0, "detected": 0, "leadTimeSeconds": None, "falseAlarms": 3, "falseAlarmsPerAssetDay": 0.2},
        {"failures": 2, "detected": 0, "leadTimeSeconds": {"median": None}, "falseAlarms": 0,
         "falseAlarmsPerAssetDay": 0.0},
    ],
)  # fmt: skip
def test_events_without_lead_times_are_shown(events):
    text = Page(render_html(report(events=events), PLOTS)).text

    assert "None" not in text
    assert "nan" not in text.lower().replace("maintenance", "")


@pytest.mark.parametrize(("horizon", "words"), [(7200, "Median lead time 2 h ahead"), (0, "Median delay 0 s after")])
def test_event_metrics_are_understood_as_they_are_made(horizon, words):
    timestamp = np.arange(10) * 3600
    onsets = pd.DataFrame({"asset_id": ["pump"], "timestamp": [9 * 3600 + 3600]})
    label = [0] * 8 + [1, 1]
    events = find_events(
        ["pump"] * 10, timestamp, label, label, onsets, threshold=0.5, horizon=horizon, cooldown=300, interval=3600
    )

    text = Page(render_html(report(events=event_metrics(events)), {})).text

    assert "1 of 1" in text
    assert "none was missed" in text
    assert words in text
    assert "Healthy time in alarm 0 %" in text
    assert "Every failure Asset Time Detected Early" in text
    assert "n/a" not in text[: text.index("Row by row")].replace("oracle 0.990 n/a", "")


def test_baselines_and_the_published_version_stand_beside_the_model():
    limit = Baseline("Best limit on one sensor", f"{HOSTILE} at or above 3", 0.4, EVENTS)
    untuned = Baseline("Model without tuning", "not evaluated: the model has the default parameters itself")
    champion = Champion(
        version="v0", rows=4, margin=0.01, average_precision=0.9, candidate_average_precision=0.7,
        interval=(-0.3, -0.1), events=EVENTS, candidate_events=EVENTS,
    )  # fmt: skip
    compared = report(
        baselines=(limit, untuned),
        champion=champion,
        gates=(champion_gate(champion),),
        events=EVENTS | {"savedCost": 12},
    )

    text = Page(render_html(compared, {})).text
    content = compared.to_json()

    assert "Best limit on one sensor" in text
    assert "14 of 16 0.04 per asset and day 2.1 % 0.400" in text
    assert "average precision 0.900 against 0.700" in text
    assert "between -0.300 and -0.100" in text
    assert "Saved cost 12" in text
    assert content["status"] == "REFUSED"
    assert content["champion"]["interval"] == [-0.3, -0.1]
    assert content["champion"]["worse"] is True
    assert content["champion"]["difference"] == pytest.approx(-0.2)
    assert "perAsset" not in content["baselines"][0]["events"]
    assert content["baselines"][1]["events"] is None
    assert "lost to the published version v0, beyond chance is 0.100, required is at most 0.01" in compared.verdict


def test_why_there_was_no_comparison_is_told():
    skipped = Champion(version="v0", rows=0, margin=0.01, skipped="it reads a grid of 60 s, this one of 30 s")
    text = Page(render_html(report(champion=skipped), {})).text

    assert "Published version v0: not compared, because it reads a grid of 60 s" in text
    assert report(champion=skipped).status == "PASSED"


def test_detection_speaks_of_detection():
    assert "detects failures as they happen" in Page(render_html(report(horizon_seconds=0), PLOTS)).text


def test_a_measurement_next_to_its_limit_shows_the_digits_that_matter():
    gates = tuple(check_gates({"recall": 0.69997}, ValidationConfig(minRecall=0.7)))

    text = Page(render_html(report(gates=gates), PLOTS)).text

    assert "at least 0.7 0.69997 ✗ missed" in text


def test_records_become_a_table_whatever_their_form():
    by_name = records_table({"a": {"rows": 1200, "nested": {}}, "b": {"missingShare": 0.5}}, "Part")
    as_list = records_table([{"name": "a", "rows": 1200}], "Part")

    assert by_name.headings == ("Part", "Rows", "Missing share")
    assert by_name.rows[0] == ("a", "1,200", "n/a")
    assert as_list.headings == ("Name", "Rows")
    assert records_table({"a": 1}, "Part") is None
    assert records_table({"a": 1, "perAsset": {"pump": 2}}, "Part") is None
    assert records_table([], "Part") is None
    assert records_table(3, "Part") is None


def test_warnings_have_a_section_and_a_key():
    warning = {"code": "COLUMNS_ABSENT", "message": "the table has no <voltage>: left out", "hint": "name the columns"}
    page = Page(render_html(report(warnings=(warning,)), {})).text
    assert "Warnings" in page
    assert "the table has no <voltage>: left out (name the columns)" in " ".join(page.split())
    assert report(warnings=(warning,)).to_json()["warnings"] == [warning]
    assert "Warnings" not in Page(render_html(report(), {})).text


def test_suspicious_columns_are_named_before_the_numbers():
    leak = {"column": "<b>tag", "reason": "one of its two values covers the label", "figure": 0.98765}
    named = Page(render_html(report(suspicious_columns=(leak,)), {})).text
    assert "<b>tag : one of its two values covers the label (0.9877)." in named
    assert named.index("Suspicious columns") < named.index("Requirements")
    assert "Suspicious columns" not in Page(render_html(report(), {})).text
    assert report(suspicious_columns=(leak,)).to_json()["suspiciousColumns"] == [leak]
