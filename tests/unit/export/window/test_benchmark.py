"""The benchmark runs, on few rows and trees; what it measures depends on the machine."""

from __future__ import annotations

from benchmarks import window_graph as benchmark


def test_every_case_is_measured_in_every_way(monkeypatch):
    monkeypatch.setattr(benchmark, "MEASURED_ROWS", 100)
    monkeypatch.setattr(benchmark, "WARM_UP_ROWS", 50)
    monkeypatch.setattr(benchmark, "TREES", 3)
    cases = benchmark.cases()
    assert [case.name for case in cases] == ["8 sensors, W = 301", "8 sensors, W = 1000", "manufacturing_org.json"]
    measured = benchmark.measure(cases[0])
    assert (measured["features"], measured["look_back"], measured["channels"]) == (316, 301, 8)
    assert len(measured["microseconds"]) == 5
    assert all(0 < times["p50"] <= times["p99"] for times in measured["microseconds"].values())
