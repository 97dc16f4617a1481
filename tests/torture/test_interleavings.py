"""Three sessions step by step in every order: each sees in its cache what it sees in the tables.

One step is made at a time, by one session: of a transaction, of the registry, of its role, of the
policies. After each, every session is asked what the tables say, as plain SQL under its own role,
snapshot and settings, and what the cached functions say. A step that would wait is given up.
"""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus
from registration import register
from routes import create

STEPS = 600
SESSIONS = 3
NAMES = [f"agent-{number}" for number in range(6)]
ROUTES = [f"route-{number}" for number in range(4)]
TENANTS = ["red", "blue", "none"]
# Each pair: what the cache answers with, and what the tables hold.
VIEWS = {
    "agents": (
        "SELECT agent_name, round(estimated_cost::numeric, 6)::float8"
        " FROM ruvector_explain_route('hello') ORDER BY 1",
        "SELECT name, cost_per_call FROM tiny_dancer.agents WHERE removed_at IS NULL ORDER BY 1",
    ),
    "routes": (
        "SELECT route_name, target_agent FROM ruvector_semantic_route('hello', 100) ORDER BY 1",
        "SELECT name, target_agent FROM tiny_dancer.routes r WHERE active AND EXISTS"
        " (SELECT FROM tiny_dancer.route_utterances u WHERE u.route_id = r.id) ORDER BY 1",
    ),
    "settings": (
        "SELECT value FROM tiny_dancer.list_settings() WHERE name = 'alternatives'",
        "SELECT coalesce((SELECT value FROM tiny_dancer.settings WHERE name = 'alternatives'),"
        " '3')",
    ),
}
# A step that must wait for another session, or comes too late for its snapshot.
GIVEN_UP = {"55P03", "40001", "40P01"}


def begin(session, dice):
    if session.info.transaction_status == TransactionStatus.IDLE:
        level = dice.choice(["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ"])
        session.execute(f"BEGIN ISOLATION LEVEL {level}")


def commit(session, dice):
    session.execute("COMMIT")


def roll_back(session, dice):
    session.execute("ROLLBACK")


def savepoint(session, dice):
    begin(session, dice)
    session.execute("SAVEPOINT here")


def roll_back_to_savepoint(session, dice):
    savepoint(session, dice)
    step = dice.choice([put_agent, remove_agent, put_route, set_setting])
    step(session, dice)
    session.execute("ROLLBACK TO here")


def put_agent(session, dice):
    register(session, dice.choice(NAMES), cost_per_call=dice.randrange(1, 100) / 1000)
    tenant = dice.choice(TENANTS)
    session.execute(
        "UPDATE tiny_dancer.agents SET pool = %s WHERE name = %s", (tenant, dice.choice(NAMES))
    )


def remove_agent(session, dice):
    session.execute(
        "SELECT ruvector_remove_agent(name) FROM tiny_dancer.agents"
        " WHERE name = %s AND removed_at IS NULL",
        (dice.choice(NAMES),),
    )


def put_route(session, dice):
    create(session, dice.choice(ROUTES), dice.choice(NAMES), "hello")


def drop_route(session, dice):
    session.execute(
        "SELECT ruvector_drop_route(name) FROM tiny_dancer.routes WHERE name = %s",
        (dice.choice(ROUTES),),
    )


def set_setting(session, dice):
    value = dice.choice(["1", "2", "5", None])
    session.execute("SELECT tiny_dancer.set('alternatives', %s)", (value,))


def change_role(session, dice):
    role = session.execute("SELECT current_setting('test.reader')").fetchone()[0]
    statement = dice.choice(["SET ROLE {}", "SET LOCAL ROLE {}", "RESET ROLE"])
    session.execute(sql.SQL(statement).format(sql.Identifier(role)))


def change_tenant(session, dice):
    is_local = dice.random() < 0.3
    session.execute("SELECT set_config('app.tenant', %s, %s)", (dice.choice(TENANTS), is_local))


