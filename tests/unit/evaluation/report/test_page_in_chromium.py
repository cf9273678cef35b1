"""The report in a real browser: silent, offline, harmless whatever the sensors are called, and readable on a phone.

Without Chromium these tests are skipped, unless EAGLE_REQUIRE_CHROMIUM is set, as it is where submissions are checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.metrics import ReferenceResult
from ml.evaluation.perturbations.robustness import RobustnessPoint
from ml.evaluation.report import plots
from ml.evaluation.report.page.document import MAX_BYTES, render_html
from ml.evaluation.report.plots import ROBUSTNESS_AXES
from ml.evaluation.report.report import ValidationReport
from ml.evaluation.report.split_picture import split_picture
from ml.evaluation.report.timeline import timeline, timeline_data
from tests.chromium import Browser, Page, address_of, chromium, find_chromium
from tests.unit.evaluation.report.test_report import EVENTS, report

DESKTOP, PHONE, LARGE_PHONE = 1280, 375, 390
NAMES = {
    "script": "</style></title><script>window.harmed = 1; document.title = 'harmed'</script>",
    "quotes": "\"'><img src=https://example.com/pixel.png onerror=window.harmed=1>' onmouseover=\"window.harmed=1",
    "template": "{{ 7 * 7 }}{% raw %}${window.harmed = 1}<!--",
    "right to left": "\u202eevird\u202c \u2067مضخة\u2069 \u200f",
    "long": "temperature_of_the_bearing_on_the_drive_side_" * 12,
    "control": "a\x00b\x1b[31m\r\nc\u2028d\ufffe",
}
ROBUSTNESS = tuple(
    RobustnessPoint(kind, level, 0.9 - level / 2, 0.9, 0.8) for kind in ROBUSTNESS_AXES for level in (0, 1)
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        if os.environ.get("EAGLE_REQUIRE_CHROMIUM"):
            pytest.fail("Chromium is required here and not on the path")
        pytest.skip("Chromium is not on the path")
    with chromium(executable) as running:
        yield running


def pictures() -> dict[str, bytes]:
    """Pictures in which every kind of name stands, drawn once for all reports."""
    names = list(NAMES.values())
    numbers = np.random.default_rng(1).random(200)
    label = (numbers > 0.7).astype(np.int8)
    rows = pd.DataFrame(
        {
            "timestamp": pd.date_range("2025-01-01", periods=200, freq="h", tz="UTC"), "probability": numbers,
            "label": label, "event": np.where(np.arange(200) == 150, 0, -1),
        }
    )  # fmt: skip
    assets = pd.concat([rows.assign(asset_id=name) for name in names], ignore_index=True)
    positive = (assets["label"] == 1).to_numpy()
    return {
        "timeline": timeline(assets, 0.5, max_assets=len(names)),
        "roc": plots.roc(label, numbers, dict.fromkeys(names, numbers)).svg,
        "robustness_noise": plots.robustness(ROBUSTNESS, "noise").svg,
        "split": split_picture(assets, {"training": ~positive, "test": positive}, 3600),
    }


def report_of(name: str) -> ValidationReport:
    """A whole report of an organisation that calls everything by the same name."""
    usual = report()
    return replace(
        usual,
        organization_id=name,
        version=name,
        model_type=name,
        robustness=ROBUSTNESS,
        test_set=replace(usual.test_set, source=name),
        gates=tuple(replace(gate, name=name) for gate in usual.gates),
        references=(ReferenceResult(name, 0.9, 0.9),),
        importances={name: 1.0},
        events={**EVENTS, "perAsset": {name: {"failures": 1, name: name}}, "failureList": [{"asset": name}]},
        drift=tuple(replace(each, name=name) for each in usual.drift),
        explanation=usual.explanation and replace(usual.explanation, sensors={name: 1.0}, features={name: 1.0}),
        split={"splitBy": name, "train": {"rows": 1, name: name}},
        data_summary={"verdict": [name], "sensors": {name: {name: name}}, name: name},
        provenance={name: name},
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report per kind of name, and one of usual names, as files."""
    folder = tmp_path_factory.mktemp("reports")
    drawn, files = pictures(), {}
    for kind, name in {**NAMES, "usual": "pressure"}.items():
        files[kind] = folder / f"{kind}.html"
        files[kind].write_text(render_html(report_of(name), drawn), encoding="utf-8", newline="")
    return files


