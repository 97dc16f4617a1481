"""Agents to route to."""

from __future__ import annotations

from psycopg import sql

# The four agents of equal similarity: all can do the same.
FOUR_AGENTS = {
    "gpt-4": {"cost_per_1k_tokens": 0.03, "avg_latency_ms": 500, "quality_score": 0.95},
    "claude-3": {"cost_per_1k_tokens": 0.025, "avg_latency_ms": 400, "quality_score": 0.93},
    "gpt-3.5": {"cost_per_1k_tokens": 0.002, "avg_latency_ms": 200, "quality_score": 0.75},
    "llama-2": {"cost_per_1k_tokens": 0.0, "avg_latency_ms": 800, "quality_score": 0.70},
}


VECTORS = ("embedding", "capability_embedding")


def call(session, function, **arguments):
    """Call a function by named arguments and return its rows."""
    named = [
        sql.SQL("{} := {}{}").format(
            sql.Identifier(name),
            sql.Placeholder(name),
            # psycopg sends floats as float8[], which does not become real[] by itself.
            sql.SQL("::real[]" if name in VECTORS else ""),
        )
        for name in arguments
    ]
    statement = sql.SQL("SELECT * FROM {}({})").format(
        sql.Identifier(*function.split(".")), sql.SQL(", ").join(named)
    )
    return session.execute(statement, arguments).fetchall()


def register(session, name, capabilities=("chat",), agent_type="llm", **columns):
    """Register an agent; `capabilities` are the same for all unless given."""
    [row] = call(
        session,
        "ruvector_register_agent",
        name=name,
        agent_type=agent_type,
        capabilities=list(capabilities),
        **columns,
    )
    return row[0]


def register_four(session):
    for name, columns in FOUR_AGENTS.items():
        register(session, name, **columns)


def route(session, request="Say hello", **arguments):
    """Return the row of a decision."""
    [row] = call(session, "ruvector_route", request=request, **arguments)
    return row


def explain(session, request="Say hello", **arguments):
    """Return the rows of an explanation by agent, in the order they came."""
    rows = call(session, "ruvector_explain_route", request=request, **arguments)
    return {row.agent_name: row for row in rows}


def chosen(session, request="Say hello", **arguments):
    return route(session, request, **arguments).agent_name


def agent_names(session):
    return [row.name for row in session.execute("SELECT name FROM ruvector_list_agents()")]


def register_plan_agents(session):
    """Register the plan's three agents."""
    register(
        session,
        "gpt-4",
        ["reasoning", "code", "analysis", "creative"],
        cost_per_1k_tokens=0.03,
        avg_latency_ms=2500,
        quality_score=0.95,
    )
    register(
        session,
        "claude-3-haiku",
        ["fast-response", "simple-tasks", "classification"],
        cost_per_1k_tokens=0.00025,
        avg_latency_ms=400,
        quality_score=0.80,
    )
    register(
        session,
        "code-specialist",
        ["code-execution", "debugging", "testing"],
        agent_type="tool",
        cost_per_call=0.001,
        avg_latency_ms=100,
        quality_score=0.90,
    )
