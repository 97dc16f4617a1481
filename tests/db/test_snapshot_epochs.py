"""The copy of the registry that a backend keeps: never older than what it may see, never newer."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import agent_names, call, chosen, explain, register, register_four, route


@pytest.fixture
def four(db):
    register_four(db)
    assert chosen(db, optimize_for="cost") == "llama-2"
    return db


@pytest.fixture
def other(four, connect):
    session = connect()
    assert chosen(session, optimize_for="cost") == "llama-2"
    return session


def cheapest(session):
    return chosen(session, optimize_for="cost")


def kept_agents(session):
    return {name for name, row in explain(session).items() if row.kept}


CHANGES = {
    "register": "SELECT ruvector_register_agent('free', 'llm', '{chat}', 0, quality_score := 1)",
    "price": "SELECT ruvector_register_agent('gpt-4', 'llm', '{chat}', cost_per_1k_tokens := 0)",
    "remove": "SELECT ruvector_remove_agent('llama-2')",
    "deactivate": "SELECT ruvector_set_agent_active('llama-2', false)",
    "update": "UPDATE tiny_dancer.agents SET cost_per_1k_tokens = 9 WHERE name = 'llama-2'",
    "delete": "DELETE FROM tiny_dancer.agents WHERE name = 'llama-2'",
    "insert": "INSERT INTO tiny_dancer.agents (name, agent_type) VALUES ('n', 'api')",
    "truncate": "TRUNCATE tiny_dancer.agents CASCADE",
    "merge": "MERGE INTO tiny_dancer.agents a USING (VALUES ('llama-2')) v(name) ON a.name = v.name"
    " WHEN MATCHED THEN UPDATE SET active = false",
    "vectors": "DELETE FROM tiny_dancer.agent_embeddings",
    "alias": "INSERT INTO tiny_dancer.capability_aliases VALUES ('talk', 'chat')",
    "setting": "SELECT tiny_dancer.set('expected_output_tokens', '100000')",
    "settings": "INSERT INTO tiny_dancer.settings VALUES ('weight_cost', '1')",
    "model": "SELECT tiny_dancer.use_model('hashing-64', 'hashing', 64)",
}


def answers(session):
    """Everything that depends on agents, vectors, aliases, settings and the model."""
    capable = explain(session, required_capabilities=["talk"])
    return repr([list(rows.values()) for rows in (explain(session), capable)])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_elsewhere_is_seen_by_the_next_call(four, other, change):
    before = answers(other)
    four.execute(change)
    assert answers(other) != before
    assert answers(other) == answers(four)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_rolled_back_change_is_never_seen(four, other, change):
    before = answers(four)
    with four.transaction(force_rollback=True):
        four.execute(change)
        assert answers(four) != before
        if not change.startswith("TRUNCATE"):  # which lets nobody read until it is over
            assert answers(other) == before
    assert answers(four) == before
    assert answers(other) == before


def test_a_rolled_back_savepoint_is_forgotten_inside_the_transaction(four):
    before = answers(four)
    with four.transaction():
        four.execute("SAVEPOINT s")
        four.execute(CHANGES["deactivate"])
        assert cheapest(four) == "gpt-3.5"
        four.execute("ROLLBACK TO SAVEPOINT s")
        assert answers(four) == before
        four.execute(CHANGES["price"])
        assert answers(four) != before
        four.execute("ROLLBACK TO SAVEPOINT s")
        assert answers(four) == before
    assert answers(four) == before


def test_an_exception_block_that_swallows_an_error_forgets_its_changes(four):
    before = answers(four)
    four.execute("""
        DO $$ BEGIN
            PERFORM ruvector_set_agent_active('llama-2', false);
            PERFORM ruvector_route('hello');
            PERFORM 1 / 0;
        EXCEPTION WHEN division_by_zero THEN NULL; END $$""")
    assert answers(four) == before


def test_own_uncommitted_changes_are_seen_by_oneself_alone(four, other):
    with four.transaction():
        register(four, "free", cost_per_1k_tokens=0, quality_score=1, avg_latency_ms=1)
        assert chosen(four) == "free"
        assert "free" not in explain(other)
    assert chosen(other) == "free"


def test_changes_of_one_transaction_are_seen_one_after_the_other(four):
    with four.transaction():
        four.execute("SELECT ruvector_set_agent_active('llama-2', false)")
        assert cheapest(four) == "gpt-3.5"
        four.execute("SELECT ruvector_set_agent_active('gpt-3.5', false)")
        assert cheapest(four) == "claude-3"
        four.execute("SELECT ruvector_set_agent_active('llama-2', true)")
        assert cheapest(four) == "llama-2"
    assert cheapest(four) == "llama-2"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_with_one_snapshot_keeps_seeing_it(four, other, level):
    with other.transaction():
        other.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        before = answers(other)
        four.execute(CHANGES["deactivate"])
        assert answers(other) == before
        four.execute(CHANGES["model"])
        assert answers(other) == before
    assert answers(other) == answers(four) != before


def test_a_change_is_not_seen_before_its_snapshot_even_if_this_backend_knows_it(four, connect):
    """A copy made in the present must not answer for an older transaction of the same backend."""
    present = connect()
    exported = connect()
    with exported.transaction():
        exported.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        [(snapshot,)] = exported.execute("SELECT pg_export_snapshot()").fetchall()
        four.execute(CHANGES["deactivate"])
        assert cheapest(present) == "gpt-3.5"
        with present.transaction():
            present.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            present.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            assert cheapest(present) == "llama-2"
        assert cheapest(present) == "gpt-3.5"


def test_read_committed_sees_a_commit_between_two_statements(four, other):
    with other.transaction():
        assert cheapest(other) == "llama-2"
        four.execute(CHANGES["deactivate"])
        assert cheapest(other) == "gpt-3.5"


def test_a_copy_made_while_a_statement_changes_agents_is_not_kept(four):
    """The trigger moves the epoch before the rows change; a decision in between sees old rows."""
    four.execute(
        "UPDATE tiny_dancer.agents SET active = false"
        " WHERE name = (SELECT agent_name FROM ruvector_route('hello', 'cost'))"
    )
    assert cheapest(four) == "gpt-3.5"
    four.execute(
        "INSERT INTO tiny_dancer.agents (name, agent_type, cost_per_1k_tokens)"
        " SELECT 'copy of ' || agent_name, 'llm', 0 FROM ruvector_route('hello', 'cost')"
    )
    assert "copy of gpt-3.5" in explain(four)
    four.execute(
        "DELETE FROM tiny_dancer.agents a USING ruvector_route('hello', 'cost') WHERE true"
    )
    assert explain(four) == {}


def test_a_prediction_inside_a_statement_that_changes_agents_keeps_nothing_old(four):
    """It sees the statement's snapshot, and must not take it for what came after."""
    register(four, "gone", cost_per_1k_tokens=0, avg_latency_ms=1)
    assert cheapest(four) == "gone"
    four.execute(
        "SELECT ruvector_remove_agent('gone'),"
        " (SELECT count(*) FROM ruvector_predict_quality('hello' || n))"
        " FROM generate_series(1, 1) n"
    )
    assert "gone" not in explain(four)
    assert cheapest(four) == "llama-2"


