"""Semantic routes: what is made, what is matched, and who may do it."""

from __future__ import annotations

import psycopg
import pytest
from plan_statements import CREATE_DOCS, CREATE_SUPPORT, SEMANTIC_ROUTE
from psycopg import sql
from refusal import refused
from registration import call, register
from routes import create, matched, route_names, semantic_route

PASSWORD = ["I forgot my password", "reset my password", "my password does not work"]
REFUND = ["I want my money back", "please refund my order", "the refund has not arrived"]


@pytest.fixture
def routes(registry):
    """A session that all tests share, emptied of routes."""
    yield registry
    registry.execute("RESET SESSION AUTHORIZATION")
    registry.execute("TRUNCATE tiny_dancer.routes CASCADE")


@pytest.fixture
def two(routes):
    create(routes, "password", "support", utterances=PASSWORD, priority=1)
    create(routes, "refund", "billing", utterances=REFUND, description="Money back")
    return routes


def test_the_plan_as_it_is_written(meaning_db):
    warned = []
    meaning_db.add_notice_handler(lambda notice: warned.append(notice.message_primary))
    for statement in (CREATE_SUPPORT, CREATE_DOCS):
        assert meaning_db.execute(statement).fetchone() == (True,)
    assert warned == [
        "route 'customer_support' leads to an unknown agent 'support-agent'",
        "route 'technical_docs' leads to an unknown agent 'docs-agent'",
    ]
    first = meaning_db.execute(SEMANTIC_ROUTE).fetchone()
    assert first.route_name == "customer_support"
    assert first.target_agent == "support-agent"
    assert first.target_active is False
    assert 0.5 < first.confidence < 1.0
    register(meaning_db, "support-agent")
    assert meaning_db.execute(SEMANTIC_ROUTE).fetchone().target_active is True
    call(meaning_db, "ruvector_set_agent_active", name="support-agent", is_active=False)
    assert meaning_db.execute(SEMANTIC_ROUTE).fetchone().target_active is False


def test_meaning_decides_and_what_means_nothing_gets_no_row(meaning_db):
    create(meaning_db, "password", utterances=PASSWORD)
    create(meaning_db, "refund", utterances=REFUND)
    assert matched(meaning_db, "I can not log in, I do not know my password")[0] == "password"
    assert matched(meaning_db, "when do I get the money for the shoes I sent back")[0] == "refund"
    assert matched(meaning_db, "name three rivers in Africa") == []


def test_routes_are_listed_as_they_were_made(two):
    create(two, "night", "owl", conditions={"days": ["mon"]}, threshold=0.5)
    rows = two.execute("SELECT * FROM ruvector_list_routes()").fetchall()
    assert [row.route_name for row in rows] == ["night", "password", "refund"]
    night, password, refund = rows
    assert (night.utterances, night.threshold, night.conditions) == ([], 0.5, {"days": ["mon"]})
    assert (password.utterances, password.threshold, password.priority) == (PASSWORD, None, 1)
    assert (refund.description, refund.target_agent, refund.active) == (
        "Money back", "billing", True)  # fmt: skip


def test_a_route_of_the_same_name_is_replaced_as_a_whole(two):
    call(two, "ruvector_set_route_active", name="password", is_active=False)
    create(two, "password", "other", utterances=["sing a song"], threshold=0.9)
    [row] = two.execute(
        "SELECT * FROM ruvector_list_routes() WHERE route_name = 'password'"
    ).fetchall()
    assert (row.target_agent, row.priority, row.utterances, row.threshold, row.active) == (
        "other", 0, ["sing a song"], 0.9, True)  # fmt: skip
    assert "password" not in matched(two, "reset my password")
    assert matched(two, "sing a song") == ["password"]


