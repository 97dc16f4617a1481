"""A database with rows in every table, and what is compared of it: rows, partitions, answers."""

from __future__ import annotations

from registration import call, explain, register, register_four, route
from routes import create
from training import train_quickly

KEPT_TABLES = (
    *("agents", "agent_embeddings", "models", "settings", "capability_aliases", "granted_roles"),
    *("routes", "route_utterances", "route_passes", "route_heads", "classifiers"),
    *("decisions", "request_vectors", "usage", "usage_keys", "feedback"),
    *("router_models", "router_training_requests", "foreseen_outcomes"),
    *("budgets", "budget_charges", "budget_holds", "reservations"),
    *("usage_rollups", "usage_rollup_state", "usage_rollup_stale"),
)
# What the server is doing at the moment means nothing in a restored one.
LEFT_TABLES = ("agent_slots", "leases", "breaker_events")
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE sequencename = ANY (%s)"


def contents(session, tables=KEPT_TABLES):
    return {
        table: session.execute(f"SELECT t::text FROM tiny_dancer.{table} t ORDER BY 1").fetchall()
        for table in tables
    }


def partitions(session):
    """Every partition of a ledger with its bounds, its rows, its triggers and its indexes."""
    return session.execute(
        "SELECT p.relid::regclass::text AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds,"
        " ARRAY(SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = c.oid ORDER BY 1) AS triggers,"
        " ARRAY(SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i"
        " WHERE i.indrelid = c.oid ORDER BY 1) AS indexes, obj_description(c.oid) AS comment"
        " FROM unnest('{usage,decisions}'::text[]) ledger"
        " CROSS JOIN LATERAL pg_partition_tree('tiny_dancer.' || ledger) p"
        " JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf ORDER BY 1"
    ).fetchall()


def sequences(session):
    names = [f"{table}_id_seq" for table in KEPT_TABLES] + ["usage_ids"]
    return dict(session.execute(SEQUENCES, [names]).fetchall())


def answers(session):
    requests = ("Write code", "Say hello", "Translate this")
    return [
        *(list(explain(session, request).values()) for request in requests),
        *(call(session, "ruvector_semantic_route", query=request) for request in requests),
        *(call(session, "ruvector_predict_quality", request=request) for request in requests),
        *(call(session, "ruvector_classify_request", request=request) for request in requests),
        *(
            call(session, f"ruvector_{function}")
            for function in (
                *("list_agents", "list_routes", "list_capability_aliases", "budget_status"),
                *("routing_stats", "router_models", "route_fits"),
            )
        ),
        *(
            call(session, "ruvector_routing_analytics", group_by=key)
            for key in ("agent", "type", "route", "tag", "capability", "day")
        ),
    ]


JUDGED = """
SELECT 'Say something ' || n, agent, n % 2
FROM generate_series(1, 20) AS n, unnest('{gpt-4,claude-3}'::text[]) AS agent
"""


def record_everything(session):
    """Routes, classifiers, budgets, reservations, decisions and outcomes."""
    train_quickly(session)
    call(session, "ruvector_train_router", query=JUDGED, predictor="ridge")
    create(session, "code", "coder", utterances=["Write code", "Fix this bug"])
    create(session, "hello", "gpt-4", "Say hello", conditions={"rate_limit": 100})
    call(session, "ruvector_semantic_route", query="Say hello", consume=True)
    call(session, "ruvector_fit_routes", query="VALUES ('Repair the code', 'code'), ('x', NULL)")
    for limit, scope in ((5.0, {}), (3.0, {"agent": "gpt-4"}), (2.0, {"tag": "t"})):
        call(session, "ruvector_set_budget", limit_amount=limit, period="month", **scope)
    decision = route(session, "Write code", record=True, use_semantic_routes=True, tags=["t"])
    made = {"agent": decision.agent_name, "decision_id": decision.decision_id}
    call(session, "ruvector_record_usage", actual_cost=0.25, success=True, **made)
    call(
        session,
        "ruvector_record_feedback",
        decision_id=decision.decision_id,
        quality=0.75,
    )
    for cost, success in ((0.5, True), (0.125, False)) * 4:
        call(
            session,
            "ruvector_record_usage",
            agent="claude-3",
            actual_cost=cost,
            success=success,
            request="Say something new",
            idempotency_key=f"key {cost}",
            input_tokens=10,
            output_tokens=20,
        )
    call(session, "ruvector_reserve_budget", agent="gpt-4", estimated_cost=0.25, tags=["t"])
    [(settled,)] = call(session, "ruvector_reserve_budget", agent="gpt-4", estimated_cost=0.5)
    call(session, "ruvector_settle_budget", reservation=settled, actual_cost=0.375)
    for _ in range(6):
        call(session, "ruvector_record_usage", agent="gpt-3.5", actual_cost=0.0, success=False)
    call(session, "ruvector_acquire", pool_or_agent="llama-2")
    grow(session)


def grow(session):
    """Months of outcomes, summed up and in partitions; and an hour that got one more since."""
    outcomes = (
        "INSERT INTO tiny_dancer.usage (recorded_at, agent_id, cost, success, latency_ms, tags)"
        " SELECT now() - n * interval '7 hours', 1, n, n %% 7 > 0, 10 * n, '{t}'"
        " FROM generate_series(%s::integer, 200) n"
    )
    session.execute(outcomes, [1])
    call(session, "tiny_dancer.maintain")
    session.execute(outcomes, [200])


def fill(session, roles):
    """Agents of every kind of row, settings, aliases, outcomes; and roles with rights by level."""
    register_four(session)
    register(session, "coder", ["code"], metadata='{"context_window": 8000, "x": [1, "é"]}')
    register(session, "given", capability_embedding=[1.0, *[0.0] * 383])
    register(session, "pair", agent_type="ensemble", metadata='{"members": ["gpt-4", "coder"]}')
    register(session, "idle")
    call(session, "ruvector_set_agent_active", name="idle", is_active=False)
    register(session, "again", quality_score=0.1)
    call(session, "ruvector_remove_agent", name="again")
    register(session, "again", quality_score=0.9)
    call(session, "tiny_dancer.set", name="expected_output_tokens", value="100")
    session.execute("INSERT INTO tiny_dancer.capability_aliases VALUES ('coding', 'code')")
    record_everything(session)
    for level, role in roles.items():
        session.execute(f"SELECT tiny_dancer.grant_{level}(%s)", [role])
