"""In a read-only transaction everything works that does not write."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import register_four
from routes import create
from training import train_quickly

READING = [
    "SELECT * FROM ruvector_route('hello')",
    "SELECT * FROM ruvector_route('hello', embedding := array_fill(1::real, ARRAY[384]))",
    "SELECT * FROM ruvector_explain_route('hello')",
    "SELECT * FROM ruvector_list_agents()",
    "SELECT ruvector_get_agent('gpt-4')",
    "SELECT * FROM ruvector_find_agents_by_capability('chat')",
    "SELECT ruvector_embed('hello')",
    "SELECT * FROM ruvector_embed_batch('{a,b}')",
    "SELECT * FROM tiny_dancer.doctor()",
    "SELECT * FROM tiny_dancer.warmup()",
    "SELECT * FROM tiny_dancer.list_settings()",
    "SELECT * FROM tiny_dancer.setup()",
    "SELECT * FROM ruvector_route('hello', use_semantic_routes := true)",
    "SELECT * FROM ruvector_route_multi('hello', strategy := 'pipeline')",
    "SELECT * FROM ruvector_list_routes()",
    "SELECT * FROM ruvector_semantic_route('hello')",
    "SELECT ruvector_classify_request('hello')",
    "SELECT * FROM ruvector_classify_capabilities('hello', threshold := 0)",
    "SELECT * FROM ruvector_budget_status()",
    "SELECT ruvector_check_budget('gpt-4', 0.1)",
    "SELECT * FROM ruvector_optimize_budget(100)",
    "SELECT * FROM ruvector_routing_analytics()",
    "SELECT * FROM ruvector_routing_stats()",
    "SELECT * FROM ruvector_pool_status()",
    "SELECT * FROM ruvector_list_capability_aliases()",
]
# Needs a copy of the registry.
READING_A_COPY = ["SELECT * FROM ruvector_batch_route('{a,b}', 'total_cost')"]
# What records says what to do instead.
RECORDING = [
    "SELECT * FROM ruvector_route('hello', record := true)",
    "SELECT * FROM ruvector_semantic_route('hello', consume := true)",
    "SELECT ruvector_record_usage('gpt-4', 1, true)",
    "SELECT ruvector_record_usage('gpt-4', 1, true, 100, request := 'hello')",
    "SELECT ruvector_record_feedback(1::bigint, 0.5)",
    "SELECT ruvector_record_feedback(gen_random_uuid(), 0.5)",
    "SELECT ruvector_reserve_budget('gpt-4', 0.1)",
    "SELECT ruvector_settle_budget(gen_random_uuid(), 0.1)",
    "SELECT ruvector_release_budget(gen_random_uuid())",
    "SELECT ruvector_acquire('gpt-4')",
    "SELECT ruvector_renew(gen_random_uuid())",
    "SELECT ruvector_release(gen_random_uuid())",
    "SELECT * FROM ruvector_optimize_budget(100, apply := true)",
    "SELECT * FROM tiny_dancer.maintain()",
    "SELECT ruvector_set_budget(1, 'day')",
    "SELECT * FROM ruvector_train_classifier($$SELECT 'w' || n, 'c' || n % 2"
    " FROM generate_series(1, 40) n$$)",
]
WRITING = [
    "SELECT ruvector_register_agent('new', 'llm', '{chat}')",
    "SELECT ruvector_remove_agent('gpt-4')",
    "SELECT ruvector_set_agent_active('gpt-4', false)",
    "SELECT tiny_dancer.set('alternatives', '1')",
    "SELECT tiny_dancer.use_model('hashing-8', 'hashing', 8)",
    "SELECT * FROM tiny_dancer.setup('all-MiniLM-L6-v2')",
    "SELECT ruvector_create_route('new', 'hello', 'gpt-4')",
    "SELECT ruvector_drop_route('greeting')",
    "SELECT ruvector_set_route_active('greeting', false)",
    "SELECT ruvector_set_capability_alias('gab', 'chat')",
    "SELECT tiny_dancer.reset_breaker('gpt-4')",
    "SELECT tiny_dancer.forget_pool_history()",
]


@pytest.fixture
def fresh(db, connect):
    """A session whose first call ever is in a read-only transaction."""
    register_four(db)
    create(db, "greeting", "gpt-4", "hello")
    db.execute("SELECT ruvector_set_capability_alias('speak', 'chat')")
    db.execute("SELECT ruvector_set_budget(10, 'day')")
    db.execute("SELECT ruvector_record_usage('gpt-4', 1, true)")
    train_quickly(db)
    session = connect()
    session.execute("SET default_transaction_read_only = on")
    return session


@pytest.mark.parametrize("snapshot_megabytes", ["32", "0"])
def test_reading_works(db, fresh, snapshot_megabytes):
    db.execute("SELECT tiny_dancer.set('snapshot_megabytes', %s)", [snapshot_megabytes])
    reading = READING + (READING_A_COPY if snapshot_megabytes != "0" else [])
    for statement in reading:
        assert fresh.execute(statement).fetchone() is not None, statement
    with fresh.transaction():
        for statement in reading:
            assert fresh.execute(statement).fetchone() is not None, statement


def test_writing_is_refused_as_postgresql_does(fresh):
    for statement in WRITING:
        with refused("25006"):
            fresh.execute(statement)


def test_what_records_says_what_to_do_instead(fresh):
    for statement in RECORDING:
        with refused("25006", hint="transaction|primary"):
            fresh.execute(statement)


def test_a_refused_write_leaves_the_session_able_to_route(fresh):
    for statement in WRITING + RECORDING:
        with refused("25006"):
            fresh.execute(statement)
        assert fresh.execute(READING[0]).fetchone().agent_name
