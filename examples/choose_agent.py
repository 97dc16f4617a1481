"""Ask the database which agent should take a request, as an application does before it calls one.

    .dev/venv/bin/python examples/choose_agent.py --url URL --require code "Find the bug"

The database needs agents: see load_fleet.sql.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

NO_AGENT_FITS = "TD001"

ROUTE = """
SELECT agent_name, estimated_cost, estimated_latency_ms, expected_quality, reasoning
FROM ruvector_route(
    request := %(request)s,
    optimize_for := %(optimize_for)s,
    required_capabilities := %(require)s,
    max_cost := %(max_cost)s
)
"""


@dataclass(frozen=True)
class Decision:
    """What the database answers; unknown prices and latencies are None."""

    agent_name: str
    estimated_cost: float | None
    estimated_latency_ms: float | None
    expected_quality: float
    reasoning: str


def choose_agent(
    connection: psycopg.Connection[object],
    request: str,
    optimize_for: str = "balanced",
    require: list[str] | None = None,
    max_cost: float | None = None,
) -> Decision | None:
    """Return the decision, None where no agent fits."""
    arguments = {
        "request": request,
        "optimize_for": optimize_for,
        "require": require,
        "max_cost": max_cost,
    }
    with connection.cursor(row_factory=class_row(Decision)) as cursor:
        try:
            return cursor.execute(ROUTE, arguments).fetchone()
        except psycopg.Error as error:
            if error.sqlstate != NO_AGENT_FITS:
                raise
            return None


def main() -> int:
    """Print the decision about one request."""
    parser = argparse.ArgumentParser(description="Ask which agent should take a request.")
    parser.add_argument("request")
    parser.add_argument("--url", required=True, help="of the database")
    parser.add_argument("--optimize-for", default="balanced")
    parser.add_argument("--require", action="append", metavar="CAPABILITY")
    parser.add_argument("--max-cost", type=float, metavar="DOLLARS")
    given = parser.parse_args()
    with psycopg.connect(given.url, autocommit=True) as connection:
        decision = choose_agent(
            connection, given.request, given.optimize_for, given.require, given.max_cost
        )
    if decision is None:
        print("no agent fits; ask a person", file=sys.stderr)
        return 1
    print(f"{decision.agent_name}: {decision.reasoning}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
