"""Scenarios that take minutes and servers of their own: `make torture` runs them, `make test` not.

Every scenario notes figures, which are printed at the end.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

IS_ASKED_FOR = "TINY_DANCER_SEED" in os.environ
collect_ignore_glob = [] if IS_ASKED_FOR else ["test_*.py"]
# Scenarios share the ways to register, route and record with the tests of the database.
sys.path.append(str(Path(__file__).parents[1] / "db"))

SEED = os.environ.get("TINY_DANCER_SEED", "1")
SECONDS = float(os.environ.get("TINY_DANCER_SECONDS", "60"))
noted = []


@pytest.fixture(scope="session")
def seed():
    """What all random choices begin with; `make torture SEED=...` sets it."""
    return SEED


@pytest.fixture
def dice(seed, request):
    return random.Random(f"{seed}/{request.node.name}")


@pytest.fixture(scope="session")
def seconds():
    """How long the load lasts; `make torture TORTURE_SECONDS=...` sets it."""
    return SECONDS


@pytest.fixture
def figure(request):
    """Note a figure to be printed: figure('rows recorded', 1234)."""
    scenario = request.path.stem.removeprefix("test_").replace("_", " ")

    def note(what, value):
        noted.append((scenario, what, value))

    return note


def pytest_terminal_summary(terminalreporter):
    if not noted:
        return
    terminalreporter.section(f"figures (SEED={SEED}, TORTURE_SECONDS={SECONDS:g})")
    width = max(len(what) for _, what, _ in noted)
    last = None
    for scenario, what, value in noted:
        if scenario != last:
            terminalreporter.write_line(scenario)
        last = scenario
        shown = (
            f"{value:,.2f}"
            if isinstance(value, float)
            else f"{value:,}"
            if isinstance(value, int)
            else value
        )
        terminalreporter.write_line(f"  {what:<{width}}  {shown:>14}")
