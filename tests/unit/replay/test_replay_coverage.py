"""A simulation with known truth: 95 % intervals hold it as often as they say, and no less shows."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
SCRIPT = CHECKOUT / "benchmarks" / "replay_coverage.py"
TOO_NARROW = f"""
import runpy
from tiny_dancer.replay import off_policy
off_policy.student_quantile = lambda degrees: 0.9
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


def simulate(*options, script=(str(SCRIPT),)):
    """Run the benchmark on one thread: on small matrices, several wait for each other."""
    return subprocess.run(
        [sys.executable, *script, "--decisions", "800", "--truth", "100000", *options],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_intervals_hold_the_truth():
    run = simulate("--logs", "40", "--policies", "cost above .75", "dial at .7")
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\n8 rows: .* 0 by more\n", run.stdout), run.stdout
    held, of = re.search(r"all together: ([.\d]+) of (\d+) intervals", run.stdout).groups()
    assert int(of) == 320
    # Of 320 that hold in 95 of 100 cases, the eight of one log hanging together.
    assert 0.92 <= float(held) <= 0.99


def test_intervals_that_are_too_narrow_are_noticed():
    run = simulate("--logs", "20", "--policies", "dial at .7", script=("-c", TOO_NARROW))
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stdout.count("| OUTSIDE |") >= 2


@pytest.mark.parametrize(
    ("hits", "of", "verdict"),
    [(95, 100, ""), (97, 100, ""), (100, 100, "chance"), (400, 400, "OUTSIDE"),
     (88, 100, "chance"), (350, 400, "chance"), (340, 400, "OUTSIDE")],
)  # fmt: skip
def test_a_row_is_judged_by_what_so_many_logs_can_tell(hits, of, verdict):
    tally = runpy.run_path(str(SCRIPT))["Tally"](1.0)
    for number in range(of):
        tally.add(1.0, 0.9 if number < hits else 1.05, 1.1)
    assert tally.verdict() == verdict
