"""In a read-only transaction everything works that does not write."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import register_four

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
]
WRITING = [
    "SELECT ruvector_register_agent('new', 'llm', '{chat}')",
    "SELECT ruvector_remove_agent('gpt-4')",
    "SELECT ruvector_set_agent_active('gpt-4', false)",
    "SELECT tiny_dancer.set('alternatives', '1')",
    "SELECT tiny_dancer.use_model('hashing-8', 'hashing', 8)",
    "SELECT * FROM tiny_dancer.setup('all-MiniLM-L6-v2')",
]


@pytest.fixture
def fresh(registry, connect):
    """A session whose first call ever is in a read-only transaction."""
    register_four(registry)
    session = connect(dbname=registry.info.dbname)
    session.execute("SET default_transaction_read_only = on")
    return session


@pytest.mark.parametrize("snapshot_megabytes", ["32", "0"])
def test_reading_works(registry, fresh, snapshot_megabytes):
    registry.execute("SELECT tiny_dancer.set('snapshot_megabytes', %s)", [snapshot_megabytes])
    for statement in READING:
        assert fresh.execute(statement).fetchone() is not None, statement
    with fresh.transaction():
        for statement in READING:
            assert fresh.execute(statement).fetchone() is not None, statement


def test_writing_is_refused_as_postgresql_does(fresh):
    for statement in WRITING:
        with refused("25006"):
            fresh.execute(statement)


def test_a_refused_write_leaves_the_session_able_to_route(fresh):
    for statement in WRITING:
        with refused("25006"):
            fresh.execute(statement)
        assert fresh.execute(READING[0]).fetchone().agent_name
