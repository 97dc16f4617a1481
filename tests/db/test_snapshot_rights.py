"""Rights are checked in every call, also where the answer is in a copy that another role made."""

from __future__ import annotations

import pytest
from psycopg import sql
from refusal import refused
from registration import call, chosen, explain, register, register_four, route

CACHED_TABLES = ["agents", "agent_embeddings", "capability_aliases", "models", "settings", "epochs"]


@pytest.fixture
def reader_name(new_role):
    return new_role("reader")


@pytest.fixture
def four(reader_name, db):
    register_four(db)
    execute(db, "SELECT tiny_dancer.grant_usage({})", sql.Literal(reader_name))
    chosen(db)
    return db


@pytest.fixture
def reader(four, reader_name, connect):
    session = connect(user=reader_name)
    assert chosen(session, optimize_for="cost") == "llama-2"
    return session


def execute(session, statement, *parts):
    return session.execute(sql.SQL(statement).format(*parts))


def names(session):
    return set(explain(session))


def test_a_stranger_may_not_even_call(four, new_role):
    execute(four, "SET ROLE {}", sql.Identifier(new_role("stranger")))
    with refused("42501"):
        route(four)
    with refused("42501"):
        call(four, "ruvector_list_agents")


@pytest.mark.parametrize("table", CACHED_TABLES)
def test_a_role_that_may_not_read_a_table_gets_nothing_from_the_copy(four, new_role, table):
    """The right to execute alone, in a session whose owner has everything cached."""
    role = sql.Identifier(new_role("half"))
    execute(four, "SELECT tiny_dancer.grant_usage({})", sql.Literal(role._obj[0]))
    execute(four, "REVOKE SELECT ON tiny_dancer.{} FROM {}", sql.Identifier(table), role)
    execute(four, "SET ROLE {}", role)
    for function in ("ruvector_route", "ruvector_explain_route"):
        with refused("42501", f"permission denied for table {table}"):
            call(four, function, request="hello")
    with refused("42501", f"permission denied for table {table}"):
        call(four, "ruvector_find_agents_by_capability", capability="chat")
    four.execute("RESET ROLE")
    assert chosen(four, optimize_for="cost") == "llama-2"


def test_set_role_back_and_forth(four, reader_name):
    stranger = sql.Identifier(reader_name)
    for _ in range(3):
        execute(four, "SET ROLE {}", stranger)
        assert chosen(four, optimize_for="cost") == "llama-2"
        four.execute("RESET ROLE")
        assert chosen(four, optimize_for="cost") == "llama-2"


@pytest.mark.parametrize("table", CACHED_TABLES)
def test_a_revoke_takes_effect_in_a_session_that_has_a_copy(four, reader, reader_name, table):
    parts = sql.Identifier(table), sql.Identifier(reader_name)
    execute(four, "REVOKE SELECT ON tiny_dancer.{} FROM {}", *parts)
    with refused("42501", f"permission denied for table {table}"):
        route(reader)
    execute(four, "GRANT SELECT ON tiny_dancer.{} TO {}", *parts)
    assert chosen(reader, optimize_for="cost") == "llama-2"


def test_some_columns_are_not_enough(four, reader, reader_name):
    role = sql.Identifier(reader_name)
    execute(four, "REVOKE SELECT ON tiny_dancer.agents FROM {}", role)
    execute(four, "GRANT SELECT (id, name, active, removed_at) ON tiny_dancer.agents TO {}", role)
    assert reader.execute("SELECT count(name) FROM tiny_dancer.agents").fetchone()[0] == 4
    with refused("42501", "permission denied for table agents"):
        route(reader)


