import importlib.util
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "figures.py"


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["figures"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["figures"]


def test_a_verdict_goes_by_the_direction_of_the_target(figures):
    slow = figures.Figure("decision", 130.0, "us", 120.0)
    fast = figures.Figure("batch", 60_000.0, "requests/s", 50_000.0, at_least=True)
    open_ended = figures.Figure("SELECT 1", 1.0, "us")
    assert [f.verdict for f in (slow, fast, open_ended)] == ["missed", "met", ""]
    assert figures.Figure("decision", 120.0, "us", 120.0).verdict == "met"


def test_figures_go_through_the_sheet_of_whoever_runs_the_benchmark(figures, tmp_path, monkeypatch):
    sheet = tmp_path / "sheet"
    given = [figures.Figure("a", 1.5, "ms", 2.0, beside="b"), figures.Figure("c", 0.25, "of d")]
    monkeypatch.delenv(figures.SHEET, raising=False)
    figures.note(given[0])
    monkeypatch.setenv(figures.SHEET, str(sheet))
    figures.note(given[0])
    figures.note(given[1])
    assert figures.noted(sheet) == given


def test_the_table_says_what_was_asked_and_whether_it_is_met(figures):
    rows = figures.table(
        [
            figures.Figure("decision", 1234.4, "us", 80.0, beside="SELECT 1: 1.1"),
            figures.Figure("share", 0.84, "of a bare INSERT", 0.7, at_least=True),
        ]
    ).splitlines()[2:]
    assert rows == [
        "| decision | 1,234 us | ≤ 80.0 | missed | SELECT 1: 1.1 |",
        "| share | 0.84 of a bare INSERT | ≥ 0.7 | met |  |",
    ]
