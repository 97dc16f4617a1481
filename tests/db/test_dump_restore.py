"""A dump restores whole: every table of user data, its sequences, and the answers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from databases import url_of
from registration import agent_names, call, explain, register, register_four, route
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


def program(name):
    return str(Path(os.environ["TINY_DANCER_PG_BINDIR"]) / name)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


@pytest.fixture
def filled(new_role, meaning_db):
    """Agents of every kind of row, two models, settings, aliases and roles with rights."""
    register_four(meaning_db)
    register(meaning_db, "coder", ["code"], metadata='{"context_window": 8000, "x": [1, "é"]}')
    register(meaning_db, "given", capability_embedding=[1.0, *[0.0] * 383])
    register(meaning_db, "pair", agent_type="ensemble", metadata='{"members": ["gpt-4", "coder"]}')
    register(meaning_db, "idle")
    call(meaning_db, "ruvector_set_agent_active", name="idle", is_active=False)
    register(meaning_db, "again", quality_score=0.1)
    call(meaning_db, "ruvector_remove_agent", name="again")
    register(meaning_db, "again", quality_score=0.9)
    call(meaning_db, "tiny_dancer.set", name="expected_output_tokens", value="100")
    meaning_db.execute("INSERT INTO tiny_dancer.capability_aliases VALUES ('coding', 'code')")
    record_everything(meaning_db)
    for level in ("usage", "admin"):
        meaning_db.execute(f"SELECT tiny_dancer.grant_{level}(%s)", [new_role(level)])
    return meaning_db


@pytest.fixture(params=["plain", "custom", "custom, two jobs"])
def restored(filled, new_database, connect, tmp_path, request):
    """The database that a dump of `filled` makes."""
    source, target = url_of(filled.info.dbname), new_database()
    if request.param == "plain":
        script = run(program("pg_dump"), source)
        run(program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target), input=script)
    else:
        archive = str(tmp_path / "dump")
        run(program("pg_dump"), "-Fc", "-f", archive, source)
        restore = [program("pg_restore"), "--exit-on-error", "-d", url_of(target), archive]
        if request.param == "custom":
            run(*restore)
        else:
            # An archive does not say which data of extensions other data refers to, so jobs
            # would meet foreign keys too early; as a replica they are not checked.
            replica = {**os.environ, "PGOPTIONS": "-c session_replication_role=replica"}
            run(*restore, "-j2", env=replica)
    return connect(dbname=target)


def test_a_restored_database_is_the_same_and_goes_on(filled, restored, connect):
    assert contents(restored) == contents(filled)
    assert partitions(restored) == partitions(filled)
    assert len(partitions(filled)) >= 7
    assert all(contents(filled).values()), "a table without a row shows nothing"
    assert sequences(restored) == sequences(filled)
    assert not any(contents(restored, LEFT_TABLES).values())
    for table in LEFT_TABLES:
        filled.execute(f"DELETE FROM tiny_dancer.{table}")
    call(filled, "tiny_dancer.set", name="live_state_seconds", value="0")
    call(restored, "tiny_dancer.set", name="live_state_seconds", value="0")
    assert answers(restored) == answers(filled)
    assert route(restored, required_capabilities=["coding"]).agent_name in ("coder", "pair")
    roles = {row.level: row.role_name for row in filled.execute("TABLE tiny_dancer.granted_roles")}
    # The rights came with the dump; regrant() finds nothing to complain of.
    with connect(user=roles["usage"], dbname=restored.info.dbname) as usage:
        assert route(usage)
    assert {row[0] for row in restored.execute("SELECT tiny_dancer.regrant()")} == set(
        roles.values()
    )
    with connect(user=roles["admin"], dbname=restored.info.dbname) as admin:
        assert register(admin, "new")
        call(admin, "tiny_dancer.use_model", name="hashing-384", discard=True)
        call(admin, "tiny_dancer.use_model", name="hashing-8", provider="hashing", dimension=8)
    assert "new" in agent_names(restored)
    [(doubled,)] = restored.execute(
        "SELECT count(*) - count(DISTINCT id) FROM tiny_dancer.agents"
    ).fetchall()
    assert doubled == 0


def test_a_role_that_the_other_server_lacks_is_no_obstacle(filled, new_database, connect):
    """Without owners and rights, as one restores elsewhere; then regrant() gives them."""
    target = new_database()
    script = run(program("pg_dump"), "--no-owner", "--no-privileges", url_of(filled.info.dbname))
    run(program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target), input=script)
    restored = connect(dbname=target)
    restored.execute("INSERT INTO tiny_dancer.granted_roles VALUES ('gone for good', 'usage')")
    again = {row[0] for row in restored.execute("SELECT tiny_dancer.regrant()")}
    assert len(again) == 2
    for role in again:
        with connect(user=role, dbname=target) as session:
            assert route(session)


def test_a_dump_with_an_index_says_that_it_has_to_be_built_again(filled, new_database, connect):
    filled.execute("SELECT tiny_dancer.rebuild_indexes()")
    filled.execute("SELECT tiny_dancer.set('exact_search_limit', '0')")
    target = new_database()
    script = run(program("pg_dump"), url_of(filled.info.dbname))
    run(program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target), input=script)
    restored = connect(dbname=target)
    subjects = [row.subject for row in call(restored, "tiny_dancer.doctor") if not row.ok]
    assert subjects == ["vector index"]
    restored.execute("SELECT tiny_dancer.rebuild_indexes()")
    assert all(row.ok for row in call(restored, "tiny_dancer.doctor"))