def test_all_columns_one_by_one_are_enough(four, reader, reader_name):
    role = sql.Identifier(reader_name)
    [(columns,)] = four.execute(
        "SELECT string_agg(attname, ', ') FROM pg_attribute"
        " WHERE attrelid = 'tiny_dancer.agents'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    execute(four, "REVOKE SELECT ON tiny_dancer.agents FROM {}", role)
    with refused("42501"):
        route(reader)
    execute(four, "GRANT SELECT ({}) ON tiny_dancer.agents TO {}", sql.SQL(columns), role)
    assert chosen(reader, optimize_for="cost") == "llama-2"


def enable_policy(session, using, table="agents"):
    session.execute(f"ALTER TABLE tiny_dancer.{table} ENABLE ROW LEVEL SECURITY")
    session.execute(f"CREATE POLICY seen ON tiny_dancer.{table} USING ({using})")


def test_row_level_security_that_comes_later_hides_rows(four, reader):
    assert names(reader) == {"gpt-4", "claude-3", "gpt-3.5", "llama-2"}
    four.execute("ALTER TABLE tiny_dancer.agents ENABLE ROW LEVEL SECURITY")
    assert names(reader) == set()
    with refused("TD001", detail="No agent is registered"):
        route(reader)
    four.execute("CREATE POLICY seen ON tiny_dancer.agents USING (name LIKE 'g%')")
    assert names(reader) == {"gpt-4", "gpt-3.5"}
    assert chosen(reader, optimize_for="cost") == "gpt-3.5"
    assert {row.name for row in call(reader, "ruvector_list_agents")} == {"gpt-4", "gpt-3.5"}
    found = call(reader, "ruvector_find_agents_by_capability", capability="chat")
    assert {row.name for row in found} == {"gpt-4", "gpt-3.5"}
    assert names(four) == {"gpt-4", "claude-3", "gpt-3.5", "llama-2"}
    four.execute("DROP POLICY seen ON tiny_dancer.agents")
    assert names(reader) == set()
    four.execute("ALTER TABLE tiny_dancer.agents DISABLE ROW LEVEL SECURITY")
    assert names(reader) == {"gpt-4", "claude-3", "gpt-3.5", "llama-2"}


def test_roles_of_one_session_see_their_own_rows(four, reader_name):
    enable_policy(four, "name LIKE 'g%'")
    for _ in range(2):
        execute(four, "SET ROLE {}", sql.Identifier(reader_name))
        assert names(four) == {"gpt-4", "gpt-3.5"}
        four.execute("RESET ROLE")
        assert len(names(four)) == 4


def test_a_policy_on_a_session_setting_is_judged_in_every_call(four, reader):
    for name, tenant in (("ours", "red"), ("theirs", "blue")):
        register(four, name, metadata=f'{{"tenant": "{tenant}"}}', cost_per_1k_tokens=0)
    enable_policy(four, "metadata ->> 'tenant' = current_setting('app.tenant', true)")
    assert names(reader) == set()
    for tenant, seen in (("red", "ours"), ("blue", "theirs"), ("red", "ours")):
        reader.execute("SELECT set_config('app.tenant', %s, false)", [tenant])
        assert names(reader) == {seen}
        assert chosen(reader) == seen
    reader.execute("SELECT set_config('app.tenant', 'green', false)")
    assert names(reader) == set()


def test_forced_row_level_security_holds_for_the_owner(four, new_role):
    owner = sql.Identifier(new_role("owner"))
    execute(four, "SELECT tiny_dancer.grant_admin({})", sql.Literal(owner._obj[0]))
    enable_policy(four, "name = 'gpt-4'")
    execute(four, "ALTER TABLE tiny_dancer.agents OWNER TO {}", owner)
    execute(four, "SET ROLE {}", owner)
    assert len(names(four)) == 4
    four.execute("RESET ROLE")
    four.execute("ALTER TABLE tiny_dancer.agents FORCE ROW LEVEL SECURITY")
    execute(four, "SET ROLE {}", owner)
    assert names(four) == {"gpt-4"}
    four.execute("RESET ROLE")


@pytest.mark.parametrize("table", ["agent_embeddings", "capability_aliases", "settings"])
def test_policies_on_the_other_tables_hold_too(four, reader, table):
    four.execute("INSERT INTO tiny_dancer.capability_aliases VALUES ('talk', 'chat')")
    four.execute("SELECT tiny_dancer.set('alternatives', '1')")
    assert len(route(reader, required_capabilities=["talk"]).alternatives) == 1
    enable_policy(four, "false", table)
    if table == "agent_embeddings":
        assert route(reader).similarity is None
    elif table == "settings":
        assert len(route(reader).alternatives) == 3
    else:
        with refused("TD001", detail="required_capabilities"):
            route(reader, required_capabilities=["talk"])
    assert len(route(four, required_capabilities=["talk"]).alternatives) == 1
    assert route(four).similarity is not None


def test_a_policy_that_hides_the_models_says_that_none_is_active(four, reader):
    enable_policy(four, "false", "models")
    with refused("55000", "no embedding model is active"):
        route(reader)


def test_row_security_off_refuses_instead_of_answering(four, reader):
    enable_policy(four, "name = 'gpt-4'")
    reader.execute("SET row_security = off")
    with refused("42501", "row-level security"):
        route(reader)


@pytest.mark.parametrize(("table", "using"), [("usage", "cost = 0.1"), ("leases", "false")])
def test_a_policy_on_live_state_is_judged_in_every_call(four, reader, table, using):
    """What was read a moment ago, for another tenant or before the policy, is not shown."""
    call(four, "tiny_dancer.set", name="live_state_seconds", value="60")
    four.execute("UPDATE tiny_dancer.agents SET max_concurrent = 1")
    call(four, "ruvector_acquire", pool_or_agent="gpt-4")
    for cost in [0.1] * 4 + [0.2] * 5:
        call(four, "ruvector_record_usage", agent="llama-2", actual_cost=cost, success=True)

    def shown():
        rows = explain(reader)
        basis = route(reader, optimize_for="cost").confidence_basis
        return {basis, "busy" if rows["gpt-4"].removed_by else "free"}

    assert shown() == {"prior and 9 outcomes", "busy"}
    enable_policy(four, f"{using} AND current_setting('app.tenant', true) = 'red'", table)
    for tenant, basis in (("red", "prior and 4 outcomes"), ("blue", "prior")):
        reader.execute("SELECT set_config('app.tenant', %s, false)", [tenant])
        hidden = {"usage": {basis, "busy"}, "leases": {"prior and 9 outcomes", "free"}}
        assert shown() == hidden[table]


def mark(session):
    return session.execute("SELECT tiny_dancer.registry_mark() AS mark").fetchone().mark


def route_by(session, registry_mark):
    """Call by hand what ruvector_route calls, with whatever mark."""
    return session.execute(
        "SELECT * FROM tiny_dancer.route(%s, 'Say hello', 'cost', NULL, NULL, NULL, NULL, NULL,"
        " NULL, NULL, NULL, NULL, NULL, NULL, false, false)",
        [registry_mark],
    ).fetchone()


@pytest.mark.parametrize("table", CACHED_TABLES)
def test_a_right_mark_gives_nobody_a_copy_that_he_may_not_read(four, new_role, table):
    name = new_role("half")
    execute(four, "SELECT tiny_dancer.grant_usage({})", sql.Literal(name))
    execute(four, "REVOKE SELECT ON tiny_dancer.{} FROM {}", *map(sql.Identifier, (table, name)))
    known = mark(four)
    assert route_by(four, known).agent_name == "llama-2"
    execute(four, "SET ROLE {}", sql.Identifier(name))
    with refused("42501", f"permission denied for table {table}"):
        route_by(four, known)
    four.execute("RESET ROLE")
    assert route_by(four, known).agent_name == "llama-2"


def test_a_right_mark_does_not_lift_row_level_security(four, reader_name):
    enable_policy(four, "name LIKE 'g%'")
    known = mark(four)
    for _ in range(2):
        execute(four, "SET ROLE {}", sql.Identifier(reader_name))
        assert mark(four) is None
        assert route_by(four, known).agent_name == "gpt-3.5"
        four.execute("RESET ROLE")
        assert route_by(four, known).agent_name == "llama-2"


@pytest.mark.parametrize("wrong", [None, 0, -1, 2**63 - 1])
def test_a_wrong_mark_neither_helps_nor_stays(four, wrong):
    assert route_by(four, wrong).agent_name == "llama-2"
    four.execute("SELECT ruvector_remove_agent('llama-2')")
    assert route_by(four, wrong).agent_name == "gpt-3.5"
    assert chosen(four, optimize_for="cost") == "gpt-3.5"


def test_a_mark_that_is_yet_to_come_is_not_believed(four):
    """Epochs are numbers of a sequence, so the next mark can be worked out."""
    with four.transaction(force_rollback=True):
        four.execute("SELECT ruvector_remove_agent('llama-2')")
        four.execute("SELECT ruvector_remove_agent('gpt-3.5')")
        later = mark(four)
    assert route_by(four, later).agent_name == "llama-2"
    four.execute("SELECT ruvector_remove_agent('llama-2')")
    assert chosen(four, optimize_for="cost") == "gpt-3.5"
    assert route_by(four, later).agent_name == "gpt-3.5"


MATCH_BY = (
    "SELECT route_name"
    " FROM unnest(tiny_dancer.semantic_route(%s, 'Say hello', 9, NULL, NULL, false))"
)


@pytest.fixture
def greeting(four):
    for name in ("greeting", "parting"):
        call(
            four, "ruvector_create_route", name=name, description="Say hello", target_agent="gpt-4"
        )
    return four


def routes_mark(session):
    return session.execute("SELECT tiny_dancer.routes_mark() AS mark").fetchone().mark


def matched_by(session, mark):
    return [row.route_name for row in session.execute(MATCH_BY, [mark]).fetchall()]


@pytest.mark.parametrize("table", ["routes", "route_utterances", "agents", "models", "epochs"])
def test_a_right_mark_gives_nobody_routes_that_he_may_not_read(greeting, new_role, table):
    name = new_role("half")
    execute(greeting, "SELECT tiny_dancer.grant_usage({})", sql.Literal(name))
    execute(
        greeting, "REVOKE SELECT ON tiny_dancer.{} FROM {}", *map(sql.Identifier, (table, name))
    )
    known = routes_mark(greeting)
    assert matched_by(greeting, known) == ["greeting", "parting"]
    execute(greeting, "SET ROLE {}", sql.Identifier(name))
    with refused("42501", f"permission denied for table {table}"):
        matched_by(greeting, known)
    greeting.execute("RESET ROLE")
    assert matched_by(greeting, known) == ["greeting", "parting"]


def test_a_right_mark_shows_no_routes_that_row_level_security_hides(greeting, reader_name):
    enable_policy(greeting, "name = 'parting'", "routes")
    known = routes_mark(greeting)
    for _ in range(2):
        execute(greeting, "SET ROLE {}", sql.Identifier(reader_name))
        assert routes_mark(greeting) is None
        assert matched_by(greeting, known) == ["parting"]
        greeting.execute("RESET ROLE")
        assert matched_by(greeting, known) == ["greeting", "parting"]


@pytest.mark.parametrize("wrong", [None, 0, 2**63 - 1])
def test_a_wrong_mark_keeps_no_routes(greeting, wrong):
    assert matched_by(greeting, wrong) == ["greeting", "parting"]
    greeting.execute("DELETE FROM tiny_dancer.routes WHERE name = 'greeting'")
    assert matched_by(greeting, wrong) == ["parting"]
    assert matched_by(greeting, routes_mark(greeting)) == ["parting"]
