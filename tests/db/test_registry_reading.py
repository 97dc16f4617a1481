"""Of a large registry a backend reads only what changed, and then sees what a new one sees."""

from __future__ import annotations

import pytest
from registration import call, explain

import tiny_dancer

FLEET = 40
CHANGES = (
    "SELECT ruvector_register_agent('agent-7', 'llm', '{chat}', cost_per_1k_tokens := 0)",
    "SELECT ruvector_register_agent('agent-9', 'llm', '{mathematics}')",
    "UPDATE tiny_dancer.agents SET quality_score = 0.1 WHERE name IN ('agent-3', 'agent-4')",
    "SELECT ruvector_register_agent('newcomer', 'tool', '{search}', 0.5, quality_score := 0.9)",
    "SELECT ruvector_remove_agent('agent-11')",
    "SELECT ruvector_register_agent('agent-11', 'api', '{chat}', 2.0)",
    "SELECT ruvector_set_agent_active('agent-12', false)",
    "UPDATE tiny_dancer.agents SET name = 'renamed' WHERE name = 'agent-13'",
    "UPDATE tiny_dancer.agents SET pool = 'p' WHERE name IN ('agent-14', 'agent-15')",
    "DELETE FROM tiny_dancer.agent_embeddings e USING tiny_dancer.agents a"
    " WHERE a.id = e.agent_id AND a.name = 'agent-16'",
    "DELETE FROM tiny_dancer.agents WHERE name = 'agent-17'",
    "SELECT ruvector_register_agent('team', 'ensemble', '{chat}',"
    """ metadata := '{"members": ["agent-1", "agent-2"]}')""",
    "SELECT ruvector_set_agent_active('agent-1', false)",
    "INSERT INTO tiny_dancer.capability_aliases VALUES ('talk', 'chat')",
    "SELECT ruvector_set_agent_active('agent-1', true)",
)


@pytest.fixture
def fleet(db):
    for i in range(FLEET):
        call(
            db,
            "ruvector_register_agent",
            name=f"agent-{i}",
            agent_type="llm",
            capabilities=["chat", f"topic {i}"],
            cost_per_1k_tokens=0.001 * (i + 1),
            avg_latency_ms=100.0 + i,
            quality_score=0.5 + i / 100,
        )
    return db


def answers(session):
    rows = explain(session, required_capabilities=["talk"]).values()
    return [list(row) for row in rows]


def test_after_each_change_it_sees_what_a_new_backend_sees(fleet, connect):
    reader = connect()
    answers(reader)
    for change in CHANGES:
        with fleet.transaction(force_rollback=True):
            fleet.execute(change)
            inside = answers(fleet)
        before = answers(reader)
        assert answers(fleet) == before, change
        fleet.execute(change)
        assert answers(reader) == answers(fleet) == inside, change
        assert answers(reader) == answers(connect()), change


def test_what_a_savepoint_took_back_is_taken_back(fleet):
    before = answers(fleet)
    with fleet.transaction():
        with fleet.transaction(force_rollback=True):
            fleet.execute(CHANGES[0])
            changed = answers(fleet)
        assert changed != before
        assert answers(fleet) == before
        fleet.execute(CHANGES[2])
        assert answers(fleet) not in (before, changed)
    fleet.execute(CHANGES[0])
    assert [row for row in answers(fleet) if row not in changed]


def test_only_the_agents_that_changed_are_read(fleet):
    answers(fleet)
    fleet.execute("CREATE EXTENSION IF NOT EXISTS plpython3u")
    fleet.execute(
        f"""DO $$
        reading = GD['tiny_dancer/{tiny_dancer.__version__}']._backend.snapshots._registries
        counted = GD['agents read'] = []
        read = reading._agents
        def count(model, ids):
            counted.extend(ids.tolist())
            return read(model, ids)
        reading._agents = count
        $$ LANGUAGE plpython3u"""
    )
    fleet.execute(CHANGES[0])
    answers(fleet)
    fleet.execute(
        "CREATE FUNCTION agents_read() RETURNS bigint[] LANGUAGE plpython3u"
        " AS $$ return GD['agents read'] $$"
    )
    [(read,)] = fleet.execute("SELECT agents_read()").fetchall()
    [(changed,)] = fleet.execute("SELECT id FROM tiny_dancer.agents WHERE name = 'agent-7'")
    assert read == [changed]