def test_a_long_statement_that_predicts_keeps_nothing_old(four, other):
    """Its snapshot is older than what another session commits meanwhile."""
    four.execute("BEGIN")
    four.execute(
        "DECLARE predictions CURSOR FOR SELECT n, p.agent_name FROM generate_series(1, 9) n,"
        " LATERAL ruvector_predict_quality('hello' || n) p"
    )
    seen = four.execute("FETCH 4 FROM predictions").fetchall()
    register(other, "new", cost_per_1k_tokens=0, avg_latency_ms=1)
    seen += four.execute("FETCH ALL FROM predictions").fetchall()
    assert "new" not in {row.agent_name for row in seen}
    assert cheapest(four) == "new"
    four.execute("COMMIT")


def test_a_parallel_plan_is_not_made_of_decisions(four, connect):
    four.execute(
        "CREATE TABLE asked AS SELECT 'hello ' || n AS request FROM generate_series(1, 5000) n"
    )
    four.execute("ANALYZE asked")
    for query in (
        "SELECT (ruvector_route(request)).agent_name FROM asked WHERE request LIKE '%999'",
        "SELECT agent_name FROM ruvector_route('hello')",
        "SELECT count(*) FROM ruvector_semantic_route('hello')",
        "SELECT count(*) FROM ruvector_explain_route('hello')",
        "SELECT count(*) FROM ruvector_predict_quality('hello')",
        "SELECT tiny_dancer.registry_mark(), tiny_dancer.routes_mark()",
    ):
        session = connect()
        forced = (
            "debug_parallel_query"
            if session.info.server_version >= 160_000
            else "force_parallel_mode"
        )
        session.execute(f"SET {forced} = on")
        for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
            session.execute(f"SET {name} = 0")
        assert session.execute(query).fetchall() != []
        assert route(session).agent_name in agent_names(session)


