"""Two levels of rights: what each may do, tried out."""

from __future__ import annotations

import pytest
from psycopg import sql
from refusal import refused
from registration import register, register_four
from routes import create
from training import train_quickly

BOTH, ADMIN, NOBODY = {"usage", "admin"}, {"admin"}, set()

ACTIONS = {
    "SELECT * FROM ruvector_route('hello')": BOTH,
    "SELECT * FROM ruvector_explain_route('hello')": BOTH,
    "SELECT * FROM ruvector_list_agents()": BOTH,
    "SELECT ruvector_get_agent('gpt-4')": BOTH,
    "SELECT * FROM ruvector_find_agents_by_capability('chat')": BOTH,
    "SELECT ruvector_embed('hello')": BOTH,
    "SELECT * FROM ruvector_embed_batch('{a,b}')": BOTH,
    "SELECT * FROM tiny_dancer.doctor()": BOTH,
    "SELECT * FROM tiny_dancer.warmup()": BOTH,
    "SELECT * FROM tiny_dancer.list_settings()": BOTH,
    "SELECT * FROM tiny_dancer.agents": BOTH,
    "SELECT * FROM tiny_dancer.epochs": BOTH,
    "SELECT * FROM ruvector_route_fits()": BOTH,
    "SELECT * FROM ruvector_route('hello', record := true)": BOTH,
    "SELECT * FROM ruvector_route('hello', use_semantic_routes := true)": BOTH,
    "SELECT * FROM ruvector_route_multi('hello', strategy := 'pipeline')": BOTH,
    "SELECT * FROM ruvector_batch_route('{a,b}', 'total_cost')": BOTH,
    "SELECT * FROM ruvector_list_routes()": BOTH,
    "SELECT * FROM ruvector_semantic_route('hello', consume := true)": BOTH,
    "SELECT ruvector_classify_request('hello')": BOTH,
    "SELECT * FROM ruvector_classify_capabilities('hello', threshold := 0)": BOTH,
    "SELECT ruvector_record_usage('gpt-4', 1, true)": BOTH,
    "SELECT ruvector_record_usage('gpt-4', 1, false, request := 'hello', tags := '{t}',"
    " idempotency_key := 'k')": BOTH,
    "SELECT ruvector_record_feedback(1::bigint, 0.5)": BOTH,
    "SELECT ruvector_record_feedback((SELECT decision_id FROM"
    " ruvector_route('hello', record := true)), 0.5)": BOTH,
    "SELECT * FROM ruvector_budget_status()": BOTH,
    "SELECT ruvector_check_budget('gpt-4', 0.1)": BOTH,
    "SELECT ruvector_settle_budget("
    "ruvector_reserve_budget('gpt-4', 0.1, tags := '{t}'), 0.2)": BOTH,
    "SELECT ruvector_release_budget(ruvector_reserve_budget('gpt-4', 0.1))": BOTH,
    "SELECT * FROM ruvector_optimize_budget(100)": BOTH,
    "SELECT * FROM ruvector_routing_analytics()": BOTH,
    "SELECT * FROM ruvector_routing_stats()": BOTH,
    "SELECT ruvector_renew((ruvector_acquire('gpt-4')).lease)": BOTH,
    "SELECT ruvector_release((ruvector_acquire('gpt-4')).lease)": BOTH,
    "SELECT * FROM ruvector_pool_status()": BOTH,
    "SELECT * FROM ruvector_list_capability_aliases()": BOTH,
    "SELECT * FROM ruvector_predict_quality('hello')": BOTH,
    "SELECT * FROM ruvector_router_models()": BOTH,
    "SELECT ruvector_create_route('new', 'hello', 'gpt-4')": ADMIN,
    "SELECT ruvector_drop_route('greeting')": ADMIN,
    "SELECT ruvector_set_route_active('greeting', false)": ADMIN,
    "SELECT ruvector_set_capability_alias('gab', 'chat')": ADMIN,
    "SELECT ruvector_drop_capability_alias('speak')": ADMIN,
    "SELECT ruvector_set_budget(1, 'day')": ADMIN,
    "SELECT * FROM ruvector_optimize_budget(100, apply := true)": ADMIN,
    "SELECT * FROM ruvector_train_classifier($$SELECT 'w' || n, 'c' || n % 2"
    " FROM generate_series(1, 40) n$$)": ADMIN,
    "SELECT * FROM ruvector_train_router($$SELECT 'w' || n, 'gpt-4', n % 2"
    " FROM generate_series(1, 40) n$$, predictor := 'means')": ADMIN,
    "SELECT ruvector_activate_router(NULL)": ADMIN,
    "UPDATE tiny_dancer.router_models SET active = false": ADMIN,
    "DELETE FROM tiny_dancer.router_models": ADMIN,
    "SELECT * FROM tiny_dancer.router_training_requests": ADMIN,
    "SELECT * FROM ruvector_fit_routes($$SELECT 'hello', 'greeting'$$)": ADMIN,
    "SELECT * FROM ruvector_evaluate_routes($$SELECT 'hello', 'greeting'$$)": ADMIN,
    "SELECT ruvector_activate_route_fit(NULL)": ADMIN,
    "UPDATE tiny_dancer.route_heads SET active = false": ADMIN,
    "SELECT * FROM ruvector_calibrate_router(0.9, query := $$SELECT 'hello'$$)": ADMIN,
    # These read vectors of requests, too, which have a grant of their own.
    """SELECT * FROM ruvector_replay('{"agent": "gpt-4"}')""": NOBODY,
    "SELECT * FROM ruvector_calibrate_router(0.9)": NOBODY,
    "SELECT tiny_dancer.reset_breaker('gpt-4')": ADMIN,
    "SELECT tiny_dancer.forget_pool_history()": ADMIN,
    "SELECT * FROM tiny_dancer.maintain()": ADMIN,
    "SELECT * FROM tiny_dancer.usage_rollups": BOTH,
    "DELETE FROM tiny_dancer.routes": ADMIN,
    "UPDATE tiny_dancer.classifiers SET active = false": ADMIN,
    "UPDATE tiny_dancer.budgets SET limit_amount = 99": ADMIN,
    "SELECT id FROM tiny_dancer.leases": ADMIN,
    "SELECT ruvector_register_agent('new', 'llm', '{chat}')": ADMIN,
    "SELECT ruvector_register_agent('gpt-4', 'llm', '{chat}', quality_score := 1)": ADMIN,
    "SELECT ruvector_remove_agent('gpt-4')": ADMIN,
    "SELECT ruvector_set_agent_active('gpt-4', false)": ADMIN,
    "SELECT tiny_dancer.set('alternatives', '1')": ADMIN,
    "SELECT tiny_dancer.set('alternatives', NULL)": ADMIN,
    "SELECT * FROM tiny_dancer.setup()": ADMIN,
    "SELECT tiny_dancer.use_model('hashing-8', 'hashing', 8)": ADMIN,
    "UPDATE tiny_dancer.agents SET quality_score = 1": ADMIN,
    "INSERT INTO tiny_dancer.agents (name, agent_type) VALUES ('n', 'api')": ADMIN,
    "DELETE FROM tiny_dancer.agents": ADMIN,
    "DELETE FROM tiny_dancer.agent_embeddings": ADMIN,
    "INSERT INTO tiny_dancer.capability_aliases VALUES ('talk', 'chat')": ADMIN,
    "UPDATE tiny_dancer.settings SET value = '9'": ADMIN,
    "UPDATE tiny_dancer.models SET active = false": ADMIN,
    "SELECT * FROM tiny_dancer.granted_roles": ADMIN,
    "INSERT INTO tiny_dancer.granted_roles VALUES (current_user, 'admin')": NOBODY,
    "SELECT tiny_dancer.grant_usage(current_user)": NOBODY,
    "SELECT tiny_dancer.grant_admin(current_user)": NOBODY,
    "SELECT tiny_dancer.grant_level(current_user, 'admin')": NOBODY,
    "SELECT tiny_dancer.grant_remembered(current_user, 'admin')": NOBODY,
    "SELECT tiny_dancer.regrant()": NOBODY,
    "SELECT tiny_dancer.rebuild_indexes()": NOBODY,
    "SELECT tiny_dancer.build_route_index()": NOBODY,
    "SELECT request FROM tiny_dancer.decisions": NOBODY,
    "SELECT request FROM tiny_dancer.usage": NOBODY,
    "SELECT request FROM tiny_dancer.usage_default": NOBODY,
    "SELECT reservation_id FROM tiny_dancer.usage": NOBODY,
    "SELECT idempotency_key FROM tiny_dancer.usage": NOBODY,
    "SELECT embedding FROM tiny_dancer.request_vectors": NOBODY,
    "SELECT count(*) FROM tiny_dancer.request_vectors": NOBODY,
    "UPDATE tiny_dancer.router_models SET weights = ''": NOBODY,
    "UPDATE tiny_dancer.router_training_requests SET request_keys = '{}'": NOBODY,
    "DELETE FROM tiny_dancer.foreseen_outcomes": NOBODY,
    "SELECT * FROM ruvector_train_router()": NOBODY,
    "SELECT id FROM tiny_dancer.reservations": NOBODY,
    "SELECT reservation_id FROM tiny_dancer.budget_holds": NOBODY,
    "UPDATE tiny_dancer.usage SET cost = 0": NOBODY,
    "DELETE FROM tiny_dancer.usage": NOBODY,
    "INSERT INTO tiny_dancer.usage (agent_id, cost, success, recorded_at)"
    " VALUES (1, 9, true, now() - interval '1 day')": NOBODY,
    "INSERT INTO tiny_dancer.usage (id, agent_id, cost, success) VALUES (9, 1, 9, true)": NOBODY,
    "INSERT INTO tiny_dancer.usage_default (agent_id, cost, success) VALUES (1, 9, true)": NOBODY,
    "INSERT INTO tiny_dancer.usage_keys VALUES ('k', 1)": NOBODY,
    "UPDATE tiny_dancer.feedback SET quality = 1": NOBODY,
    "DELETE FROM tiny_dancer.budget_charges": NOBODY,
    "DELETE FROM tiny_dancer.budget_holds": NOBODY,
    "DELETE FROM tiny_dancer.leases": NOBODY,
    "UPDATE tiny_dancer.leases SET expires_at = now()": NOBODY,
    "DELETE FROM tiny_dancer.breaker_events": NOBODY,
    "DELETE FROM tiny_dancer.route_passes": NOBODY,
    "INSERT INTO tiny_dancer.route_indexes VALUES (1, now(), 1, '', '')": NOBODY,
    "INSERT INTO tiny_dancer.budgets (period, limit_amount, opened_at)"
    " VALUES ('hour', 9, now())": NOBODY,
    "DELETE FROM tiny_dancer.usage_rollups": NOBODY,
    "UPDATE tiny_dancer.usage_rollup_state SET rolled_until = now()": NOBODY,
    "INSERT INTO tiny_dancer.usage_rollup_stale VALUES (now())": NOBODY,
    "SELECT tiny_dancer.drop_months('usage', now())": NOBODY,
    "SELECT tiny_dancer.delete_old('usage_default', 'recorded_at', now())": NOBODY,
    "SELECT setval('tiny_dancer.usage_ids', 1)": NOBODY,
    "SELECT nextval('tiny_dancer.budgets_id_seq')": NOBODY,
    "TRUNCATE tiny_dancer.agents CASCADE": NOBODY,
    "TRUNCATE tiny_dancer.settings": NOBODY,
    "DELETE FROM tiny_dancer.epochs": NOBODY,
    "DELETE FROM tiny_dancer.decisions": NOBODY,
    "UPDATE tiny_dancer.decisions SET agent_id = 1": NOBODY,
    "INSERT INTO tiny_dancer.decisions (decided_at) VALUES (now())": NOBODY,
    "CREATE TABLE tiny_dancer.mine ()": NOBODY,
    "ALTER TABLE tiny_dancer.agents DISABLE TRIGGER ALL": NOBODY,
    "DROP TABLE tiny_dancer.agents": NOBODY,
    "DROP EXTENSION tiny_dancer": NOBODY,
}


