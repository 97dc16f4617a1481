import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def test_the_benchmark_runs_on_made_up_requests():
    script = CHECKOUT / "benchmarks" / "routing_quality.py"
    run = subprocess.run(
        [sys.executable, str(script), "--quick"],
        cwd=CHECKOUT,
        env={"PYTHONPATH": str(CHECKOUT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    for name in ("random", "best single", "prompt length", "ridge", "default", "oracle"):
        assert f"| {name} " in run.stdout
    assert "default − prompt length" in run.stdout
