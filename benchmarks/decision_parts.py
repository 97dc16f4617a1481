"""Where the time of a warm decision goes, and what it can not go below.

Run with the throw-away server up (make up):

    .dev/venv/bin/python benchmarks/decision_parts.py --url "$(make -s url)"

It makes a database of its own on that server and drops it. Ten agents or --agents N, vectors of
768 dimensions; with --trained the default router, trained on 10,000 outcomes, has a say.
The first table climbs from a bare SELECT 1 to a decision: what PL/Python itself costs, what its
arguments, its columns and one query cost, all without a decision. The second takes a decision apart
where it runs; each part is timed among all others and not in a loop of its own, since a processor
runs what it has just run several times as fast.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import psycopg
from decisions import DIMENSION, TRAINED_AGENTS, prepare, train
from psycopg import sql
from scratch_database import new_database
from timing import REQUEST_LOOP, cpu_model, fetch_one, measure

# Each function does what the one before it does, and one thing more.
STEPS = {
    "a PL/Python function of one text": "step_text(given.content)",
    "its search_path pinned": "step_pinned(given.content)",
    "ruvector_route's arguments, through PL/pgSQL": (
        "step_arguments(given.content, embedding := given.embedding)"
    ),
    "its vector, as bytes": "step_vector(given.content, embedding := given.embedding)",
    "the query for rights and epochs": "step_query(given.content, embedding := given.embedding)",
    "the row of an answer": "step_row(given.content, embedding := given.embedding)",
}
INPUTS = """
    request text, optimize_for text DEFAULT 'balanced', required_capabilities text[] DEFAULT NULL,
    max_cost float8 DEFAULT NULL, max_latency_ms float8 DEFAULT NULL,
    min_quality float8 DEFAULT NULL, excluded_agents text[] DEFAULT NULL,
    budget_remaining float8 DEFAULT NULL, embedding real[] DEFAULT NULL,
    context jsonb DEFAULT NULL, quality_floor float8 DEFAULT NULL,
    cost_weight float8 DEFAULT NULL, tags text[] DEFAULT NULL,
    use_semantic_routes boolean DEFAULT false, record boolean DEFAULT false
"""
# What tiny_dancer.route() takes, without names, and what ruvector_route() hands to it.
INNER = """
    bigint, text, text, text[], float8, float8, float8, text[], float8, bytea, float8, float8,
    text[], jsonb, boolean, boolean
"""
HANDED = """
    {mark}, request, optimize_for, required_capabilities, max_cost, max_latency_ms,
    min_quality, excluded_agents, budget_remaining, {vector}, quality_floor, cost_weight, tags,
    context, use_semantic_routes, record
"""
NO_VECTOR = HANDED.format(mark="NULL", vector="NULL")
VECTOR = "tiny_dancer.numbers_as_stored(embedding)"
WITH_VECTOR = HANDED.format(mark="NULL", vector=VECTOR)
WITH_MARK = HANDED.format(mark="tiny_dancer.registry_mark()", vector=VECTOR)
KEEP_ONE_DECISION = """
if 'one decision' not in GD:
    [row] = plpy.execute(
        'SELECT r.* FROM public.request q,'
        ' public.ruvector_route(q.content, embedding := q.embedding) r'
    )
    GD['one decision'] = tuple(row.values())
"""
FUNCTIONS = f"""
CREATE FUNCTION step_text(request text) RETURNS text LANGUAGE plpython3u AS
    $$ return 'agent-1' $$;
CREATE FUNCTION step_pinned(request text) RETURNS text LANGUAGE plpython3u
    SET search_path = pg_catalog, pg_temp AS $$ return 'agent-1' $$;
CREATE FUNCTION inner_text({INNER}) RETURNS text LANGUAGE plpython3u
    SET search_path = pg_catalog, pg_temp AS $$ return 'agent-1' $$;
CREATE FUNCTION inner_row({INNER}) RETURNS tiny_dancer.routing_decision LANGUAGE plpython3u
    SET search_path = pg_catalog, pg_temp AS $${KEEP_ONE_DECISION}
return GD['one decision']
$$;
CREATE FUNCTION step_arguments({INPUTS}) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN inner_text({NO_VECTOR}); END $$;
CREATE FUNCTION step_vector({INPUTS}) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN inner_text({WITH_VECTOR}); END $$;
CREATE FUNCTION step_query({INPUTS}) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN inner_text({WITH_MARK}); END $$;
CREATE FUNCTION step_row({INPUTS}) RETURNS tiny_dancer.routing_decision LANGUAGE plpgsql AS
    $$ BEGIN RETURN inner_row({WITH_MARK}); END $$;
"""
# Wraps what a decision calls, on its way down; the wrappers' own time is measured with an empty
# function and taken off.
PARTS = """
CREATE FUNCTION parts(calls integer) RETURNS TABLE (part text, microseconds float8)
LANGUAGE plpython3u AS $$
import statistics, time
from tiny_dancer.agents import AgentRegistry
from tiny_dancer.learning.learned_quality import LearnedQuality
from tiny_dancer.pg import routing
from tiny_dancer.pg.live_state import LiveRouters
from tiny_dancer.pg.snapshot import Snapshot, SnapshotCache
from tiny_dancer.predictors.log_odds_heads import JoinedHeads
from tiny_dancer.router import Router

