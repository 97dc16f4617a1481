"""Entry point of replaying another policy over recorded decisions.

Everything is read as the caller may see it, and nothing is written. What the policy knows of costs
and latencies is what was known before the first decision, and of qualities what was recorded with
each decision: nothing that it chooses by depends on the outcomes that it is judged by.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.errors import InvalidArgumentError, NotReadyError, UnknownObjectError
from tiny_dancer.pg import store
from tiny_dancer.pg.live_state import Readings
from tiny_dancer.pg.vector_rights import require_vectors
from tiny_dancer.replay.choices import choices, prices
from tiny_dancer.replay.logged_decisions import LoggedDecision, LoggedDecisions
from tiny_dancer.replay.policy import ReplayPolicy
from tiny_dancer.replay.report import ReplayReport
from tiny_dancer.replay.report import replay as estimate
from tiny_dancer.router import Router

if TYPE_CHECKING:
    from tiny_dancer.learning.router_model import RouterModel
    from tiny_dancer.pg.backend import Backend, Row
    from tiny_dancer.pg.model import ActiveModel
    from tiny_dancer.pg.snapshot import Configuration

NOTICE_EVERY_SECONDS = 2.0
ROWS_AT_ONCE = 500
# Of more decisions an even sample is taken, and reading ends at so many candidates in all.
MOST_DECISIONS = 50_000
MOST_CANDIDATES = 5_000_000
SEMANTIC_ROUTE = "semantic_route"

WINDOW = """
SELECT w.until - $1 AS after, w.until, ($1 > '0'::interval) IS TRUE AS is_sensible
FROM (SELECT coalesce($2, pg_catalog.clock_timestamp()) AS until) w
"""
FIRST_DECISION = """
SELECT count(*) AS decisions, min(d.decided_at) AS first
FROM tiny_dancer.decisions d WHERE d.decided_at > $1 AND d.decided_at <= $2
"""
TRAINED = """
SELECT r.created_at, coalesce(r.created_at > $2, false) AS is_younger
FROM tiny_dancer.router_models r WHERE r.id = $1
"""
LOGGED = "SELECT * FROM tiny_dancer.logged_decisions($1, $2, $3, $4)"
KNOWN_BEFORE = "SELECT * FROM tiny_dancer.agent_outcomes(before := $1)"


class Window(NamedTuple):
    """What is replayed: decisions after one time until another, as text."""

    after: str
    until: str
    decisions: int
    first: str | None


def replay(
    backend: Backend, policy: str | None, time_range: str | None, until: str | None
) -> list[tuple[Any, ...]]:
    """Return the rows of ruvector_replay."""
    wanted = ReplayPolicy.parse(None if policy is None else json.loads(policy))
    window = _window(backend, time_range, until)
    require_vectors(backend, "replay")
    configuration = backend.snapshots.configuration()
    router_model = _router_model(backend, wanted.router_model, window)
    rows = _read(backend, configuration.required_model, window)
    registry = _registry(backend, configuration.required_model, rows)
    decisions = _laid_out(backend, configuration.required_model, rows, registry)
    _check_agents(wanted, registry)
    _check_wording(router_model, decisions)
    router = _router_before(backend, configuration, registry, window, router_model)
    progress = backend.progress(NOTICE_EVERY_SECONDS)

    def choose(used: LoggedDecisions) -> NDArray[np.intp]:
        return choices(
            wanted,
            router,
            used,
            progress=lambda done: progress(f"chose for {done} of {len(used)} decisions"),
        )

    price = functools.partial(prices, router)
    return _columns(estimate(decisions, choose, price, len(registry), progress=progress))


def _router_model(backend: Backend, identity: int | None, window: Window) -> RouterModel | None:
    """Return the router model of a policy.

    Raises:
        UnknownObjectError: there is none with that id.
        InvalidArgumentError: it was trained after the first decision, maybe on what came of it.
    """
    if identity is None:
        return None
    from tiny_dancer.pg.router_models import stored_model  # only who learned pays for it

    model = stored_model(backend, identity)
    row: Any = backend.row(TRAINED, ("bigint", "timestamptz"), identity, window.first)
    if row["is_younger"]:
        raise InvalidArgumentError(
            f"router model {identity} was trained after the first decision to be replayed",
            detail=f"It was trained at {row['created_at']}, and the first decision was made at "
            f"{window.first}: it may have seen what the decisions led to.",
            hint="Replay decisions made since it was trained, by a shorter time_range.",
        )
    return model


def _check_wording(model: RouterModel | None, decisions: LoggedDecisions) -> None:
    """Let decisions pass of which is known what a router model goes by."""
    if model is None or not model.goes_by_wording or not len(decisions):
        return
    if decisions.lexical.shape[1] < model.predictor.lexical_dim_:
        raise NotReadyError(
            f"router model {model.id} goes by lexical features, and "
            f"{'not all' if decisions.lexical.shape[1] else 'none'} are recorded",
            hint="Record decisions with ruvector_route(…, record := true), which notes them.",
        )


def _window(backend: Backend, time_range: str | None, until: str | None) -> Window:
    row: Any = backend.row(WINDOW, ("interval", "timestamptz"), time_range, until)
    if not row["is_sensible"]:
        raise InvalidArgumentError(
            f"time_range is {'NULL' if time_range is None else time_range}",
            hint="Give an interval above 0, for example '7 days'.",
        )
    times = ("timestamptz", "timestamptz")
    found: Any = backend.row(FIRST_DECISION, times, row["after"], row["until"])
    return Window(row["after"], row["until"], int(found["decisions"]), found["first"])


def _read(backend: Backend, model: ActiveModel, window: Window) -> list[LoggedDecision]:
    """Read the decisions of a window whose request can be compared with today's vectors."""
    if window.decisions > MOST_DECISIONS:
        backend.report_progress(
            f"{window.decisions} decisions were recorded; an even sample of {MOST_DECISIONS} "
            "is replayed"
        )
    types = ["timestamptz", "timestamptz", "bigint", "integer"]
    plan = backend.plpy.prepare(LOGGED, types)
    cursor = backend.plpy.cursor(plan, [window.after, window.until, model.id, MOST_DECISIONS])
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    decisions: list[LoggedDecision] = []
    seen = without_vector = unsound = candidates = 0
    while candidates < MOST_CANDIDATES and (rows := cursor.fetch(ROWS_AT_ONCE)):
        for row in rows:
            seen += 1
            if row["embedding"] is None:
                without_vector += 1
                continue
            decision = _decision(row)
            if not decision.is_sound(model.dimension):
                unsound += 1
                continue
            candidates += len(decision.candidates)
            decisions.append(decision)
        progress(f"read {seen} decisions")
    cursor.close()
    _tell_left_out(backend, seen, without_vector, unsound)
    return decisions


