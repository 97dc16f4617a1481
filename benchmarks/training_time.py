"""What training takes in the database, when a cancel takes effect, and what a decision pays.

Run with the throw-away server up (make up):

    .dev/venv/bin/python benchmarks/training_time.py --url "$(make -s url)"

It makes databases of its own on that server and drops them. Requests are made up: two kinds, each
suiting half of the agents, their vectors given. ruvector_train_router learns from 10,000 requests
that nine agents answered. Then it is started again and cancelled at some shares of the time that it
took. Last, a warm ruvector_route among 100 agents is timed without a router model, and with the
default one active. Times are on the clock; those of the processor stand beside them, for the
machine may be busy.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
from prediction_time import TEXT, made_up
from scratch_database import new_database
from timing import DECISION_LOOPS, MICROSECONDS, Stopwatch, Timing, cpu_model, fetch_one, measure

from tiny_dancer.evaluation.results_table import results_table

AGENTS, REQUESTS = 9, 10_000
DECIDING_AGENTS, DECIDED_REQUESTS = 100, 300
TRAINED_AT_MOST_S, CANCELLED_AT_MOST_S, ADDED_AT_MOST_US = 120.0, 1.0, 60.0
PREPARE = (
    "SET client_min_messages = warning",
    "CREATE EXTENSION tiny_dancer CASCADE",
    "SELECT tiny_dancer.use_model('all-MiniLM-L6-v2')",
    "CREATE TABLE asked (id integer PRIMARY KEY, request text, embedding vector(384))",
    "CREATE TABLE answered (id integer, agent_name text, quality float8)",
    MICROSECONDS,
    "CREATE TABLE request (content text, embedding real[])",
    DECISION_LOOPS,
)
REGISTER = """
SELECT count(ruvector_register_agent('agent ' || n, 'llm', ARRAY[]::text[], cost_per_call := 0.001))
FROM generate_series(0, %s) AS n
"""
ONE_REQUEST = """
INSERT INTO request SELECT request, embedding::real[] FROM asked WHERE id = 0
"""
TRAIN = """
SELECT id FROM ruvector_train_router(
    'SELECT request, agent_name, quality, embedding FROM asked JOIN answered USING (id)')
"""
ACTIVE = "SELECT coalesce(max(id) FILTER (WHERE active), 0) FROM ruvector_router_models()"


def main() -> None:
    """Measure and print."""
    options = arguments()
    print(f"machine: {cpu_model()}, load average {os.getloadavg()[0]:.1f}\n")
    rows = training(options.url, options.requests, options.cancel_at)
    rows += decisions(options.url, options.calls)
    print(results_table(["", "clock", "processor", "at most"], rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"default: {REQUESTS}")
    parser.add_argument(
        "--cancel-at",
        type=float,
        nargs="*",
        default=[0.02, 0.2, 0.4, 0.6, 0.8],
        help="shares of the time of a training after which one is cancelled",
    )
    parser.add_argument("--calls", type=int, default=1000, help="decisions in a measurement")
    return parser.parse_args()


def prepare(connection: psycopg.Connection[Any], agents: int, requests: int) -> None:
    """Register agents, and fill the tables with requests that all of them answered."""
    for statement in PREPARE:
        connection.execute(statement)
    connection.execute(REGISTER, [agents - 1])
    vectors, _, quality = made_up(requests, 384, agents)
    with connection.cursor().copy("COPY asked FROM STDIN") as copy:
        for place, vector in enumerate(vectors):
            written = "[" + ",".join(map(str, vector.tolist())) + "]"
            copy.write_row((place, f"{TEXT[: 40 + place % 100]} {place}", written))
    with connection.cursor().copy("COPY answered FROM STDIN") as copy:
        for place, agent in np.ndindex(quality.shape):
            copy.write_row((place, f"agent {agent}", quality[place, agent]))
    connection.execute("ANALYZE asked, answered")
    connection.execute(ONE_REQUEST)


def training(url: str, requests: int, shares: Sequence[float]) -> list[list[str]]:
    """Return the rows on training and on cancelling it."""
    with (
        new_database(url) as address,
        psycopg.connect(address, autocommit=True) as connection,
    ):
        prepare(connection, AGENTS, requests)
        processor = Stopwatch(connection.info.backend_pid)
        began = time.monotonic()
        first = fetch_one(connection, TRAIN)
        seconds = time.monotonic() - began
        spent = processor.milliseconds()
        waits = [cancelled_after(connection, share * seconds) for share in shares]
        active = fetch_one(connection, ACTIVE)
        if active != first:
            raise SystemExit(f"model {active} is active after cancelled trainings, not {first}")
    shown = "unknown" if spent is None else f"{spent / 1000.0:.1f} s"
    trained = [
        f"training on {requests} requests × {AGENTS} agents",
        f"{seconds:.1f} s",
        shown,
        f"{TRAINED_AT_MOST_S:g} s",
    ]
    waited = ", ".join(f"{wait:.2f}" for wait in waits)
    at = ", ".join(f"{100 * share:g} %" for share in shares)
    return [
        trained,
        [f"until a cancel took effect at {at}", f"{waited} s", "", f"{CANCELLED_AT_MOST_S:g} s"],
    ]


def cancelled_after(connection: psycopg.Connection[Any], seconds: float) -> float:
    """Start a training, cancel it after some time, and return how long it went on."""
    sent: list[float] = []

    def cancel() -> None:
        sent.append(time.monotonic())
        connection.cancel_safe()

    timer = threading.Timer(seconds, cancel)
    timer.start()
    try:
        connection.execute(TRAIN)
    except psycopg.errors.QueryCanceled:
        return time.monotonic() - sent[0]
    finally:
        timer.cancel()
        timer.join()
    raise SystemExit(f"a training ended within {seconds:.1f} s, before it was cancelled")


def decisions(url: str, calls: int) -> list[list[str]]:
    """Return the rows on warm decisions without and with a model."""
    with (
        new_database(url) as address,
        psycopg.connect(address, autocommit=True) as connection,
    ):
        prepare(connection, DECIDING_AGENTS, DECIDED_REQUESTS)
        connection.execute("SELECT tiny_dancer.warmup()")
        without = decision(connection, calls)
        connection.execute(TRAIN)
        learned = decision(connection, calls)
    added = Timing(
        learned.clock - without.clock,
        None if learned.cpu is None or without.cpu is None else learned.cpu - without.cpu,
    )
    name = f"a decision among {DECIDING_AGENTS} agents"
    return [
        row(f"{name}, without a router model", without, ""),
        row(f"{name}, with the default one", learned, ""),
        row("what the model adds", added, f"{ADDED_AT_MOST_US:g} µs"),
    ]


def decision(connection: psycopg.Connection[Any], calls: int) -> Timing:
    """Time a warm decision."""
    query = f"SELECT loop_route({calls})"
    pid = connection.info.backend_pid
    return measure(pid, lambda: (fetch_one(connection, query), calls), repeats=9)


def row(name: str, timing: Timing, at_most: str) -> list[str]:
    cpu = timing.shown_cpu if timing.cpu is None else f"{timing.shown_cpu} µs"
    return [name, f"{timing.clock:.1f} µs", cpu, at_most]


if __name__ == "__main__":
    main()
