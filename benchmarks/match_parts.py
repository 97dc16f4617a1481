"""Where the time of a match of semantic routes goes, and what it can not go below.

Run with the throw-away server up (make up):

    .dev/venv/bin/python benchmarks/match_parts.py --url "$(make -s url)"

It makes a database of its own on that server and drops it. A thousand routes or --routes N of one
vector of 768 dimensions; the request comes with its vector. The first table climbs from a bare
SELECT 1 to a match: each step does what the one before it does, and one thing more. The second
takes the match itself apart, each part in a loop of its own, where nothing else takes the
processor's caches from it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql
from scratch_database import new_database
from semantic_routes import prepare
from timing import SELECT_LOOP, cpu_model, fetch_one, measure

DIMENSION = 768
STEPS = {
    "three rows of PL/pgSQL": "step_rows",
    "out of an array from PL/Python": "step_array",
    "given its vector, as bytes": "step_vector",
    "the query for rights and epochs": "step_query",
    "the match": "ruvector_semantic_route",
}
ARGUMENTS = """
    query text, top_k integer DEFAULT 3, context jsonb DEFAULT NULL,
    embedding real[] DEFAULT NULL, consume boolean DEFAULT false,
    OUT route_name text, OUT similarity float8, OUT target_agent text, OUT confidence float8,
    OUT target_active boolean
"""
INNER = """
CREATE FUNCTION inner_array(bigint, text, integer, jsonb, bytea, boolean)
RETURNS tiny_dancer.route_match[] LANGUAGE plpython3u SET search_path = pg_catalog, pg_temp AS
    $$ return [('route-1', 0.5, 'agent-1', 0.5, True)] * 3 $$;
CREATE FUNCTION step_rows({arguments}) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    route_name := 'route-1';
    FOR i IN 1..3 LOOP
        RETURN NEXT;
    END LOOP;
END $$;
"""
STEP = """
CREATE FUNCTION {name}({arguments}) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    FOREACH route_name, similarity, target_agent, confidence, target_active
        IN ARRAY inner_array({mark}, query, top_k, context, {vector}, consume)
    LOOP
        RETURN NEXT;
    END LOOP;
END $$;
"""
VECTOR, MARK = "tiny_dancer.numbers_as_stored(embedding)", "tiny_dancer.routes_mark()"
LOOP = """
CREATE FUNCTION {loop}(calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    given real[] := (SELECT embedding FROM request LIMIT 1);
    began timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..calls LOOP
        PERFORM r.route_name FROM {function}('x', 3, embedding := given) r;
    END LOOP;
    RETURN microseconds(began, calls);
END $$;
"""
PARTS = """
CREATE FUNCTION parts(calls integer) RETURNS TABLE (part text, microseconds float8)
LANGUAGE plpython3u AS $$
import timeit
from tiny_dancer.pg.stored_array import stored_numbers
from tiny_dancer.request import unit_vector

given = plpy.execute(
    'SELECT tiny_dancer.numbers_as_stored(embedding) AS embedding,'
    ' tiny_dancer.routes_mark() AS mark FROM public.request LIMIT 1'
)[0]
extension = GD['tiny_dancer/VERSION']
copy = extension._backend.routes.marked(given['mark'])
routes = copy.table.routes
numbers = stored_numbers(given['embedding'])
vector = unit_vector(numbers, dimension=routes.vectors.shape[1], what='embedding')
shortlist = routes.shortlist(vector, 16)

def best(work):
    return min(timeit.repeat(work, number=calls, repeat=9)) / calls * 1e6

return [
    ('all of it', best(
        lambda: extension.semantic_route(given['mark'], 'x', 3, None, given['embedding'], False)
    )),
    ('the vector, from its bytes and scaled', best(
        lambda: unit_vector(stored_numbers(given['embedding']), dimension=len(vector), what='')
    )),
    ('the product of vectors and request', best(lambda: routes.vectors @ vector)),
    ('the three best of them', best(lambda: routes.rank(shortlist, 3))),
]
$$;
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--calls", type=int, default=300, help="in one loop (default: 300)")
    parser.add_argument("--repeats", type=int, default=15, help="of each loop (default: 15)")
    parser.add_argument("--routes", type=int, default=1_000, help="made (default: 1000)")
    options = parser.parse_args()
    print(f"machine: {cpu_model()}, load average {os.getloadavg()[0]:.1f}")
    with (
        new_database(options.url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        prepare(connection, options.routes, DIMENSION)
        print_steps(connection, options)
        print_parts(connection, options.calls)
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


def print_steps(connection: psycopg.Connection[Any], options: argparse.Namespace) -> None:
    """Print what a call costs as it does more and more, a match last."""
    connection.execute(SELECT_LOOP)
    connection.execute(INNER.format(arguments=ARGUMENTS))
    for name, mark, vector in (
        ("step_array", "NULL", "NULL"),
        ("step_vector", "NULL", VECTOR),
        ("step_query", MARK, VECTOR),
    ):
        connection.execute(STEP.format(name=name, arguments=ARGUMENTS, mark=mark, vector=vector))
    pid = connection.info.backend_pid

    def loop(function: str) -> Callable[[], tuple[float, int]]:
        query = sql.SQL("SELECT {}({})").format(sql.Identifier(function), options.calls)
        return lambda: (float(fetch_one(connection, query)), options.calls)

    print(f"\nmicroseconds in the server, median of {options.repeats} x {options.calls} calls,")
    print(f"{options.routes} routes, {DIMENSION} dimensions, three of them asked for")
    print(f"{'':<46}{'clock':>8}{'on CPU':>9}{'more':>8}")
    before = 0.0
    loops = {"SELECT 1": "loop_select"}
    for label, function in STEPS.items():
        loops[label] = f"loop_{function}"
        connection.execute(LOOP.format(loop=loops[label], function=function))
    for label, function in loops.items():
        found = measure(pid, loop(function), options.repeats)
        print(f"{label:<46}{found.clock:>8.1f}{found.shown_cpu:>9}{found.clock - before:>8.1f}")
        before = found.clock


def print_parts(connection: psycopg.Connection[Any], calls: int) -> None:
    """Print how long each part of a match takes in a loop of its own."""
    version = fetch_one(
        connection, "SELECT extversion FROM pg_extension WHERE extname = 'tiny_dancer'"
    )
    connection.execute(PARTS.replace("VERSION", version))
    print("\nof the match itself, in Python: microseconds, the least of nine loops")
    for part, microseconds in connection.execute(f"SELECT * FROM parts({calls})"):
        print(f"{part:<46}{microseconds:>8.1f}")


if __name__ == "__main__":
    main()
