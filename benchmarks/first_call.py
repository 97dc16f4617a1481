"""What a new connection pays for its first decision, and what a warm decision costs.

Run with the throw-away server up (make up):

    .dev/venv/bin/python benchmarks/first_call.py --url "$(make -s url)"

It makes a database of its own on that server and drops it. Medians are printed. Beside the time on
the clock stands the time that the backend spent on a processor, which a loaded machine changes
less; that and its memory can be read where the server runs on this host and as root or this user.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from figures import Figure, note
from psycopg import sql
from psycopg.types.numeric import Float4
from scratch_database import new_database
from timing import (
    DECISION_LOOPS,
    MICROSECONDS,
    Stopwatch,
    Timing,
    cpu_model,
    fetch_one,
    measure,
    round_trips,
)
from tqdm import tqdm

REQUEST = "Write a Python function that merges overlapping intervals"
LABELS = (
    *("code", "debugging", "translation", "summaries", "extraction", "classification", "analysis"),
    *("legal", "mathematics", "planning", "creative writing", "customer support", "web search"),
)
# Milliseconds and megabytes of a first call, with the default model and without it.
TARGETS = {"model": (500.0, 90.0), "embedding": (200.0, 40.0)}

ROUTE_TEXT = "SELECT agent_name FROM ruvector_route(%s)"
ROUTE_EMBEDDING = "SELECT agent_name FROM ruvector_route(%s, embedding := %b::real[])"
REGISTER = """
SELECT ruvector_register_agent(name := %s, agent_type := 'llm', capabilities := %s,
    cost_per_1k_tokens := %s, avg_latency_ms := %s, quality_score := %s)
"""


@dataclass(frozen=True, slots=True)
class FirstCall:
    """Of one new connection: what its first decision took, private megabytes before and after."""

    milliseconds: float
    cpu_milliseconds: float | None
    megabytes_before: float | None
    megabytes: float | None


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    with new_database(arguments.url) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            embedding = prepare(connection)
            print_machine(connection)
        print_first_calls(url, embedding, arguments.connections)
        with psycopg.connect(url, autocommit=True) as connection:
            print_warm_calls(connection, embedding, arguments.calls, arguments.repeats)
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--connections", type=int, default=11, help="of each kind (default: 11)")
    parser.add_argument("--calls", type=int, default=500, help="in one loop (default: 500)")
    parser.add_argument("--repeats", type=int, default=11, help="of each loop (default: 11)")
    return parser.parse_args()


def prepare(connection: psycopg.Connection[Any]) -> list[Float4]:
    """Set the extension up with ten agents; return the embedding of the request."""
    connection.execute("SET client_min_messages = warning")
    connection.execute("CREATE EXTENSION tiny_dancer CASCADE")
    connection.execute("SELECT tiny_dancer.setup()")
    connection.execute("CREATE TABLE request (content text, embedding real[])")
    connection.execute(MICROSECONDS + DECISION_LOOPS)
    register(connection, range(10))
    connection.execute("INSERT INTO request SELECT %s, ruvector_embed(%s)::real[]", [REQUEST] * 2)
    row: Any = connection.execute("SELECT embedding FROM request").fetchone()
    return [Float4(value) for value in row[0]]


def register(connection: psycopg.Connection[Any], ordinals: Sequence[int]) -> None:
    """Register agents that differ in all that a decision looks at."""
    for i in tqdm(ordinals, desc="registering agents", leave=False, disable=None):
        capabilities = [LABELS[(i + step) % len(LABELS)] for step in range(1 + i % 5)]
        numbers = (0.0001 * (1 + i % 37), 100.0 + 40.0 * (i % 53), 0.5 + 0.004 * (i % 100))
        connection.execute(REGISTER, (f"agent-{i:03}", capabilities, *numbers))


def print_machine(connection: psycopg.Connection[Any]) -> None:
    """Print what the numbers were measured on."""
    findings = dict(
        connection.execute("SELECT subject, finding FROM tiny_dancer.doctor()").fetchall()
    )
    cores = len(os.sched_getaffinity(0))
    print(f"machine: {cpu_model()}, {cores} cores, load average {os.getloadavg()[0]:.1f}")
    print(f"system:  {platform.freedesktop_os_release()['PRETTY_NAME']}, {findings['server']}")
    packages = ("numpy", "onnxruntime", "tokenizers", "pgvector")
    versions = ", ".join(f"{package} {findings[package].split(',')[0]}" for package in packages)
    print(f"library: {findings['library'].split(' in ')[0]}, {findings['python']}, {versions}")
    print(f"model:   {findings['embedding model']}")


def print_first_calls(url: str, embedding: list[Any], connections: int) -> None:
    """Print what the first decision of a new connection costs."""
    kinds = {
        "model": ("text, default model", ROUTE_TEXT, (REQUEST,)),
        "embedding": ("given embedding", ROUTE_EMBEDDING, (REQUEST, embedding)),
    }
    print(f"\nfirst decision of a new connection, median of {connections}")
    print(
        f"{'':21}{'ms':>8}{'worst':>8}{'on CPU':>8}{'target':>8}"
        f"{'private MB':>13}{'target':>8}{'before':>8}"
    )
    for kind, (label, query, parameters) in kinds.items():
        # One connection more, not counted, brings the files into the page cache; it stays, as in a
        # pool, so that what backends share of the files of libraries is nobody's own.
        with psycopg.connect(url, autocommit=True) as another:
            another.execute(query, parameters).fetchone()
            calls = [
                first_call(url, query, parameters)
                for _ in tqdm(range(connections), desc=label, leave=False, disable=None)
            ]
        milliseconds_target, megabytes_target = TARGETS[kind]
        middle = statistics.median(call.milliseconds for call in calls)
        memory = f"private memory {median_of([c.megabytes for c in calls])} MB"
        note(
            Figure(
                f"first decision of a connection, {label}",
                middle,
                "ms",
                milliseconds_target,
                beside=f"{memory} (at most {megabytes_target:.0f})",
            )
        )
        print(
            f"{label:21}{median_of([c.milliseconds for c in calls], 0):>8}"
            f"{max(c.milliseconds for c in calls):>8.0f}"
            f"{median_of([c.cpu_milliseconds for c in calls], 0):>8}{milliseconds_target:>8.0f}"
            f"{median_of([c.megabytes for c in calls]):>13}{megabytes_target:>8.0f}"
            f"{median_of([c.megabytes_before for c in calls]):>8}"
        )


def first_call(url: str, query: str, parameters: tuple[Any, ...]) -> FirstCall:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT 1")
        pid = connection.info.backend_pid
        before = private_megabytes(pid)
        cpu = Stopwatch(pid)
        began = time.perf_counter()
        connection.execute(query, parameters).fetchone()
        milliseconds = (time.perf_counter() - began) * 1000.0
        return FirstCall(milliseconds, cpu.milliseconds(), before, private_megabytes(pid))


def private_megabytes(pid: int) -> float | None:
    """Return the memory that a process shares with nobody, None where that can not be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return (int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"])) / 1024.0


def median_of(values: Sequence[float | None], decimals: int = 1) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.{decimals}f}" if known else "unknown"