@pytest.fixture
def roles(new_role, db):
    register_four(db)
    db.execute("INSERT INTO tiny_dancer.settings VALUES ('alternatives', '2')")
    db.execute("SELECT ruvector_set_capability_alias('speak', 'chat')")
    db.execute("SELECT ruvector_set_budget(10, 'day', tag := 't')")
    db.execute("SELECT ruvector_record_usage('gpt-4', 1, true)")
    create(db, "greeting", "gpt-4", "hello", conditions={"rate_limit": 9})
    train_quickly(db)
    named = {level: new_role(level) for level in ("usage", "admin", "stranger")}
    db.execute("SELECT tiny_dancer.grant_usage(%s)", [named["usage"]])
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [named["admin"]])
    return named


@pytest.mark.parametrize("level", ["usage", "admin", "stranger"])
def test_a_role_can_do_what_its_level_says_and_no_more(roles, connect, level):
    session = connect(user=roles[level])
    for action, levels in ACTIONS.items():
        if level in levels:
            with session.transaction(force_rollback=True):
                session.execute(action)
        else:
            with refused("42501"), session.transaction(force_rollback=True):
                session.execute(action)


def test_every_function_that_is_granted_is_tried(db):
    tried = " ".join(ACTIONS)
    query = "SELECT object FROM tiny_dancer.privileges() WHERE kind = 'function'"
    named = {row.object for row in db.execute(query)}
    # What these call is tried with them.
    called_by_users = {name for name in named if name.startswith("ruvector_")}
    called_by_users |= {"doctor", "warmup", "list_settings", "set", "setup", "use_model"}
    called_by_users |= {"reset_breaker", "forget_pool_history", "maintain"}
    assert [name for name in called_by_users if f"{name}(" not in tried] == []