def test_dropped_and_inactive_routes_are_not_matched(two):
    assert matched(two, "reset my password") == ["password"]
    assert call(two, "ruvector_set_route_active", name="password", is_active=False)[0][0] is False
    assert matched(two, "reset my password") == []
    call(two, "ruvector_set_route_active", name="password", is_active=True)
    assert matched(two, "reset my password") == ["password"]
    assert call(two, "ruvector_drop_route", name="password")[0][0] is True
    assert matched(two, "reset my password") == []
    assert two.execute("SELECT count(*) FROM tiny_dancer.route_utterances").fetchone()[0] == 3
    for function, arguments in (
        ("ruvector_drop_route", {}),
        ("ruvector_set_route_active", {"is_active": True}),
    ):
        with refused("42704", "unknown route 'password'"):
            call(two, function, name="password", **arguments)
        with refused("42704", "unknown route NULL"):
            call(two, function, name=None, **arguments)
    with refused("22023", "is_active"):
        call(two, "ruvector_set_route_active", name="refund", is_active=None)


def test_a_change_that_is_rolled_back_is_never_matched(two, connect):
    with two.transaction():
        create(two, "song", utterances=["sing a song"])
        assert matched(two, "sing a song") == ["song"]
        raise psycopg.Rollback
    assert matched(two, "sing a song") == []
    with two.transaction():
        with two.transaction():
            call(two, "ruvector_drop_route", name="refund")
            assert matched(two, "please refund my order") == []
            raise psycopg.Rollback
        assert matched(two, "please refund my order") == ["refund"]


def test_a_change_of_another_session_is_seen_when_it_commits(two, connect):
    with connect(dbname=two.info.dbname) as other:
        assert matched(other, "sing a song") == []
        with two.transaction():
            create(two, "song", utterances=["sing a song"])
            assert matched(other, "sing a song") == []
        assert matched(other, "sing a song") == ["song"]


def test_a_change_of_the_agents_does_not_read_the_routes_again(two):
    """Also what the cache may not keep: whether the target is active."""
    register(two, "support")
    assert semantic_route(two, "reset my password")[0].target_active is True
    call(two, "ruvector_remove_agent", name="support")
    assert semantic_route(two, "reset my password")[0].target_active is False