@pytest.fixture(scope="module")
def zoomed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose timeline can be zoomed; one of its machines has every kind of hostile name."""
    time = pd.date_range("2025-01-01", periods=2000, freq="h", tz="UTC")
    probability = np.where(np.arange(2000) % 500 > 450, 0.9, 0.1)
    rows = pd.DataFrame({"timestamp": time, "probability": probability, "label": (probability > 0.5).astype(np.int8)})
    assets = [rows.assign(asset_id=name, event=np.where(rows.index % 500 == 499, 0, -1)) for name in NAMES.values()]
    file = tmp_path_factory.mktemp("zoomed") / "report.html"
    story = timeline_data(pd.concat(assets, ignore_index=True), 0.5)
    file.write_text(render_html(report_of("pressure"), pictures(), story), encoding="utf-8")
    return file


def opened(browser: Browser, file: Path, width: int) -> Page:
    page = browser.new_page()
    page.show(address_of(file), width=width)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    return page


@pytest.mark.parametrize("kind", [*NAMES, "usual"])
def test_the_page_is_silent_offline_and_unharmed_and_fits_a_phone(browser, pages, kind) -> None:
    page = opened(browser, pages[kind], PHONE)

    assert page.errors == []
    assert set(page.requests) == {address_of(pages[kind])}
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.title").startswith("Ready: ")
    assert page.evaluate("document.querySelectorAll('script, iframe, object, embed, form, base').length") == 0
    assert page.evaluate("[...document.images].every(each => each.naturalWidth > 0)")
    assert page.evaluate("document.images.length") == 4
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert page.evaluate("document.querySelector('footer') !== null")
    assert pages[kind].stat().st_size < MAX_BYTES


@pytest.mark.parametrize("kind", ["script", "quotes", "template", "right to left", "long"])
def test_a_name_is_shown_as_it_is(browser, pages, kind) -> None:
    page = opened(browser, pages[kind], DESKTOP)

    assert page.evaluate("document.querySelector('.who strong').textContent") == NAMES[kind]
    assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP


def test_the_first_screen_of_a_desktop_holds_verdict_numbers_and_requirements(browser, pages) -> None:
    page = opened(browser, pages["usual"], DESKTOP)

    bottom = "document.querySelector('section[aria-labelledby=gates] table').getBoundingClientRect().bottom"
    assert page.evaluate(bottom) <= 900  # what a window on a screen of 1,080 lines shows
    assert page.evaluate("document.querySelectorAll('.numbers > div').length") == 3


def test_the_first_screen_of_a_phone_holds_verdict_and_numbers(browser, pages) -> None:
    page = opened(browser, pages["usual"], PHONE)

    assert page.evaluate("document.querySelector('.numbers').getBoundingClientRect().bottom") <= 800


def test_print_is_dark_on_white_with_everything_unfolded(browser, pages) -> None:
    page = browser.new_page()
    page.show(address_of(pages["usual"]), width=DESKTOP)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]

    page.call("Emulation.setEmulatedMedia", media="print", features=dark)

    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.querySelector('details:not([open]) table').getBoundingClientRect().height") > 20
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("width", [DESKTOP, LARGE_PHONE])
def test_the_probability_can_be_seen_closer(browser, zoomed, width) -> None:
    page = opened(browser, zoomed, width)
    shown = "document.querySelector('#timeline-live output').textContent"

    assert page.errors == []
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.querySelectorAll('#timeline-live svg path.probability').length") == 4
    whole = page.evaluate(shown)
    assert whole == "2025-01-01 00:00 to 2025-03-25 08:00 UTC"
    page.evaluate("document.querySelector('button[name=closer]').click()")
    assert page.evaluate(shown) == "2025-01-21 20:00 to 2025-03-04 12:00 UTC"
    page.evaluate("document.querySelector('button[name=whole]').click()")
    assert page.evaluate(shown) == whole
    assert page.evaluate("document.querySelectorAll('#timeline-live rect.alarm').length") > 4
    assert page.errors == []


def test_nothing_is_cut_off_on_a_phone(browser, zoomed) -> None:
    """The box of every element lies within the viewport, but for what scrolls in a region that says so."""
    page = opened(browser, zoomed, LARGE_PHONE)
    outside = """[...document.querySelectorAll('main *')].filter(each => {
        const box = each.getBoundingClientRect();
        return box.width > 0 && (box.left < -1 || box.right > innerWidth + 1) && !each.closest('.scroll, .wide, svg');
    }).map(each => each.outerHTML.slice(0, 80))"""

    assert page.evaluate(outside) == []
    assert page.evaluate("[...document.images].every(each => each.getBoundingClientRect().right <= innerWidth + 1)")


def test_every_table_picture_and_region_has_a_name(browser, pages) -> None:
    page = opened(browser, pages["usual"], DESKTOP)

    assert page.evaluate("[...document.images].every(each => each.alt.length > 10)")
    assert page.evaluate("[...document.querySelectorAll('table')].every(each => each.querySelector('th[scope=col]'))")
    assert page.evaluate("[...document.querySelectorAll('[role=region]')].every(each => each.ariaLabel)")
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    assert page.evaluate("document.documentElement.lang") == "en"


class TestTheWatcher:
    """What the tests above would have seen."""

    @pytest.mark.parametrize(
        ("body", "heard"),
        [
            ("<script>console.error('trouble')</script>", "trouble"),
            ("<script>throw new Error('broken')</script>", "broken"),
            (
                "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
                "<script>window.harmed = 1</script>",
                "Content Security Policy",
            ),
        ],
    )
    def test_errors_are_heard(self, browser, tmp_path, body, heard) -> None:
        file = tmp_path / "page.html"
        file.write_text(f"<!doctype html><title>test</title>{body}")

        assert heard in str(opened(browser, file, PHONE).errors)

    def test_requests_and_wide_pages_are_seen(self, browser, tmp_path) -> None:
        file = tmp_path / "page.html"
        file.write_text("<!doctype html><img src='https://example.com/x.png'><div style='width:600px'>wide</div>")

        page = opened(browser, file, PHONE)

        assert "https://example.com/x.png" in page.requests
        assert page.evaluate("document.documentElement.scrollWidth") > PHONE