def test_roles_are_remembered_once(roles, db):
    db.execute("SELECT tiny_dancer.grant_usage(%s)", [roles["usage"]])
    query = "SELECT role_name, level FROM tiny_dancer.granted_roles ORDER BY level DESC"
    expected = [(roles["usage"], "usage"), (roles["admin"], "admin")]
    assert db.execute(query).fetchall() == expected


def test_regrant_gives_back_what_was_lost(roles, db, connect):
    for level in ("usage", "admin"):
        role = sql.Identifier(roles[level])
        for statement in (
            "REVOKE ALL ON ALL TABLES IN SCHEMA tiny_dancer FROM {}",
            "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tiny_dancer, public FROM {}",
            "REVOKE ALL ON SCHEMA tiny_dancer FROM {}",
        ):
            db.execute(sql.SQL(statement).format(role))
    usage, admin = connect(user=roles["usage"]), connect(user=roles["admin"])
    for session in (usage, admin):
        with refused("42501"):
            session.execute("SELECT * FROM ruvector_route('hello')")
    again = {row[0] for row in db.execute("SELECT tiny_dancer.regrant()")}
    assert again == {roles["usage"], roles["admin"]}
    usage.execute("SELECT * FROM ruvector_route('hello')")
    assert register(admin, "new")
    with refused("42501"):
        register(usage, "other")


def test_regrant_warns_of_roles_that_are_gone(db):
    db.execute("INSERT INTO tiny_dancer.granted_roles VALUES ('gone for good', 'usage')")
    notices = []
    db.add_notice_handler(
        lambda n: notices.append((n.severity_nonlocalized, n.message_primary, n.message_hint))
    )
    assert db.execute("SELECT tiny_dancer.regrant()").fetchall() == []
    [(severity, message, hint)] = notices
    assert severity == "WARNING"
    assert message == "role 'gone for good' no longer exists"
    assert "granted_roles" in hint


def test_unusual_role_names(db, new_role, connect):
    role = new_role('Ms. "Quoted" Ünüsual')
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [role])
    assert register(connect(user=role), "a")


def test_a_member_of_a_granted_role_inherits_its_rights(roles, new_role, db, connect):
    member = new_role("member")
    db.execute(
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(roles["usage"]), sql.Identifier(member))
    )
    assert connect(user=member).execute("SELECT * FROM ruvector_route('hello')").fetchone()
