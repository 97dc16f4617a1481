"""Microseconds of a call: on the clock, and of the processor that the backend spent on it.

The second is changed less by whatever else the machine does; it can be read where the server runs
on this host and as root or as this user.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from tqdm import tqdm

# A statement as PL/pgSQL runs it, through a plan that it keeps, some number of times.
MICROSECONDS = """
CREATE FUNCTION microseconds(began timestamptz, calls integer) RETURNS float8 LANGUAGE sql AS
    'SELECT extract(epoch FROM clock_timestamp() - began)::float8 * 1e6 / calls';
"""

# A function that calls another one on the one row of the table request; to be filled in are its
# name, and what is selected from which call.
REQUEST_LOOP = """
CREATE FUNCTION {}(calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    given request;
    began timestamptz;
    chosen text;
BEGIN
    SELECT * INTO given FROM request;
    began := clock_timestamp();
    FOR i IN 1..calls LOOP
        SELECT {} INTO chosen FROM {} AS called;
    END LOOP;
    RETURN microseconds(began, calls);
END $$;
"""

# The same of a bare statement.
SELECT_LOOP = """
CREATE FUNCTION loop_select(calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
    one integer;
BEGIN
    FOR i IN 1..calls LOOP
        SELECT 1 INTO one;
    END LOOP;
    RETURN microseconds(began, calls);
END $$;
"""
# The same of both, a bare statement and a decision.
DECISION_LOOPS = SELECT_LOOP + REQUEST_LOOP.format(
    "loop_route", "agent_name", "ruvector_route(given.content, embedding := given.embedding)"
)


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


class Stopwatch:
    """The time that a process spends on a processor from now on."""

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/schedstat")
        self._began = self._nanoseconds()

    def milliseconds(self) -> float | None:
        """Return it, None where it can not be read."""
        now = self._nanoseconds()
        return None if now is None or self._began is None else (now - self._began) / 1e6

    def _nanoseconds(self) -> int | None:
        try:
            return int(self._file.read_text().split()[0])
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of one call: on the clock, and of the backend's processor if readable."""

    clock: float
    cpu: float | None

    @property
    def shown_cpu(self) -> str:
        """The second one as it is printed."""
        return "unknown" if self.cpu is None else f"{self.cpu:.1f}"


def measure(pid: int, once: Callable[[], tuple[float, int]], repeats: int) -> Timing:
    """Return the medians of several measurements, after one that is not counted.

    Args:
        pid: of the backend.
        once: makes some calls; returns the microseconds of one, and how many they were.
        repeats: how often.
    """
    once()
    clocks, cpus = [], []
    for _ in tqdm(range(repeats), desc="measuring", leave=False, disable=None):
        cpu = Stopwatch(pid)
        microseconds, calls = once()
        clocks.append(microseconds)
        spent = cpu.milliseconds()
        cpus.append(None if spent is None else spent * 1000.0 / calls)
    known = [value for value in cpus if value is not None]
    return Timing(statistics.median(clocks), statistics.median(known) if known else None)


def round_trips(
    connection: psycopg.Connection[Any], query: Any, parameters: tuple[Any, ...], calls: int
) -> float:
    """Return the microseconds of one statement, sent and answered."""
    began = time.perf_counter()
    for _ in range(calls):
        connection.execute(query, parameters, prepare=True).fetchone()
    return (time.perf_counter() - began) / calls * 1e6


def fetch_one(connection: psycopg.Connection[Any], query: Any) -> Any:
    row: Any = connection.execute(query).fetchone()
    return row[0]