def test_given_vectors_and_queries_need_no_text(routes):
    vector = [1.0] + [0.0] * 383
    create(routes, "given", embedding=vector)
    assert matched(routes, None, embedding=vector) == ["given"]
    [row] = semantic_route(routes, "whatever", embedding=[2.0, 2.0] + [0.0] * 382)
    assert row.similarity == pytest.approx(0.707107)
    create(routes, "given", embedding=vector, utterances=["sing a song"])
    assert matched(routes, None, embedding=vector) == ["given"]
    assert matched(routes, "sing a song") == ["given"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": None}, "route name must not be empty"),
        ({"name": " x"}, "white space"),
        ({"name": "x" * 201}, "201 characters"),
        ({"description": "  "}, "description must not be empty"),
        ({"target_agent": None}, "target_agent must not be empty"),
        ({"priority": None}, "priority must not be NULL"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"embedding": [1.0, 2.0]}, "embedding has 2 dimensions"),
        ({"embedding": []}, "flat array"),
        ({"embedding": [0.0] * 384}, "all zeros"),
        ({"embedding": [float("nan")] * 384}, "not a finite number"),
        ({"embedding": [float("inf")] * 384}, "not a finite number"),
        ({"embedding": [None] * 384}, "flat array|finite"),
        ({"embedding": [[1.0] * 192, [2.0] * 192]}, "flat array"),
        ({"utterances": ["a", None]}, "utterance 2 must not be empty"),
        ({"utterances": ["a", " "]}, "utterance 2 must not be empty"),
        ({"utterances": [["a"], ["b"]]}, "flat array"),
        ({"conditions": {"hours": 1}}, "unknown condition 'hours'"),
        ({"conditions": []}, "conditions are"),
        ({"conditions": {"rate_limit": 0}}, "allows 0"),
    ],
)
def test_what_makes_no_sense_is_refused(routes, arguments, message):
    with refused("22023", message):
        create(routes, **{"name": "x", "description": "d", **arguments})
    assert route_names(routes) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": None}, "query must not be empty"),
        ({"query": " "}, "query must not be empty"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_k": None}, "top_k is NULL"),
        ({"top_k": 1001}, "top_k is 1001"),
        ({"context": []}, "context is"),
        ({"context": {"user_tier": 1}}, "user_tier is 1"),
        ({"embedding": [1.0]}, "embedding has 1 dimensions"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(two, arguments, message):
    with refused("22023", message):
        semantic_route(two, **{"query": "hello", **arguments})


def test_the_tier_of_the_context_opens_a_route(two):
    create(two, "vip", utterances=["sing a song"], conditions={"user_tier": ["gold"]})
    assert matched(two, "sing a song") == []
    assert matched(two, "sing a song", context={"user_tier": "free"}) == []
    assert matched(two, "sing a song", context={"user_tier": "Gold"}) == ["vip"]


def test_settings_change_thresholds_and_margin(two):
    two.execute("SELECT tiny_dancer.set('route_threshold', '0.99')")
    assert matched(two, "please reset my password") == []
    two.execute("SELECT tiny_dancer.set('route_threshold', '-1')")
    assert set(matched(two, "please reset my password")) == {"password", "refund"}
    two.execute("SELECT tiny_dancer.set('route_priority_margin', '2')")
    assert matched(two, "please refund my order")[0] == "password"


def test_without_a_copy_the_matches_are_the_same(two):
    create(two, "vip", utterances=["sing a song"], conditions={"user_tier": ["gold"]})
    create(two, "described", description="order a refund")
    queries = ["reset my password", "please refund my order", "sing a song", "hello", *REFUND]
    contexts = [None, {"user_tier": "gold"}]
    asked = [(query, context) for query in queries for context in contexts]
    before = [semantic_route(two, q, context=c) for q, c in asked]
    two.execute("SELECT tiny_dancer.set('snapshot_megabytes', '0')")
    after = [semantic_route(two, q, context=c) for q, c in asked]
    for kept, found in zip(before, after, strict=True):
        assert [row.route_name for row in found] == [row.route_name for row in kept]
        assert [row.similarity for row in found] == pytest.approx(
            [row.similarity for row in kept], abs=1e-5
        )
        assert [row.confidence for row in found] == pytest.approx(
            [row.confidence for row in kept], abs=1e-3
        )


def test_switching_the_model_embeds_the_routes_again(db):
    create(db, "password", utterances=PASSWORD)
    create(db, "song", description="sing a song")
    create(db, "given", embedding=[1.0] * 384)
    with refused("55000", "1 routes have vectors", detail="routes given"):
        db.execute("SELECT tiny_dancer.use_model('other', 'hashing', 128)")
    assert matched(db, "reset my password") == ["password"]
    db.execute("SELECT tiny_dancer.use_model('other', 'hashing', 128, discard := true)")
    assert matched(db, "reset my password", top_k=1) == ["password"]
    assert matched(db, "sing a song", top_k=1) == ["song"]
    assert matched(db, "given", top_k=1) == ["given"]
    utterances = db.execute(
        "SELECT utterances FROM ruvector_list_routes() WHERE route_name = 'password'"
    ).fetchone()
    assert utterances == (PASSWORD,)


def test_utterances_outlive_a_model_that_embeds_no_text(db):
    create(db, "password", utterances=PASSWORD)
    db.execute("SELECT tiny_dancer.use_model('mine', 'external', 2)")
    assert semantic_route(db, None, embedding=[1.0, 0.0]) == []
    with refused("55000", "cannot embed text"):
        create(db, "x")
    create(db, "x", embedding=[1.0, 0.0])
    assert matched(db, None, embedding=[1.0, 0.0]) == ["x"]
    db.execute("SELECT tiny_dancer.use_model('hashing-384', discard := true)")
    assert matched(db, "reset my password", top_k=1) == ["password"]


def test_vectors_are_never_updated_in_place(two):
    with refused("55000", "can not be updated"):
        two.execute("UPDATE tiny_dancer.route_utterances SET utterance = 'x'")


def test_a_role_with_usage_matches_and_changes_nothing(new_role, db):
    create(db, "password", utterances=PASSWORD, conditions={"rate_limit": 5})
    name = new_role("reader")
    db.execute(sql.SQL("SELECT tiny_dancer.grant_usage({})").format(sql.Literal(name)))
    db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))
    assert matched(db, "reset my password", consume=True) == ["password"]
    assert route_names(db) == ["password"]
    for statement in (
        "SELECT ruvector_create_route('x', 'd', 'a')",
        "SELECT ruvector_drop_route('password')",
        "SELECT ruvector_set_route_active('password', false)",
        "UPDATE tiny_dancer.routes SET conditions = NULL",
        "UPDATE tiny_dancer.route_passes SET passed = 1",
        "DELETE FROM tiny_dancer.route_passes",
        "INSERT INTO tiny_dancer.route_passes VALUES (1, now(), 1)",
        "INSERT INTO tiny_dancer.route_indexes VALUES (1, now(), 1, repeat('0', 64), '')",
        "TRUNCATE tiny_dancer.routes",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(statement)


def test_an_administrator_makes_routes_but_writes_no_index(new_role, db):
    name = new_role("boss")
    db.execute(sql.SQL("SELECT tiny_dancer.grant_admin({})").format(sql.Literal(name)))
    db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))
    assert create(db, "password", utterances=PASSWORD) is True
    assert create(db, "password", utterances=REFUND) is True
    assert matched(db, "please refund my order") == ["password"]
    assert call(db, "ruvector_drop_route", name="password")[0][0] is True
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute(
            "INSERT INTO tiny_dancer.route_indexes VALUES (1, now(), 1, repeat('0', 64), '')"
        )


