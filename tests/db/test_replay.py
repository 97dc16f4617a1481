"""Replaying another policy: estimates, what they rest on, what is refused, who may."""

from __future__ import annotations

import time

import psycopg
import pytest
from psycopg import sql
from recorded_decisions import record_evenly, replay
from refusal import refused
from registration import call, register, register_four
from router_training import predicted, register_two, train

from tiny_dancer.lexical_features import lexical_features

SNIPS_QUALITY, SNIPS_COST = ("snips", "quality"), ("snips", "cost")
ROBUST_QUALITY, ROBUST_COST = ("doubly_robust", "quality"), ("doubly_robust", "cost")


@pytest.fixture(scope="module")
def log(shared_db):
    """Two hundred decisions between two agents."""
    register_four(shared_db)
    record_evenly(shared_db)
    return shared_db


@pytest.fixture
def changed(log):
    """The same, and whatever a test does to it is undone."""
    with log.transaction(force_rollback=True):
        yield log


@pytest.mark.parametrize(
    ("agent", "quality", "cost"), [("gpt-4", 1.0, 0.03), ("llama-2", 0.5, 0.002)]
)
def test_one_agent_for_everything(log, agent, quality, cost):
    rows = replay(log, {"agent": agent})
    assert list(rows) == [SNIPS_QUALITY, ROBUST_QUALITY, SNIPS_COST, ROBUST_COST]
    # What it costs never varies, so there is nothing to be unsure of.
    assert rows[SNIPS_COST].estimate == pytest.approx(cost)
    assert rows[SNIPS_QUALITY].estimate == pytest.approx(quality, abs=0.01)
    for row in rows.values():
        true = quality if row.measure == "quality" else cost
        assert row.low <= true <= row.high or row.estimate == pytest.approx(true, rel=1e-6)
        assert row.observed == pytest.approx(0.75 if row.measure == "quality" else 0.016)
        assert row.effective_sample_size == pytest.approx(100)
        assert (row.decisions, row.not_explored) == (200, 0)
        assert (row.without_outcome, row.agreement, row.unserved) == (0, 0.5, 0)


def test_a_policy_that_chooses_by_score(log):
    assert replay(log, {"optimize_for": "cost"})[SNIPS_COST].estimate == pytest.approx(0.002)
    assert replay(log, {"optimize_for": "quality"})[SNIPS_COST].estimate == pytest.approx(0.03)
    for cost_weight, cost in ((0.0, 0.03), (1.0, 0.002)):
        found = replay(log, {"cost_weight": cost_weight})
        assert found[SNIPS_COST].estimate == pytest.approx(cost)


def test_constraints_of_a_policy(log):
    # The expected qualities that were recorded are 0.9 and 0.6.
    policy = {"optimize_for": "cost", "quality_floor": 0.8}
    assert replay(log, policy)[SNIPS_COST].estimate == pytest.approx(0.03)
    policy = {"optimize_for": "quality", "max_cost": 0.001}
    assert replay(log, policy)[SNIPS_COST].estimate == pytest.approx(0.002)
    policy = {"optimize_for": "cost", "excluded_agents": ["llama-2"]}
    assert replay(log, policy)[SNIPS_COST].estimate == pytest.approx(0.03)


def test_where_nobody_meets_the_constraints_the_recorded_choice_stands(log):
    row = replay(log, {"quality_floor": 0.95})[SNIPS_COST]
    assert (row.unserved, row.agreement) == (1.0, 1.0)
    assert row.estimate == pytest.approx(row.observed) == pytest.approx(0.016)


def test_feedback_counts_before_quality_and_quality_before_success(changed):
    changed.execute("UPDATE tiny_dancer.usage SET quality = 0.7 WHERE cost > 0.01")
    assert replay(changed, {"agent": "gpt-4"})[SNIPS_QUALITY].estimate == pytest.approx(0.7)
    changed.execute(
        "INSERT INTO tiny_dancer.feedback (decision_id, quality)"
        " SELECT decision_id, 0.1 FROM tiny_dancer.usage"
    )
    changed.execute(
        "INSERT INTO tiny_dancer.feedback (usage_id, quality) SELECT id, 0.2 FROM tiny_dancer.usage"
    )
    rows = replay(changed, {"agent": "gpt-4"})
    assert rows[SNIPS_QUALITY].estimate == pytest.approx(0.2)
    assert rows[ROBUST_QUALITY].estimate == pytest.approx(0.2)


