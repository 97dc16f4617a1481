"""What matching a request to semantic routes costs, beside the same by hand with pgvector.

Run with the throw-away server up (make up):

    .dev/venv/bin/python benchmarks/semantic_routes.py --url "$(make -s url)"

It makes a database of its own on that server and drops it. The routes have a vector each, as
embeddings of texts lie (clustered_vectors.py); the request comes with its vector. Medians are
printed: on the clock, and of the backend's processor, which a loaded machine changes less.
`--routes 100 1000 100000` sets the sizes; beyond snapshot_megabytes pgvector serves, and recall of
the three nearest is printed. With `--peer PYTHON`, an interpreter with semantic-router, its local
index stands beside ours.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psycopg
from clustered_vectors import clustered
from figures import Figure, note
from growth_chart import Series, draw_growth
from numpy.typing import NDArray
from psycopg import sql
from scratch_database import new_database
from timing import MICROSECONDS, Timing, cpu_model, fetch_one, measure
from tqdm import tqdm
from vector_text import text_of

TARGETS = {1_000: 80.0, 100_000: 2_000.0, 1_000_000: 3_000.0}
CHANGED_TARGET = 50.0
RECALL_REQUESTS = 50
# The peer scans all vectors as lists of Python numbers when it is built.
MOST_FOR_PEER = 20_000
# Some lie where a graph leads to them soon, others do not.
REQUESTS = 5
# Statements as PL/pgSQL runs them, through plans that it keeps: so many calls for each request.
LOOPS = """
CREATE TABLE request (embedding real[], vector vector);
CREATE FUNCTION loop_match(calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    given real[];
    began timestamptz := clock_timestamp();
BEGIN
    FOR given IN SELECT embedding FROM request LOOP
        FOR i IN 1..calls LOOP
            PERFORM r.route_name FROM ruvector_semantic_route('x', 3, embedding := given) r;
        END LOOP;
    END LOOP;
    RETURN microseconds(began, calls * (SELECT count(*) FROM request)::integer);
END $$;
CREATE FUNCTION one_match() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    given real[] := (SELECT embedding FROM request LIMIT 1);
    began timestamptz := clock_timestamp();
BEGIN
    PERFORM r.route_name FROM ruvector_semantic_route('x', 3, embedding := given) r;
    RETURN microseconds(began, 1);
END $$;
CREATE FUNCTION loop_pgvector(calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    given vector;
    began timestamptz := clock_timestamp();
BEGIN
    FOR given IN SELECT vector FROM request LOOP
        FOR i IN 1..calls LOOP
            PERFORM h.name FROM by_hand h ORDER BY h.embedding <=> given LIMIT 3;
        END LOOP;
    END LOOP;
    RETURN microseconds(began, calls * (SELECT count(*) FROM request)::integer);
END $$;
"""


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    print(f"machine: {cpu_model()}, load average {os.getloadavg()[0]:.1f}")
    print(f"microseconds of one match, {arguments.dimension} dimensions, given embedding, 3 rows;")
    calls = f"{arguments.calls} calls for each of {REQUESTS} requests"
    print(f"median of {arguments.repeats} x {calls}, server side")
    print(
        f"{'routes':>8} {'served by':28}{'clock':>9}{'on CPU':>9}{'target':>8}"
        f"{'by hand':>9}{'on CPU':>9}{'peer':>9}{'first':>10}{'recall':>8}"
    )
    measured = []
    for routes in arguments.routes:
        with (
            new_database(arguments.url) as url,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            prepare(connection, routes, arguments.dimension)
            measured.append(print_row(connection, routes, arguments))
    if arguments.chart:
        draw(measured, arguments.chart)
    print(
        "By hand: ORDER BY <=> LIMIT 3 over an HNSW index. First: milliseconds of the first match"
    )
    print(f"after a route changed. Load average at the end {os.getloadavg()[0]:.1f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--routes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--calls", type=int, default=40, help="for each request (default: 40)")
    parser.add_argument("--peer", help="Python with semantic-router, for its local index")
    parser.add_argument("--repeats", type=int, default=11, help="of each loop (default: 11)")
    parser.add_argument("--chart", type=Path, help="draw the growth into this PNG")
    return parser.parse_args()


def prepare(connection: psycopg.Connection[Any], routes: int, dimension: int) -> None:
    """Set the extension up with routes, their indexes, and the same vectors in a bare table."""
    connection.execute("SET client_min_messages = warning")
    connection.execute("CREATE EXTENSION tiny_dancer CASCADE")
    connection.execute("SELECT tiny_dancer.use_model('given', 'external', %s)", [dimension])
    connection.execute(MICROSECONDS + LOOPS)
    connection.execute(
        "INSERT INTO tiny_dancer.routes (name, description, target_agent)"
        " SELECT 'route-' || i, 'd', 'agent-' || mod(i, 10) FROM generate_series(1, %s) i",
        [routes],
    )
    connection.execute("CREATE TABLE by_hand (name text, embedding vector)")
    vectors = clustered(routes + REQUESTS, dimension)
    with connection.cursor().copy("COPY by_hand FROM STDIN") as copy:
        for i in tqdm(range(routes), desc="copying vectors", leave=False, disable=None):
            copy.write_row((f"route-{i + 1}", text_of(vectors[i])))
    connection.execute(
        "INSERT INTO tiny_dancer.route_utterances (route_id, model_id, embedding, given)"
        " SELECT r.id, m.id, h.embedding, true FROM by_hand h"
        " JOIN tiny_dancer.routes r USING (name), tiny_dancer.models m"
    )
    connection.execute(
        sql.SQL("ALTER TABLE by_hand ALTER embedding TYPE vector({})").format(dimension)
    )
    # An HNSW graph that does not fit into memory while it is built takes many times as long; with
    # parallel workers that memory is shared, of which containers often have little.
    connection.execute("SET max_parallel_maintenance_workers = 0")
    connection.execute(
        f"SET maintenance_work_mem = '{64 + 8 * routes * dimension // 1_000_000} MB'"
    )
    connection.execute("CREATE INDEX ON by_hand USING hnsw (embedding vector_cosine_ops)")
    connection.execute("SELECT tiny_dancer.rebuild_indexes()").fetchall()
    connection.execute("VACUUM ANALYZE")
    for vector in vectors[routes:]:
        connection.execute(
            "INSERT INTO request SELECT %s::vector::real[], %s::vector", [text_of(vector)] * 2
        )


class Match(NamedTuple):
    """Microseconds of a match among some routes, and of the same by hand."""

    routes: int
    ours: float
    by_hand: float


def print_row(
    connection: psycopg.Connection[Any], routes: int, arguments: argparse.Namespace
) -> Match:
    """Measure and print one number of routes."""

    def loop(function: str) -> Callable[[], tuple[float, int]]:
        query = sql.SQL("SELECT {}({})").format(sql.Identifier(function), arguments.calls)
        return lambda: (float(fetch_one(connection, query)), arguments.calls * REQUESTS)

    pid = connection.info.backend_pid
    first = milliseconds_after_a_change(connection)
    match = measure(pid, loop("loop_match"), arguments.repeats)
    by_hand = measure(pid, loop("loop_pgvector"), arguments.repeats)
    target = TARGETS.get(routes)
    wanted = "" if target is None else f"{target:.0f}"
    peer = peer_microseconds(arguments.peer, clustered(routes + 1, arguments.dimension))
    found = recall(connection, arguments.dimension)
    print(
        f"{routes:>8} {served_by(connection):28}{shown(match)}{wanted:>8}{shown(by_hand)}"
        f"{peer:>9}{first:>10.1f}{found:>8.3f}",
        flush=True,
    )
    beside = f"by hand {times_of(by_hand.clock, match)}, peer "
    beside += times_of(float(peer), match) if peer else "not run"
    beside += f"; recall {found:.3f}"
    operation = f"semantic match, {routes:,} routes, {arguments.dimension}, given embedding"
    note(Figure(operation, match.clock, "us", target, beside=beside))
    if routes == 10_000:
        operation = f"first match after one of {routes:,} routes changed"
        note(Figure(operation, first, "ms", CHANGED_TARGET))
    return Match(routes, match.clock, by_hand.clock)


def draw(measured: list[Match], path: Path) -> None:
    """Draw how the time of a match grows with the routes."""
    sizes = [match.routes for match in measured]
    wanted = [TARGETS.get(size, math.nan) for size in sizes]
    lines = [
        Series("ruvector_semantic_route", sizes, [match.ours for match in measured]),
        Series("SQL by hand", sizes, [match.by_hand for match in measured], "s--", "#666"),
        Series("target", sizes, wanted, "_", "black"),
    ]
    draw_growth(path, lines, across="semantic routes", up="microseconds of a match")


def peer_microseconds(python: str | None, vectors: NDArray[np.float32]) -> str:
    """Return what the peer's index takes over the same vectors, in a process of its own."""
    if python is None or len(vectors) > MOST_FOR_PEER:
        return ""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, vectors)
        file.flush()
        script = Path(__file__).with_name("semantic_router_peer.py")
        command = [python, str(script), file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def recall(connection: psycopg.Connection[Any], dimension: int) -> float:
    """Return the share of the three nearest that a match finds, mean of some requests."""
    connection.execute("SET enable_indexscan = off")
    requests = clustered(RECALL_REQUESTS, dimension, seed=1)
    shares = []
    for vector in tqdm(requests, desc="recall", leave=False, disable=None):
        text = text_of(vector)
        found = connection.execute(
            "SELECT route_name FROM ruvector_semantic_route('x', 3,"
            " embedding := %s::vector::real[])",
            [text],
        ).fetchall()
        exact = connection.execute(
            "SELECT name FROM by_hand ORDER BY embedding <=> %s::vector LIMIT 3", [text]
        ).fetchall()
        near = {row[0] for row in exact}
        # A route below its threshold is no answer, however near it is.
        if found:
            shares.append(len(near & {row[0] for row in found}) / len(found))
    connection.execute("RESET enable_indexscan")
    return float(np.mean(shares)) if shares else math.nan


def times_of(microseconds: float, match: Timing) -> str:
    """Return what something else took, and how many times a match that is."""
    return f"{microseconds:.0f} us ({microseconds / match.clock:.1f} times)"


def shown(timing: Timing) -> str:
    return f"{timing.clock:>9.1f}{timing.shown_cpu:>9}"


def served_by(connection: psycopg.Connection[Any]) -> str:
    """Say which index the doctor finds."""
    findings = connection.execute(
        "SELECT finding FROM tiny_dancer.doctor() WHERE subject = 'route index'"
    ).fetchall()
    return findings[0][0][:28] if findings else "exact scan"


def milliseconds_after_a_change(connection: psycopg.Connection[Any]) -> float:
    """Return what the first match takes after one route changed, in a backend that is warm."""
    connection.execute("SELECT one_match()")
    connection.execute("SELECT ruvector_set_route_active('route-1', true)")
    return float(fetch_one(connection, "SELECT one_match()")) / 1000.0


if __name__ == "__main__":
    main()