@pytest.mark.parametrize(
    "table",
    ["routes", "route_utterances", "route_heads", "agents", "models", "settings", "epochs"],
)
def test_a_revoke_takes_effect_in_a_session_that_has_a_copy(new_role, db, table):
    create(db, "password", utterances=PASSWORD)
    role = sql.Identifier(new_role("reader"))
    db.execute(sql.SQL("SELECT tiny_dancer.grant_usage({})").format(sql.Literal(role._obj[0])))
    assert matched(db, "reset my password") == ["password"]
    db.execute(
        sql.SQL("REVOKE SELECT ON tiny_dancer.{} FROM {}").format(sql.Identifier(table), role)
    )
    db.execute(sql.SQL("SET ROLE {}").format(role))
    with refused("42501", f"permission denied for table {table}"):
        matched(db, "reset my password")


def test_row_level_security_hides_routes_also_from_a_session_with_a_copy(new_role, db):
    create(db, "password", utterances=PASSWORD)
    create(db, "secret", utterances=["sing a song"])
    name = new_role("reader")
    db.execute(sql.SQL("SELECT tiny_dancer.grant_usage({})").format(sql.Literal(name)))
    assert matched(db, "sing a song") == ["secret"]
    db.execute("ALTER TABLE tiny_dancer.routes ENABLE ROW LEVEL SECURITY")
    db.execute(
        "CREATE POLICY own ON tiny_dancer.routes USING (name = current_setting('app.route', true))"
    )
    db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))
    for visible in ("password", "secret", "password"):
        db.execute("SELECT set_config('app.route', %s, false)", [visible])
        assert matched(db, "sing a song") == (["secret"] if visible == "secret" else [])
        assert matched(db, "reset my password") == (["password"] if visible == "password" else [])
    db.execute("RESET ROLE")
    assert matched(db, "sing a song") == ["secret"]


def test_matching_runs_in_a_read_only_transaction(two):
    create(two, "limited", utterances=["sing a song"], conditions={"rate_limit": 5})
    with two.transaction():
        two.execute("SET TRANSACTION READ ONLY")
        assert matched(two, "sing a song") == ["limited"]
        assert matched(two, "reset my password") == ["password"]
        with refused("25006", "read-only", hint="consume"), two.transaction():
            matched(two, "sing a song", consume=True)


def test_the_doctor_counts_the_routes(two):
    findings = {row.subject: row for row in two.execute("SELECT * FROM tiny_dancer.doctor()")}
    assert findings["semantic routes"].finding == "2 routes with 6 vectors"
    two.execute("SELECT tiny_dancer.set('snapshot_megabytes', '0')")
    findings = {row.subject: row for row in two.execute("SELECT * FROM tiny_dancer.doctor()")}
    assert findings["route index"].ok is False
    assert "rebuild_indexes" in findings["route index"].remedy