def test_a_decision_achieved_what_its_last_attempt_did_and_cost_what_all_did(changed):
    changed.execute(
        "INSERT INTO tiny_dancer.usage (agent_id, cost, success, decision_id)"
        " SELECT agent_id, 1, false, decision_id FROM tiny_dancer.usage"
    )
    rows = replay(changed, {"agent": "gpt-4"})
    assert rows[SNIPS_COST].estimate == pytest.approx(1.03)
    assert rows[SNIPS_QUALITY].estimate == pytest.approx(0.0, abs=1e-6)


def test_decisions_without_outcome_are_counted(changed):
    changed.execute("DELETE FROM tiny_dancer.usage WHERE id % 5 = 0")
    row = replay(changed, {"agent": "gpt-4"})[ROBUST_QUALITY]
    assert row.without_outcome == pytest.approx(0.2)
    assert row.decisions == 200


def test_certain_decisions_are_left_out(changed):
    changed.execute(
        "UPDATE tiny_dancer.decisions SET propensities = NULL, propensity = 1"
        " WHERE id IN (SELECT decision_id FROM tiny_dancer.usage WHERE id % 5 = 0)"
    )
    row = replay(changed, {"agent": "gpt-4"})[SNIPS_QUALITY]
    assert (row.decisions, row.not_explored) == (160, 40)


def test_any_policy_obeys_semantic_routes_and_single_candidates(changed):
    changed.execute(
        "UPDATE tiny_dancer.decisions SET propensities = NULL, propensity = 1,"
        " routed_by = 'semantic_route'"
        " WHERE agent_id = (SELECT id FROM tiny_dancer.agents WHERE name = 'llama-2')"
        " AND id IN (SELECT decision_id FROM tiny_dancer.usage WHERE id % 4 = 1)"
    )
    row = replay(changed, {"agent": "gpt-4"})[SNIPS_COST]
    assert (row.decisions, row.not_explored) == (200, 0)
    assert 0.002 < row.estimate < 0.03


def test_a_certain_log_is_refused(changed):
    changed.execute("UPDATE tiny_dancer.decisions SET propensities = NULL, propensity = 1")
    with refused("55000", "none .* was explored", detail="200", hint="exploration_share"):
        replay(changed, {"agent": "gpt-4"})


def test_no_decisions_are_refused(log):
    with refused("55000", "no recorded decisions", hint="time_range"):
        replay(log, {"agent": "gpt-4"}, time_range="1 microsecond")
    with refused("55000", "no recorded decisions"):
        replay(log, {"agent": "gpt-4"}, until="2020-01-01")


def test_too_few_decisions_are_refused(changed):
    changed.execute(
        "DELETE FROM tiny_dancer.usage WHERE id IN (SELECT id FROM tiny_dancer.usage"
        " ORDER BY id LIMIT 110)"
    )
    with refused("55000", "too little", detail="quality of 90 .* at least 100 and 50"):
        replay(changed, {"agent": "gpt-4"})


def test_a_policy_far_from_the_recorded_one_is_refused(changed):
    changed.execute(
        "UPDATE tiny_dancer.decisions SET propensities = '{0.05,0.95}', propensity ="
        " CASE agent_id WHEN candidates[1] THEN 0.05 ELSE 0.95 END"
    )
    with refused("55000", "too little", detail="worth 10.0"), changed.transaction():
        replay(changed, {"agent": "gpt-4"})
    assert replay(changed, {"agent": "llama-2"})


def test_a_removed_agent_still_counts(changed):
    call(changed, "ruvector_remove_agent", name="llama-2")
    register(changed, "llama-2", cost_per_1k_tokens=9.0, quality_score=1.0)
    assert replay(changed, {"optimize_for": "cost"})[SNIPS_COST].estimate == pytest.approx(0.002)
    # The new one of that name was no candidate.
    assert replay(changed, {"agent": "llama-2"})[SNIPS_COST].unserved == 1.0