def print_warm_calls(
    connection: psycopg.Connection[Any], embedding: list[Any], calls: int, repeats: int
) -> None:
    """Print what a decision with a given embedding costs once everything is loaded."""

    def loop(function: str) -> Callable[[], tuple[float, int]]:
        query = sql.SQL("SELECT {}({})").format(sql.Identifier(function), sql.Literal(calls))
        return lambda: (float(fetch_one(connection, query)), calls)

    def trips(query: Any, parameters: tuple[Any, ...] = ()) -> Callable[[], tuple[float, int]]:
        return lambda: (round_trips(connection, query, parameters, calls), calls)

    pid = connection.info.backend_pid
    print(f"\nwarm decision, given embedding: microseconds, median of {repeats} x {calls} calls")
    print(
        f"{'':21}{'server side':>13}{'on CPU':>9}{'x SELECT 1':>12}"
        f"{'round trip':>12}{'x SELECT 1':>12}"
    )
    bare = (measure(pid, loop("loop_select"), repeats), measure(pid, trips("SELECT 1"), repeats))
    print_warm("SELECT 1", bare, bare)
    for first, last in ((0, 10), (10, 100)):
        register(connection, range(first, last))
        route = (
            measure(pid, loop("loop_route"), repeats),
            measure(pid, trips(ROUTE_EMBEDDING, (REQUEST, embedding)), repeats),
        )
        print_warm(f"route, {last} agents", route, bare)
    print("Server side is a statement in a PL/pgSQL loop; a round trip sends 384 floats.")


def print_warm(label: str, measured: tuple[Timing, Timing], bare: tuple[Timing, Timing]) -> None:
    server, trip = measured
    print(
        f"{label:21}{server.clock:>13.1f}{server.shown_cpu:>9}{server.clock / bare[0].clock:>12.0f}"
        f"{trip.clock:>12.1f}{trip.clock / bare[1].clock:>12.1f}"
    )


if __name__ == "__main__":
    main()