def switch_policies(session, dice):
    table = dice.choice(["agents", "routes", "settings"])
    switch = dice.choice(["ENABLE", "DISABLE"])
    session.execute(f"ALTER TABLE tiny_dancer.{table} {switch} ROW LEVEL SECURITY")


def change_policy(session, dice):
    rule = dice.choice(["pool = current_setting('app.tenant', true)", "name < 'agent-3'", "true"])
    session.execute("ALTER POLICY seen ON tiny_dancer.agents USING (" + rule + ")")


def discard_all(session, dice):
    reader = session.execute("SELECT current_setting('test.reader')").fetchone()[0]
    if session.info.transaction_status == TransactionStatus.IDLE:
        session.execute("DISCARD ALL")
        prepare(session, reader)


def execute_prepared(session, dice):
    session.execute("EXECUTE decide")


# How often each kind of step is made.
WEIGHTS = {
    8: (put_agent,),
    4: (commit, put_route, change_role, change_tenant),
    3: (begin, roll_back, roll_back_to_savepoint, remove_agent, switch_policies),
    2: (drop_route, set_setting, change_policy, execute_prepared),
    1: (savepoint, discard_all),
}
STEPPING = [step for weight, steps in WEIGHTS.items() for step in steps for _ in range(weight)]


def prepare(session, reader):
    session.execute("SELECT set_config('test.reader', %s, false)", [reader])
    session.execute("SET lock_timeout = '20ms'")
    session.execute("SET client_min_messages = error")
    session.execute("PREPARE decide AS SELECT count(*) FROM ruvector_explain_route('hello')")


@pytest.fixture
def stage(new_role, db, connect):
    """Sessions of an administrator, and what its policies show to a role that only uses."""
    reader = new_role("reader")
    db.execute("SELECT tiny_dancer.grant_usage(%s)", [reader])
    db.execute("CREATE POLICY seen ON tiny_dancer.agents USING (true)")
    db.execute("CREATE POLICY seen ON tiny_dancer.routes USING (name < 'route-2')")
    db.execute("CREATE POLICY seen ON tiny_dancer.settings USING (false)")
    register(db, "always", cost_per_call=0.5)
    # Statements are prepared here by SQL alone: the driver would take them back with its own.
    sessions = [connect(prepare_threshold=None) for _ in range(SESSIONS)]
    for session in sessions:
        prepare(session, reader)
    return sessions


def step(session, action, dice):
    """Make one step; return the SQLSTATE it was given up with, None where it was made."""
    try:
        action(session, dice)
    except psycopg.errors.InsufficientPrivilege:
        undo(session)
        return "42501"
    except psycopg.Error as error:
        if error.sqlstate not in GIVEN_UP:
            raise
        undo(session)
        return error.sqlstate
    return None


def undo(session):
    if session.info.transaction_status == TransactionStatus.INERROR:
        session.execute("ROLLBACK")


def agrees(session, cached, stored):
    """Whether both queries answer the same; None where a table is locked by another session."""
    try:
        return session.execute(cached).fetchall() == session.execute(stored).fetchall()
    except psycopg.errors.LockNotAvailable:
        undo(session)
        return None


def test_the_cache_agrees_with_the_tables_after_every_step(stage, dice, figure):
    history, made, compared = [], Counter(), Counter()
    for _ in range(STEPS):
        place = dice.randrange(SESSIONS)
        action = dice.choice(STEPPING)
        outcome = step(stage[place], action, dice) or "made"
        history.append((place, action.__name__, outcome))
        made[outcome] += 1
        for number, session in enumerate(stage):
            for what, views in VIEWS.items():
                agreed = agrees(session, *views)
                assert agreed is not False, f"{what} of session {number} after {history[-8:]}"
                compared[agreed] += 1
    for outcome, times in made.most_common():
        figure(f"steps: {outcome}", times)
    figure("comparisons of cache and tables", compared[True])
    assert made["made"] > STEPS / 2
    assert compared[True] > STEPS