def _tell_left_out(backend: Backend, seen: int, without_vector: int, unsound: int) -> None:
    if without_vector:
        backend.report_progress(
            f"{without_vector} of {seen} decisions are left out: no vector of their request by "
            "the active embedding model is kept"
        )
    if unsound:
        backend.report_progress(
            f"{unsound} of {seen} decisions are left out: what was recorded of them contradicts "
            "itself"
        )


def _decision(row: Row) -> LoggedDecision:
    return LoggedDecision(
        agent_id=row["agent_id"],
        is_rule=row["routed_by"] == SEMANTIC_ROUTE,
        input_tokens=row["input_tokens"],
        candidates=row["candidates"],
        expected_quality=row["expected_quality"],
        probabilities=row["propensities"],
        embedding=store.half_vector_from_bytes(row["embedding"]),
        lexical=row["features"],
        quality=row["quality"],
        cost=row["cost"],
    )


def _registry(backend: Backend, model: ActiveModel, rows: list[LoggedDecision]) -> AgentRegistry:
    """Read the agents that live and those that were candidates."""
    candidates = {agent_id for row in rows for agent_id in row.candidates}
    return store.past_registry(backend, model, sorted(candidates))


def _laid_out(
    backend: Backend, model: ActiveModel, rows: list[LoggedDecision], registry: AgentRegistry
) -> LoggedDecisions:
    position = {agent_id: place for place, agent_id in enumerate(registry.ids)}
    known = [row for row in rows if all(agent_id in position for agent_id in row.candidates)]
    _tell_left_out(backend, len(rows), 0, len(rows) - len(known))
    return LoggedDecisions.of(known, position, model.dimension)


def _router_before(
    backend: Backend,
    configuration: Configuration,
    registry: AgentRegistry,
    window: Window,
    router_model: RouterModel | None,
) -> Router:
    """Return a router that knows of outcomes what was known before the first decision."""
    settings = configuration.settings
    before = backend.rows(KNOWN_BEFORE, ("timestamptz",), window.first or window.after)
    readings = Readings({row["agent_id"]: row for row in before}, {}, {}, {}, {})
    performance = readings.performance(registry, settings)
    learned = readings.learned(router_model, registry, settings, performance)
    return Router(registry, settings, performance, learned=learned)


def _check_agents(policy: ReplayPolicy, registry: AgentRegistry) -> None:
    for name in (*policy.excluded_agents, *([policy.agent] if policy.agent else [])):
        if name not in registry.position:
            raise UnknownObjectError(
                f"unknown agent {name!r} in policy",
                hint="Name a registered agent; the case counts.",
            )


def _columns(report: ReplayReport) -> list[tuple[Any, ...]]:
    return [
        (
            row.estimator,
            row.measure,
            row.value.estimate,
            row.value.low,
            row.value.high,
            row.observed,
            row.effective_sample_size,
            report.decisions,
            row.without_outcome,
            report.not_explored,
            report.agreement,
            report.unserved,
        )
        for row in report.estimates
    ]
