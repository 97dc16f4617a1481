"""The demo's conversation with the database: agents go in, decisions and their reasons come out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from tqdm import tqdm

from tiny_dancer.cli.demo_database import Connection
from tiny_dancer.cli.demo_examples import Call

_NO_SUITABLE_AGENT = "TD001"

_ROUTE = """
SELECT agent_name, estimated_cost, estimated_latency_ms, expected_quality, reasoning
FROM ruvector_route({})
"""
_EXPLAIN = """
SELECT agent_name, rank, removed_by, score, similarity, quality_score, expected_quality,
       estimated_cost, estimated_latency_ms
FROM ruvector_explain_route({})
"""
_AGENTS = "SELECT name, agent_type, quality_score FROM ruvector_list_agents() WHERE active"
_OUTPUT_TOKENS = """
SELECT value FROM tiny_dancer.list_settings() WHERE name = 'expected_output_tokens'
"""


@dataclass(frozen=True, slots=True)
class RegisteredAgent:
    """What the comparison needs to know of an agent; its quality is None where unknown."""

    name: str
    agent_type: str
    quality_score: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of ruvector_route: dollars and milliseconds, None where unknown."""

    agent_name: str
    estimated_cost: float | None
    estimated_latency_ms: float | None
    expected_quality: float
    reasoning: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A row of ruvector_explain_route: how one agent stood; no rank if a constraint removed it."""

    agent_name: str
    rank: int | None
    removed_by: list[str]
    score: float | None
    similarity: float | None
    quality_score: float | None
    expected_quality: float
    estimated_cost: float | None
    estimated_latency_ms: float | None


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """One request: what was asked, the decision or why there is none, and how every agent stood."""

    call: Call
    decision: Decision | None
    refusal: str | None
    standings: list[Standing]

    @property
    def text(self) -> str:
        """What was asked."""
        return str(self.call["request"])

    @property
    def optimize_for(self) -> str:
        """What the decision was optimised for."""
        return str(self.call.get("optimize_for", "balanced"))

    def standing(self, agent_name: str) -> Standing:
        """Return how an agent stood."""
        return next(s for s in self.standings if s.agent_name == agent_name)


@dataclass(frozen=True, slots=True)
class Run:
    """All requests of a demo, routed over one connection.

    Attributes:
        database: its name.
        agents: who could be chosen.
        routed: the requests in their order.
        seconds: what the calls of ruvector_route took, as the client saw it.
        output_tokens: what cost estimates assume of each request's output.
    """

    database: str
    agents: list[RegisteredAgent]
    routed: list[RoutedRequest]
    seconds: float
    output_tokens: int


def register(connection: Connection, fleet: Sequence[Call]) -> None:
    """Register agents, with progress.

    Args:
        connection: to the demo's database.
        fleet: named arguments of ruvector_register_agent.
    """
    for agent in _progress(fleet, "Registering agents"):
        connection.execute(_call("SELECT ruvector_register_agent({})", agent), _values(agent))


def route(connection: Connection, requests: Sequence[Call]) -> Run:
    """Route requests, with progress, and ask how every agent stood.

    Args:
        connection: to the demo's database.
        requests: named arguments of ruvector_route.
    """
    agents = connection.execute(_AGENTS).fetchall()
    output_tokens: Any = connection.execute(_OUTPUT_TOKENS).fetchone()
    routed, seconds = [], 0.0
    for call in _progress(requests, "Routing requests"):
        began = time.perf_counter()
        decision, refusal = _decide(connection, call)
        seconds += time.perf_counter() - began
        rows = connection.execute(_call(_EXPLAIN, call), _values(call)).fetchall()
        routed.append(RoutedRequest(call, decision, refusal, [Standing(**row) for row in rows]))
    return Run(
        connection.info.dbname,
        [RegisteredAgent(**row) for row in agents],
        routed,
        seconds,
        int(output_tokens["value"]),
    )


def _decide(connection: Connection, call: Call) -> tuple[Decision | None, str | None]:
    """Return the decision, or the server's reason why no agent fits."""
    try:
        row: Any = connection.execute(_call(_ROUTE, call), _values(call)).fetchone()
    except psycopg.Error as error:
        if error.sqlstate != _NO_SUITABLE_AGENT:
            raise
        return None, error.diag.message_detail
    return Decision(**row), None


def _call(template: str, call: Call) -> sql.Composed:
    """Return a statement that passes the arguments by name."""
    arguments = (
        sql.SQL("{} := {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in call
    )
    return sql.SQL(template).format(sql.SQL(", ").join(arguments))


def statement(function: str, call: Call) -> str:
    """Return a call as one would type it.

    Args:
        function: its name.
        call: its named arguments.
    """
    arguments = (f"{name} := {sql.Literal(value).as_string(None)}" for name, value in call.items())
    return f"{function}({', '.join(arguments)})"


def _values(call: Call) -> Call:
    return {name: json.dumps(v) if isinstance(v, dict) else v for name, v in call.items()}


def _progress(calls: Sequence[Call], what: str) -> tqdm[Call]:
    return tqdm(calls, desc=what, leave=False, ncols=80, ascii=True, disable=None)