def test_a_setting_changed_by_a_statement_that_decides_is_obeyed_afterwards(four):
    four.execute(
        "INSERT INTO tiny_dancer.settings"
        " SELECT 'alternatives', jsonb_array_length(alternatives) - 2 FROM ruvector_route('hi')"
    )
    assert len(route(four).alternatives) == 1


def test_a_function_that_changes_and_decides_sees_its_own_change(four):
    four.execute("""
        CREATE FUNCTION switch_off() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
            PERFORM ruvector_set_agent_active('llama-2', false);
            RETURN (SELECT agent_name FROM ruvector_route('hello', 'cost'));
        END $$""")
    assert four.execute("SELECT switch_off()").fetchone()[0] == "gpt-3.5"


def test_copy_is_seen(four, other):
    with four.cursor() as cursor:
        statement = "COPY tiny_dancer.agents (name, agent_type, cost_per_call) FROM STDIN"
        with cursor.copy(statement) as copy:
            copy.write_row(("copied", "api", 0))
    assert "copied" in explain(other)


def test_a_replica_role_does_not_hide_changes(four, other):
    with four.transaction():
        four.execute("SET LOCAL session_replication_role = replica")
        four.execute("UPDATE tiny_dancer.agents SET active = false WHERE name = 'llama-2'")
    assert cheapest(other) == "gpt-3.5"
    assert cheapest(four) == "gpt-3.5"


def test_discard_all_and_prepared_statements(four):
    before = answers(four)
    four.execute("PREPARE decide AS SELECT agent_name FROM ruvector_route($1, 'cost')")
    for _ in range(8):
        assert four.execute("EXECUTE decide('hi')").fetchone()[0] == "llama-2"
    four.execute(CHANGES["deactivate"])
    assert four.execute("EXECUTE decide('hi')").fetchone()[0] == "gpt-3.5"
    four.execute("DISCARD ALL")
    four.execute("SELECT ruvector_set_agent_active('llama-2', true)")
    assert answers(four) == before


def test_the_copy_is_kept_between_calls(four):
    """Otherwise every test here would pass with no copy at all, and a decision be slow."""
    chosen(four)
    query = (
        "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_xact_user_tables"
        " WHERE relname = 'agents'"
    )
    with four.transaction():
        [(before,)] = four.execute(query).fetchall()
        for _ in range(5):
            chosen(four)
        [(after,)] = four.execute(query).fetchall()
    assert after == before


def test_an_extension_created_again_does_not_meet_the_old_copy(four):
    """A pooled session may outlive the extension; epochs start anew, the copy must not survive."""
    assert cheapest(four) == "llama-2"
    for _ in range(2):
        four.execute("DROP EXTENSION tiny_dancer")
        four.execute("CREATE EXTENSION tiny_dancer")
        with refused("55000", "no embedding model is active", hint="setup"):
            route(four)
        four.execute("SELECT tiny_dancer.use_model('hashing-384', 'hashing')")
        assert agent_names(four) == []
        assert explain(four) == {}
        register(four, "new")
        assert chosen(four) == "new"


def test_a_create_extension_that_is_rolled_back_leaves_no_copy(new_database, connect):
    session = connect(dbname=new_database())
    for name in ("first", "second", "third"):
        with session.transaction(force_rollback=True):
            session.execute("CREATE EXTENSION tiny_dancer CASCADE")
            session.execute("SELECT tiny_dancer.use_model('hashing-384', 'hashing')")
            register(session, name)
            assert kept_agents(session) == {name}


def test_renaming_and_moving_the_vector_extension(four):
    four.execute("CREATE SCHEMA elsewhere")
    before = answers(four)
    four.execute("ALTER EXTENSION vector SET SCHEMA elsewhere")
    assert answers(four) == before
    register(four, "after", cost_per_1k_tokens=0, quality_score=1)
    assert chosen(four) == "after"
    call(four, "ruvector_find_agents_by_capability", capability="chat")