def test_what_contradicts_itself_is_left_out_and_told(changed):
    notices = []
    changed.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    changed.execute(
        "INSERT INTO tiny_dancer.decisions (id, agent_id, optimize_for, routed_by, input_tokens,"
        " candidates, expected_quality, propensities, propensity)"
        " SELECT md5('wrong ' || d.id)::uuid, d.agent_id, 'cost', 'score', 10, w.c, w.q, w.p, 0.5"
        " FROM (SELECT * FROM tiny_dancer.decisions LIMIT 1) d, LATERAL (VALUES"
        "   (d.candidates, '{0.5}'::real[], '{0.5,0.5}'::real[]),"
        "   (d.candidates, '{0.5,NaN}', '{0.5,0.5}'), (d.candidates, '{0.5,2}', '{0.5,0.5}'),"
        "   (d.candidates, '{0.5,0.5}', '{0.5,0.6}'), (d.candidates, '{0.5,0.5}', '{0.5,NULL}'),"
        "   (d.candidates, '{0.5,0.5}', '{1.5,-0.5}'), ('{-1,-2}', '{0.5,0.5}', '{0.5,0.5}'),"
        "   ('{}', '{}', '{}'), (d.candidates || d.candidates, '{1,1,1,1}', '{1,0,0,0}'),"
        "   ('{{1,2}}', '{0.5,0.5}', '{0.5,0.5}'), (d.candidates || 99999::bigint, '{1,1,1}',"
        "   '{0.4,0.4,0.2}')"
        " ) AS w (c, q, p)"
    )
    # All of them have the same id here, and so one vector.
    changed.execute(
        "INSERT INTO tiny_dancer.request_vectors (decision_id, model_id, embedding)"
        " SELECT DISTINCT d.id, m.id, ruvector_embed('x') FROM tiny_dancer.decisions d,"
        " tiny_dancer.models m WHERE m.active AND NOT EXISTS (SELECT FROM"
        " tiny_dancer.request_vectors v WHERE v.decision_id = d.id)"
    )
    row = replay(changed, {"agent": "gpt-4"})[SNIPS_QUALITY]
    assert row.decisions == 200
    assert sum(int(n.split()[0]) for n in notices if "contradicts itself" in n) == 11


def test_requests_without_a_vector_of_the_active_model_are_left_out_and_told(changed):
    notices = []
    changed.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    changed.execute(
        "DELETE FROM tiny_dancer.request_vectors WHERE decision_id IN"
        " (SELECT decision_id FROM tiny_dancer.usage WHERE id % 5 = 0)"
    )
    assert replay(changed, {"agent": "gpt-4"})[SNIPS_QUALITY].decisions == 160
    assert any(n.startswith("40 of 200 decisions are left out") for n in notices)
    changed.execute("DELETE FROM tiny_dancer.request_vectors")
    with refused("55000", "no recorded decisions"):
        replay(changed, {"agent": "gpt-4"})


@pytest.mark.parametrize(
    ("policy", "state", "message"),
    [
        (None, "22023", "not a JSON object"),
        ("null", "22023", "not a JSON object"),
        ("[]", "22023", "not a JSON object"),
        ("{}", "22023", "is empty"),
        ('{"agent": null}', "22023", "is empty"),
        ('{"optimise_for": "cost"}', "22023", "unknown key 'optimise_for'"),
        ('{"optimize_for": "profit"}', "22023", "unknown target 'profit'"),
        ('{"optimize_for": "total_cost"}', "22023", "unknown target"),
        ('{"optimize_for": 3}', "22023", "optimize_for can not be 3"),
        ('{"cost_weight": 1.5}', "22023", "cost_weight is 1.5"),
        ('{"cost_weight": "0.5"}', "22023", "cost_weight can not be '0.5'"),
        ('{"cost_weight": true}', "22023", "cost_weight can not be True"),
        ('{"cost_weight": 0.5, "optimize_for": "cost"}', "22023", "cost_weight has no meaning"),
        ('{"quality_floor": -0.1}', "22023", "quality_floor is -0.1"),
        ('{"max_cost": 1e400}', "22023", "max_cost is inf"),
        ('{"max_latency_ms": -1}', "22023", "max_latency_ms is -1"),
        ('{"excluded_agents": "gpt-4"}', "22023", "excluded_agents can not be 'gpt-4'"),
        ('{"excluded_agents": [null]}', "22023", "excluded_agents can not be"),
        ('{"excluded_agents": ["nobody"]}', "42704", "unknown agent 'nobody'"),
        ('{"agent": "nobody"}', "42704", "unknown agent 'nobody'"),
        ('{"agent": "gpt-4", "max_cost": 1}', "22023", "contradict"),
        ('{"agent": ""}', "22023", "agent must not be empty"),
        ('{"router_model": 1.5}', "22023", "router_model can not be 1.5"),
        ('{"router_model": 0}', "22023", "router_model can not be 0"),
        ('{"router_model": 12345}', "42704", "unknown router model 12345"),
    ],
)
def test_policies_that_make_no_sense(log, policy, state, message):
    with refused(state, message):
        call(log, "ruvector_replay", policy=policy)


def test_the_hint_lists_the_keys(log):
    with refused("22023", hint="The keys are: optimize_for, cost_weight, .*router_model, agent"):
        replay(log, {"weights": 1})


