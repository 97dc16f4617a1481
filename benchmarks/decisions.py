"""What a whole decision costs in the server, from 10 to 10,000 agents, with and without learning.

Run with the throw-away server up (make up):

    .dev/venv/bin/python benchmarks/decisions.py --url "$(make -s url)"

It makes databases of its own on that server and drops them. Requests come with their vector of 768
dimensions. A decision stands beside a bare SELECT 1 and beside a query that somebody would write by
hand over the same agents: filters, distance, the same weighted score. "Changed" is the first
decision after one agent changed, beside that of a new copy of all. With --chart FILE.png it draws
the growth.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psycopg
from figures import Figure, note
from growth_chart import Series, draw_growth
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.numeric import Float4
from scratch_database import new_database
from timing import DECISION_LOOPS, MICROSECONDS, Timing, cpu_model, fetch_one, measure, round_trips
from tqdm import tqdm
from vector_text import text_of

DIMENSION = 768
REQUEST = "Write a Python function that merges overlapping intervals"
TARGETS = {10: 90.0, 100: 120.0, 1_000: 300.0, 10_000: 2_500.0}
CHANGED_TARGET = 50.0
OUTCOMES, TRAINED_AGENTS = 10_000, 100
# What a router model may add to a decision of a hundred agents.
ADDED_TARGET = 60.0
ADDED = {
    "mean": "mean, the default",
    "logistic": "logistic, linear heads alone",
    "fastgrnn": "fastgrnn, five trainings joined, alone",
}
BATCH, BATCH_AGENTS = 10_000, 100
BATCH_TARGET = 50_000.0

# Statements as PL/pgSQL runs them, through plans that it keeps. The vectors stay in their row, so
# that each call is given one as a client's parameter gives it, and does not fetch it from TOAST.
LOOPS = """
CREATE TABLE request (content text, embedding real[], vector vector);
ALTER TABLE request ALTER embedding SET STORAGE PLAIN, ALTER vector SET STORAGE PLAIN;
CREATE FUNCTION loop_by_hand(calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    given request;
    began timestamptz;
    chosen text;
BEGIN
    SELECT * INTO given FROM request;
    began := clock_timestamp();
    FOR i IN 1..calls LOOP
        SELECT name INTO chosen
        FROM (SELECT name, quality, 1 - (embedding <=> given.vector) / 2 AS match,
                     ln(cost) AS cost, max(ln(cost)) OVER all_of AS most_cost,
                     min(ln(cost)) OVER all_of AS least_cost,
                     ln(latency) AS latency, max(ln(latency)) OVER all_of AS most_latency,
                     min(ln(latency)) OVER all_of AS least_latency
              FROM by_hand WHERE active WINDOW all_of AS ()) AS s
        ORDER BY match * (0.4 * quality
                          + 0.3 * (most_cost - cost) / nullif(most_cost - least_cost, 0)
                          + 0.3 * (most_latency - latency)
                                / nullif(most_latency - least_latency, 0)) DESC
        LIMIT 1;
    END LOOP;
    RETURN microseconds(began, calls);
END $$;
"""
AGENTS = """
INSERT INTO tiny_dancer.agents
    (name, agent_type, capabilities, cost_per_1k_tokens, avg_latency_ms, quality_score)
SELECT 'agent-' || i, 'llm', ARRAY['capability ' || i %% 13],
       0.0001 * (1 + i %% 37), 100 + 40 * (i %% 53), 0.5 + 0.004 * (i %% 100)
FROM generate_series(1, %s) AS i
"""
VECTORS = """
INSERT INTO tiny_dancer.agent_embeddings (agent_id, model_id, embedding, given)
SELECT a.id, m.id, v.embedding, true
FROM vectors v JOIN tiny_dancer.agents a ON a.name = 'agent-' || v.i, tiny_dancer.models m
"""
BY_HAND = """
CREATE TABLE by_hand AS
SELECT a.name, a.active, a.quality_score AS quality, a.avg_latency_ms AS latency,
       a.cost_per_1k_tokens * 0.27 AS cost, v.embedding
FROM tiny_dancer.agents a JOIN vectors v ON a.name = 'agent-' || v.i
"""


class Decisions(NamedTuple):
    """What was measured over one number of agents.

    Attributes:
        route, by_hand, bare: microseconds in the server; ``by_hand`` is the query by hand.
        trip, list_trip, bare_trip: microseconds of a round trip from this client, which sends the
            embedding as pgvector's type or as a list of numbers, and of SELECT 1.
        changed_ms, reload_ms: milliseconds of the first decision after one agent changed, and of
            one that reads all agents anew.
    """

    agents: int
    route: Timing
    by_hand: Timing
    bare: Timing
    trip: Timing
    list_trip: Timing
    bare_trip: Timing
    changed_ms: float
    reload_ms: float


def main() -> None:
    """Measure and print."""
    options = parse_arguments()
    print(f"machine: {cpu_model()}, load average {os.getloadavg()[0]:.1f}")
    print(f"microseconds of a decision, {DIMENSION} dimensions, given embedding; median of")
    print(f"{options.repeats} x {options.calls} calls; priors only, then a router trained on")
    print(f"{OUTCOMES:,} outcomes of up to {TRAINED_AGENTS} agents")
    measured = {learned: all_sizes(options, learned) for learned in (False, True)}
    print_added(options)
    print_batch(options)
    if options.chart:
        draw(measured, options.chart)
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--agents", type=int, nargs="+", default=list(TARGETS))
    parser.add_argument("--calls", type=int, default=200, help="in one loop (default: 200)")
    parser.add_argument("--repeats", type=int, default=11, help="of each loop (default: 11)")
    parser.add_argument("--chart", type=Path, help="draw the growth into this PNG")
    return parser.parse_args()


def all_sizes(options: argparse.Namespace, learned: bool) -> list[Decisions]:
    print("\nwith a trained router" if learned else "\npriors only")
    print(
        f"{'agents':>8}{'decision':>10}{'on CPU':>9}{'target':>8}{'by hand':>9}{'SELECT 1':>10}"
        f"{'round trip':>12}{'of a list':>11}{'SELECT 1':>10}{'changed ms':>12}{'reload ms':>11}"
    )
    measured = []
    for agents in options.agents:
        with new_database(options.url) as url, psycopg.connect(url, autocommit=True) as connection:
            prepare(connection, agents)
            if learned:
                train(connection, min(agents, TRAINED_AGENTS))
            found = decisions(connection, agents, options)
        measured.append(found)
        note_decisions(found, learned)
        print(
            f"{agents:>8}{found.route.clock:>10.1f}{found.route.shown_cpu:>9}"
            f"{TARGETS.get(agents, 0.0) or '':>8}{found.by_hand.clock:>9.1f}"
            f"{found.bare.clock:>10.1f}{found.trip.clock:>12.1f}{found.list_trip.clock:>11.1f}"
            f"{found.bare_trip.clock:>10.1f}{found.changed_ms:>12.1f}{found.reload_ms:>11.1f}"
        )
    return measured


def note_decisions(found: Decisions, learned: bool) -> None:
    """Hand the figures of one number of agents to ``make bench``."""
    agents, how = f"{found.agents:,} agents", "trained router" if learned else "priors only"
    trip = (
        f"round trip {found.trip.clock:.0f} us (of a list {found.list_trip.clock:.0f}), "
        f"of SELECT 1 {found.bare_trip.clock:.0f}"
    )
    note(
        Figure(
            f"decision, 768, {agents}, given embedding, {how}",
            found.route.clock,
            "us",
            TARGETS.get(found.agents),
            beside=f"by hand {found.by_hand.clock:.0f} us, SELECT 1 {found.bare.clock:.1f}; {trip}",
        )
    )
    if found.agents == 10_000:
        beside = f"a full reload {found.reload_ms:.0f} ms"
        operation = f"first decision after one of {agents} changed, {how}"
        note(Figure(operation, found.changed_ms, "ms", CHANGED_TARGET, beside=beside))


def print_added(options: argparse.Namespace) -> None:
    """Print what a router model adds to a decision of as many agents as it has heads.

    Decisions with and without it take turns, for the machine may change while it is measured.
    """
    loop = sql.SQL("SELECT loop_route({})").format(sql.Literal(options.calls))
    with ExitStack() as stack:
        sessions = []
        for predictor in (None, *ADDED):
            url = stack.enter_context(new_database(options.url))
            session = stack.enter_context(psycopg.connect(url, autocommit=True))
            prepare(session, TRAINED_AGENTS)
            if predictor is not None:
                train(session, TRAINED_AGENTS, predictor)
            fetch_one(session, loop)
            sessions.append(session)
        times = np.array(
            [
                [float(fetch_one(session, loop)) for session in sessions]
                for _ in tqdm(range(3 * options.repeats), desc="turns", leave=False, disable=None)
            ]
        )
    bare = float(np.median(times[:, 0]))
    print(f"\na router model of {TRAINED_AGENTS} agents adds (target {ADDED_TARGET:.0f})")
    for column, (predictor, what) in enumerate(ADDED.items(), 1):
        added = float(np.median(times[:, column] - times[:, 0]))
        beside = f"in turns: {np.median(times[:, column]):.0f} us and {bare:.0f} us without it"
        print(f"{what:<44}{added:>8.1f}   {beside}")
        operation = (
            f"what a router model of {TRAINED_AGENTS} agents adds to a decision: {predictor}"
        )
        note(Figure(operation, added, "us", ADDED_TARGET, beside=beside))


def prepare(connection: psycopg.Connection[Any], agents: int) -> None:
    """Set the extension up with agents, and the same agents in a bare table."""
    connection.execute("SET client_min_messages = warning")
    connection.execute("CREATE EXTENSION tiny_dancer CASCADE")
    connection.execute("SELECT tiny_dancer.use_model('given', 'external', %s)", [DIMENSION])
    connection.execute("SELECT tiny_dancer.set('snapshot_megabytes', '128')")
    connection.execute(MICROSECONDS + LOOPS + DECISION_LOOPS)
    connection.execute(AGENTS, [agents])
    connection.execute("CREATE TABLE vectors (i integer, embedding vector)")
    vectors = units(agents + 1)
    with connection.cursor().copy("COPY vectors FROM STDIN") as copy:
        for i in tqdm(range(agents), desc="copying vectors", leave=False, disable=None):
            copy.write_row((i + 1, text_of(vectors[i])))
    connection.execute(VECTORS)
    connection.execute(BY_HAND)
    request = text_of(vectors[agents])
    connection.execute(
        "INSERT INTO request SELECT %s, %s::vector::real[], %s::vector", [REQUEST, request, request]
    )
    connection.execute("VACUUM ANALYZE")


def units(count: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(0).normal(size=(count, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def train(connection: psycopg.Connection[Any], agents: int, predictor: str = "mean") -> None:
    """Train a router on made-up requests, each judged for every one of some agents."""
    requests = OUTCOMES // agents
    connection.execute("CREATE TABLE judged (content text, agent text, quality float8, v real[])")
    rng = np.random.default_rng(1)
    vectors, heads = units(requests), units(agents + 1)[1:]
    quality = 1.0 / (1.0 + np.exp(-30.0 * vectors @ heads.T))
    with connection.cursor().copy("COPY judged FROM STDIN") as copy:
        for i in tqdm(range(requests), desc="copying outcomes", leave=False, disable=None):
            given = "{" + text_of(vectors[i])[1:-1] + "}"
            for agent in range(agents):
                judged = float(rng.random() < quality[i, agent])
                copy.write_row((f"request {i}", f"agent-{agent + 1}", judged, given))
    connection.execute(
        "SELECT ruvector_train_router('SELECT content, agent, quality, v FROM judged',"
        " activate := true, predictor := %s)",
        [predictor],
    ).fetchall()


def decisions(
    connection: psycopg.Connection[Any], agents: int, options: argparse.Namespace
) -> Decisions:
    pid = connection.info.backend_pid
    calls = options.calls if agents < 10_000 else max(10, options.calls // 10)
    row: Any = connection.execute("SELECT embedding FROM request").fetchone()
    vector, numbers = np.array(row[0], np.float32), [Float4(value) for value in row[0]]
    register_vector(connection)

    def loop(function: str) -> Callable[[], tuple[float, int]]:
        query = sql.SQL("SELECT {}({})").format(sql.Identifier(function), calls)
        return lambda: (float(fetch_one(connection, query)), calls)

    def trips(query: Any, parameters: tuple[Any, ...] = ()) -> Callable[[], tuple[float, int]]:
        return lambda: (round_trips(connection, query, parameters, calls), calls)

    fetch_one(connection, "SELECT loop_route(2)")
    route = "SELECT agent_name FROM ruvector_route(%s, embedding := {})"
    return Decisions(
        agents,
        measure(pid, loop("loop_route"), options.repeats),
        measure(pid, loop("loop_by_hand"), options.repeats),
        measure(pid, loop("loop_select"), options.repeats),
        measure(pid, trips(route.format("%b"), (REQUEST, vector)), options.repeats),
        measure(pid, trips(route.format("%b::real[]"), (REQUEST, numbers)), options.repeats),
        measure(pid, trips("SELECT 1"), options.repeats),
        after(connection, "SELECT ruvector_set_agent_active('agent-1', true)"),
        # A change of the settings makes a backend read everything anew.
        after(connection, "SELECT tiny_dancer.set('alternatives', '3')"),
    )


def after(connection: psycopg.Connection[Any], change: str) -> float:
    """Return the milliseconds of the first decision after a change, median of five."""
    times = []
    for _ in range(5):
        connection.execute(change)
        times.append(float(fetch_one(connection, "SELECT loop_route(1)")) / 1000.0)
    return statistics.median(times)


def print_batch(options: argparse.Namespace) -> None:
    """Print the requests that a batch routes in a second, beside the same as single calls."""
    print(f"\nbatch of {BATCH:,} requests with embeddings, {BATCH_AGENTS} agents: requests/s")
    print(f"{'':<22}{'batch':>10}{'on CPU':>10}{'target':>10}{'single calls in a loop':>25}")
    with new_database(options.url) as url, psycopg.connect(url, autocommit=True) as connection:
        prepare(connection, BATCH_AGENTS)
        connection.execute(
            "CREATE TABLE batch AS SELECT array_agg('request ' || i ORDER BY i) AS requests,"
            " (SELECT array_agg(v.embedding) FROM (SELECT embedding FROM vectors,"
            "  generate_series(1, %s)) AS v) AS embeddings FROM generate_series(1, %s) AS i",
            [BATCH // BATCH_AGENTS, BATCH],
        )
        for label in ("priors only", "with a trained router"):
            if label != "priors only":
                train(connection, min(BATCH_AGENTS, 10))
            batch = measure(connection.info.backend_pid, lambda: one_batch(connection), 9)
            single = 1e6 / float(fetch_one(connection, "SELECT loop_route(500)"))
            note_batch(label, batch, single)


def note_batch(label: str, batch: Timing, single: float) -> None:
    """Print and hand over how many requests a second are routed, in a batch and singly."""
    rate = 1e6 / batch.clock
    on_cpu = "unknown" if batch.cpu is None else f"{1e6 / batch.cpu:,.0f}"
    print(f"{label:<22}{rate:>10,.0f}{on_cpu:>10}{BATCH_TARGET:>10,.0f}{single:>25,.0f}")
    note(
        Figure(
            f"batch of {BATCH:,} requests with embeddings, {BATCH_AGENTS} agents, {label}",
            rate,
            "requests/s",
            BATCH_TARGET,
            at_least=True,
            beside=f"of processor time {on_cpu}/s; single calls {single:,.0f}/s",
        )
    )


def one_batch(connection: psycopg.Connection[Any]) -> tuple[float, int]:
    """Return the microseconds of one request of a batch, and how many there are."""
    began = time.perf_counter()
    fetch_one(
        connection,
        "SELECT count(agent_name) FROM batch, LATERAL"
        " ruvector_batch_route(requests, embeddings := batch.embeddings)",
    )
    return (time.perf_counter() - began) / BATCH * 1e6, BATCH


def draw(measured: dict[bool, list[Decisions]], path: Path) -> None:
    """Draw how the time of a decision grows with the agents."""
    untrained, trained = measured[False], measured[True]
    sizes = [row.agents for row in untrained]
    wanted = [TARGETS.get(size, float("nan")) for size in sizes]
    lines = [
        Series("priors only", sizes, [row.route.clock for row in untrained]),
        Series("trained", sizes, [row.route.clock for row in trained], colour="#c8553d"),
        Series("SQL by hand", sizes, [row.by_hand.clock for row in untrained], "s--", "#666"),
        Series("target", sizes, wanted, "_", "black"),
    ]
    draw_growth(path, lines, across="agents", up="microseconds of a decision")


if __name__ == "__main__":
    main()
