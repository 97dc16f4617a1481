"""Semantic routes to match."""

from __future__ import annotations

from psycopg.types.json import Jsonb
from registration import call


def create(session, name, target_agent="helper", description=None, **arguments):
    """Create a route; its description is its name unless given."""
    if isinstance(arguments.get("conditions"), (dict, list)):
        arguments["conditions"] = Jsonb(arguments["conditions"])
    [row] = call(
        session,
        "ruvector_create_route",
        name=name,
        description=description or name,
        target_agent=target_agent,
        **arguments,
    )
    return row[0]


def semantic_route(session, query, **arguments):
    if isinstance(arguments.get("context"), (dict, list)):
        arguments["context"] = Jsonb(arguments["context"])
    return call(session, "ruvector_semantic_route", query=query, **arguments)


def matched(session, query, **arguments):
    return [row.route_name for row in semantic_route(session, query, **arguments)]


def route_names(session):
    return [row.route_name for row in session.execute("SELECT * FROM ruvector_list_routes()")]