def note_wording(session):
    """Note the lexical features of evenly recorded requests, as recording a decision does."""
    with session.cursor() as cursor:
        cursor.executemany(
            "UPDATE tiny_dancer.request_vectors SET features = %s"
            " WHERE decision_id = md5('decision ' || %s::int)::uuid",
            [(lexical_features(f"request {n % 50}").tolist(), n) for n in range(1, 201)],
        )


def test_a_router_model_that_is_older_than_the_decisions(db):
    register_two(db)
    model = train(db).id
    # Of what it expects, as long as nothing else is known.
    expected = [predicted(db, f"request {n}", router_model=model) for n in range(50)]
    record_evenly(db, "adder", "poet")
    note_wording(db)
    policy = {"router_model": model, "optimize_for": "quality"}
    row = replay(db, policy)[SNIPS_QUALITY]
    chosen = [max(expected[n % 50], key=expected[n % 50].get) for n in range(1, 201)]
    assert set(chosen) == {"adder", "poet"}
    costs = [
        {"adder": 0.03, "poet": 0.002}[name]
        for n, name in enumerate(chosen, start=1)
        if (name == "adder") == (n % 2 == 0)
    ]
    assert row.agreement == len(costs) / 200
    cost = replay(db, policy)[SNIPS_COST].estimate
    assert cost == pytest.approx(sum(costs) / len(costs))
    # Without the model the recorded expectations decide, and those are all for the adder.
    assert replay(db, {"optimize_for": "quality"})[SNIPS_COST].estimate == pytest.approx(0.03)


def test_a_router_model_needs_what_it_goes_by(db):
    register_two(db)
    model = train(db).id
    record_evenly(db, "adder", "poet")
    with refused("55000", "goes by lexical features, and none are recorded"):
        replay(db, {"router_model": model})


def test_a_router_model_that_may_have_seen_the_outcomes_is_refused(db):
    register_two(db)
    record_evenly(db, "adder", "poet")
    model = train(db).id
    with refused("22023", f"router model {model} was trained after", hint="shorter time_range"):
        replay(db, {"router_model": model, "optimize_for": "quality"})


@pytest.mark.parametrize("time_range", [None, "0", "-1 day"])
def test_time_ranges_that_make_no_sense(log, time_range):
    with refused("22023", "time_range is", hint="7 days"):
        replay(log, {"agent": "gpt-4"}, time_range=time_range)


def test_it_writes_nothing(log):
    with log.transaction():
        log.execute("SET TRANSACTION READ ONLY")
        assert len(replay(log, {"agent": "gpt-4"})) == 4


def test_the_same_log_gives_the_same_estimates(log):
    policy = {"optimize_for": "quality"}
    assert replay(log, policy) == replay(log, policy)


def test_who_may_not_read_what_was_recorded_can_not_replay(new_role, db, connect):
    register_four(db)
    record_evenly(db)
    usage, admin = new_role("usage"), new_role("admin")
    db.execute("SELECT tiny_dancer.grant_usage(%s)", [usage])
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [admin])
    with refused("42501"):
        replay(connect(user=usage), {"agent": "gpt-4"})
    # Calling what it is made of, or being allowed to call it, gives no more.
    db.execute(
        sql.SQL("GRANT EXECUTE ON FUNCTION ruvector_replay TO {}").format(sql.Identifier(usage))
    )
    let_read_vectors(db, usage)
    with refused("42501", "decisions|logged_decisions"):
        replay(connect(user=usage), {"agent": "gpt-4"})
    session = connect(user=admin)
    with refused("42501", "vectors of recorded requests", hint="GRANT SELECT ON"):
        replay(session, {"agent": "gpt-4"})
    let_read_vectors(db, admin)
    assert replay(session, {"agent": "gpt-4"})


def let_read_vectors(session, role):
    session.execute(
        sql.SQL("GRANT SELECT ON tiny_dancer.request_vectors TO {}").format(sql.Identifier(role))
    )


def test_row_level_security_hides_decisions_from_a_replay(new_role, db, connect):
    register_four(db)
    record_evenly(db)
    admin = new_role("admin")
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [admin])
    let_read_vectors(db, admin)
    db.execute("ALTER TABLE tiny_dancer.decisions ENABLE ROW LEVEL SECURITY")
    with refused("55000", "no recorded decisions"):
        replay(connect(user=admin), {"agent": "gpt-4"})


def test_a_replay_can_be_cancelled(db):
    register_four(db)
    record_evenly(db, count=4000)
    db.execute("SET statement_timeout = '60ms'")
    began = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        replay(db, {"agent": "gpt-4"})
    assert time.monotonic() - began < 1.5
