"""What a role with usage rights can do with slots and breakers, and what it can not."""

from __future__ import annotations

import pytest
from outcomes import acquire, fail, release, renew, settings, status
from psycopg import sql
from refusal import refused
from registration import call, register


@pytest.fixture
def roles(new_role, db, connect):
    """Sessions of two roles with usage rights and of an administrator."""
    names = [new_role(name) for name in ("one", "two", "admin")]
    for name in names[:2]:
        db.execute("SELECT tiny_dancer.grant_usage(%s)", (name,))
    db.execute("SELECT tiny_dancer.grant_admin(%s)", (names[2],))
    register(db, "a", pool="p", max_concurrent=2)
    return [connect(user=name) for name in names]


def test_usage_rights_are_enough_for_leases(roles):
    one, _, _ = roles
    lease = acquire(one, "p").lease
    renew(one, lease)
    assert status(one, "a").in_flight == 1
    assert len(call(one, "tiny_dancer.agent_health")) == 1
    assert release(one, lease) is True
    with refused("42704"):
        acquire(one, "nobody")


def test_a_lease_is_not_shown_to_those_who_do_not_hold_it(roles):
    one, two, admin = roles
    lease = acquire(one, "a").lease
    for query in ("id", "*", "count(id)"):
        with refused("42501"):
            two.execute(f"SELECT {query} FROM tiny_dancer.leases")
    # Who has the uuid holds the lease: it can be handed on.
    assert release(two, lease) is True
    lease = acquire(one, "a").lease
    [shown] = admin.execute("SELECT id FROM tiny_dancer.leases").fetchall()
    assert shown.id == lease
    assert release(admin, shown.id) is True


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tiny_dancer.leases VALUES (gen_random_uuid(), 1, now(), now() + '1 h', false)",
        "UPDATE tiny_dancer.leases SET expires_at = now()",
        "DELETE FROM tiny_dancer.leases",
        "TRUNCATE tiny_dancer.leases",
        "UPDATE tiny_dancer.agent_slots SET leases_taken = 0",
        "DELETE FROM tiny_dancer.agent_slots",
        "SELECT * FROM tiny_dancer.agent_slots FOR UPDATE",
        "INSERT INTO tiny_dancer.breaker_events (agent_id, happened_at, event)"
        " VALUES (1, now(), 'closed')",
        "DELETE FROM tiny_dancer.breaker_events",
        "SELECT tiny_dancer.reset_breaker('a')",
        "SELECT tiny_dancer.forget_pool_history()",
        "SELECT tiny_dancer.forget_breaker_events(1, now())",
        "SELECT tiny_dancer.write_breaker_state(1, now(), tiny_dancer.breaker_rules())",
        "SELECT ruvector_set_capability_alias('x', 'y')",
        "SELECT ruvector_drop_capability_alias('x')",
    ],
)
def test_usage_rights_change_nothing_else(roles, statement):
    one = roles[0]
    acquire(one, "a")
    with refused("42501"):
        one.execute(statement)


def test_taking_a_slot_directly_keeps_the_limits(roles):
    one, _, _ = roles
    for _ in range(2):
        acquire(one, "a")
    row = one.execute("SELECT * FROM tiny_dancer.take_slot(1, '1 minute', true)").fetchone()
    assert (row.lease, row.refusal) == (None, "is full (2 of 2)")
    row = one.execute("SELECT * FROM tiny_dancer.take_slot(99, '1 minute', true)").fetchone()
    assert (row.lease, row.refusal) == (None, "is not registered any more")
    with refused("22023"):
        one.execute("SELECT * FROM tiny_dancer.take_slot(1, '1 year', true)")


def test_the_names_of_another_schema_mislead_nobody(roles, db):
    one = roles[0]
    user = one.info.user
    db.execute(sql.SQL("CREATE SCHEMA {0} AUTHORIZATION {0}").format(sql.Identifier(user)))
    one.execute(
        "CREATE FUNCTION clock_timestamp() RETURNS timestamptz"
        " LANGUAGE sql AS 'SELECT NULL::timestamptz'"
    )
    one.execute("CREATE TEMP TABLE leases (agent_id bigint)")
    one.execute('SET search_path = "$user", pg_temp, public, pg_catalog')
    lease = acquire(one, "a").lease
    assert release(one, lease) is True


def test_an_administrator_resets_a_breaker(roles, db):
    *_, admin = roles
    settings(admin, breaker_failures="1")
    fail(db, "a")
    assert call(admin, "tiny_dancer.reset_breaker", agent="a")[0][0] is True
    assert status(admin, "a").breaker == "closed"
    call(admin, "tiny_dancer.forget_pool_history")


def test_agents_hidden_by_row_level_security_are_not_found(roles, db):
    one = roles[0]
    db.execute("ALTER TABLE tiny_dancer.agents ENABLE ROW LEVEL SECURITY")
    with refused("42704"):
        acquire(one, "a")
    assert call(one, "ruvector_pool_status") == []
    fail(db, "a")
    assert call(one, "tiny_dancer.agent_health") == []


def test_a_role_without_rights_has_none(new_role, db, connect):
    nobody = connect(user=new_role("nobody"))
    for statement in (
        "SELECT ruvector_acquire('a')",
        "SELECT ruvector_release(gen_random_uuid())",
        "SELECT ruvector_renew(gen_random_uuid())",
        "SELECT * FROM ruvector_pool_status()",
    ):
        with refused("42501"):
            nobody.execute(statement)
