"""An embedder process beside a benchmark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Running(NamedTuple):
    """An embedder: where it listens, and its process."""

    socket: Path
    pid: int


@contextmanager
def running_embedder(model: str, models_dir: Path, *more: str) -> Iterator[Running]:
    """Run an embedder; yield it once it is ready."""
    command = [sys.executable, "-m", "tiny_dancer.cli", "embedder", model]
    command += ["--models-dir", str(models_dir), *more]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().rstrip()
            if not ready.startswith("ready: "):
                raise SystemExit(f"the embedder did not start: {process.communicate()[1]}")
            yield Running(Path(ready.rpartition(" on ")[2]), process.pid)
        finally:
            process.terminate()
            process.communicate()