clock = time.perf_counter_ns
spent = {}
INSIDE = '  in it, '

def watched(name, function):
    times = spent.setdefault(name, [])
    def call(*arguments, **named):
        began = clock()
        result = function(*arguments, **named)
        times.append(clock() - began)
        return result
    return call

places = [
    (SnapshotCache, 'marked', 'the copy of the registry'),
    (routing, 'stored_numbers', 'the vector, from its bytes'),
    (routing, 'unit_vector', 'the vector, scaled to length 1'),
    (Snapshot, 'wording', 'the wording, where a router goes by it'),
    (LiveRouters, 'router', 'outcomes, health and budgets, as kept'),
    (Router, 'estimate', 'similarity, quality and cost of every agent'),
    (AgentRegistry, 'similarities', INSIDE + 'the product of vectors and request'),
    (JoinedHeads, 'log_odds', INSIDE + 'what the router predicts'),
    (LearnedQuality, 'expected', INSIDE + 'prior and prediction together'),
    (Router, 'passing', 'constraints'),
    (Router, 'score', 'scores'),
    (Router, 'rank', 'the first four'),
    (Router, '_decision', 'the decision and its sentence'),
    (routing, 'standings_json', 'the alternatives as JSON'),
]
kept = [(place, name, getattr(place, name)) for place, name, _ in places]
given = plpy.execute(
    'SELECT content, tiny_dancer.numbers_as_stored(embedding) AS embedding,'
    ' tiny_dancer.registry_mark() AS mark FROM public.request'
)[0]
arguments = [given['mark'], given['content'], 'balanced', None, None, None, None,
             None, None, given['embedding'], None, None, None, None, False, False]
extension = GD['tiny_dancer/VERSION']
empty = watched('empty', lambda: None)
try:
    for place, name, label in places:
        setattr(place, name, watched(label, getattr(place, name)))
    whole = watched('whole', extension.route)
    for _ in range(calls):
        whole(*arguments)
        empty()
finally:
    for place, name, function in kept:
        setattr(place, name, function)
own = statistics.median(spent['empty'])
median = {
    name: (statistics.median(times) - own) / 1000 for name, times in spent.items() if times
}
rows = [(label, median[label]) for _, _, label in places if label in median]
wrappers = own * (len(rows) + 1) / 1000
apart = sum(spent for label, spent in rows if not label.startswith(INSIDE))
rows.append(('what is between them', median['whole'] - wrappers - apart))
return rows
$$;
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--calls", type=int, default=200, help="in one loop (default: 200)")
    parser.add_argument("--repeats", type=int, default=15, help="of each loop (default: 15)")
    parser.add_argument("--agents", type=int, default=10, help="registered (default: 10)")
    parser.add_argument("--trained", action="store_true", help="with a trained router")
    options = parser.parse_args()
    print(f"machine: {cpu_model()}, load average {os.getloadavg()[0]:.1f}")
    with (
        new_database(options.url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        prepare(connection, options.agents)
        if options.trained:
            train(connection, min(options.agents, TRAINED_AGENTS))
        fetch_one(connection, "SELECT loop_route(2)")
        print_steps(connection, options)
        print_parts(connection, options)
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


def print_steps(connection: psycopg.Connection[Any], options: argparse.Namespace) -> None:
    """Print what a call costs as it does more and more, a decision last."""
    connection.execute(FUNCTIONS)
    pid = connection.info.backend_pid

    def loop(function: str) -> Callable[[], tuple[float, int]]:
        query = sql.SQL("SELECT {}({})").format(sql.Identifier(function), options.calls)
        return lambda: (float(fetch_one(connection, query)), options.calls)

    names = {"SELECT 1": "loop_select"}
    for number, (label, call) in enumerate(STEPS.items()):
        column = "agent_name" if call.startswith("step_row") else "called"
        names[label] = f"loop_step_{number}"
        connection.execute(REQUEST_LOOP.format(names[label], column, call))
    names["the decision"] = "loop_route"
    print(f"\nmicroseconds in the server, median of {options.repeats} x {options.calls} calls,")
    how = "a trained router" if options.trained else "priors only"
    print(f"{options.agents} agents, {DIMENSION} dimensions, {how}")
    print(f"{'':<46}{'clock':>8}{'on CPU':>9}{'more':>8}")
    before = 0.0
    for label, function in names.items():
        fetch_one(connection, sql.SQL("SELECT {}(2)").format(sql.Identifier(function)))
        found = measure(pid, loop(function), options.repeats)
        print(f"{label:<46}{found.clock:>8.1f}{found.shown_cpu:>9}{found.clock - before:>8.1f}")
        before = found.clock


def print_parts(connection: psycopg.Connection[Any], options: argparse.Namespace) -> None:
    """Print how long each part of a decision takes among the others."""
    version = fetch_one(
        connection, "SELECT extversion FROM pg_extension WHERE extname = 'tiny_dancer'"
    )
    connection.execute(PARTS.replace("VERSION", version))
    print("\nof the decision itself, in Python: microseconds, median")
    calls = options.calls * options.repeats
    for part, microseconds in connection.execute(f"SELECT * FROM parts({calls})"):
        print(f"{part:<46}{microseconds:>8.1f}")


if __name__ == "__main__":
    main()
