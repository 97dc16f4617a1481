"""Recording outcomes and feedback: what is stored, repeated keys, removed agents, rights."""

from __future__ import annotations

import threading
import uuid

import pytest
from refusal import refused
from registration import call, register

TRAINING_TARGETS = """
SELECT o.* FROM tiny_dancer.agent_outcomes() o JOIN tiny_dancer.agents a ON a.id = o.agent_id
WHERE a.name = %s ORDER BY a.id
"""


@pytest.fixture
def agents(db):
    register(db, "gpt-4", cost_per_1k_tokens=0.03, avg_latency_ms=2500, quality_score=0.95)
    register(db, "haiku", cost_per_1k_tokens=0.001, avg_latency_ms=400, quality_score=0.8)
    return db


def record(session, agent="gpt-4", actual_cost=0.01, success=True, **more):
    [row] = call(
        session,
        "ruvector_record_usage",
        agent=agent,
        actual_cost=None if actual_cost is None else float(actual_cost),
        success=success,
        **more,
    )
    return row[0]


def usage(session, identity):
    return session.execute("SELECT * FROM tiny_dancer.usage WHERE id = %s", (identity,)).fetchone()


def count(session, table):
    return session.execute(f"SELECT count(*) FROM tiny_dancer.{table}").fetchone()[0]


def outcomes(session, agent):
    return session.execute(TRAINING_TARGETS, (agent,)).fetchall()


def test_everything_that_is_passed_is_stored(agents):
    row = usage(
        agents,
        record(
            agents,
            latency_ms=12.5,
            quality=0.75,
            input_tokens=10,
            output_tokens=0,
            tags=["a", "b"],
            decision_id=uuid.UUID(int=7),
        ),
    )
    assert (row.cost, row.success, row.latency_ms, row.quality) == (0.01, True, 12.5, 0.75)
    assert (row.input_tokens, row.output_tokens, row.tags) == (10, 0, ["a", "b"])
    assert row.decision_id == uuid.UUID(int=7)
    assert row.request is None


def test_the_plans_positional_arguments_are_enough(agents):
    query = "SELECT ruvector_record_usage('gpt-4', 0.012, true, 1840)"
    assert usage(agents, agents.execute(query).fetchone()[0]).latency_ms == 1840


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actual_cost": -0.01}, "actual_cost is -0.01"),
        ({"actual_cost": float("nan")}, "actual_cost is NaN"),
        ({"actual_cost": float("inf")}, "actual_cost is Infinity"),
        ({"success": None}, "success is NULL"),
        ({"actual_cost": 1.1e12}, "actual_cost is 1.1"),
        ({"latency_ms": -1.0}, "latency_ms is -1"),
        ({"latency_ms": 1.1e12}, "latency_ms is 1.1"),
        ({"actual_cost": None}, "actual_cost is NULL"),
        ({"actual_cost": None, "quality": 0.5}, "actual_cost is NULL"),
        ({"latency_ms": float("nan")}, "latency_ms is NaN"),
        ({"quality": 1.5}, "quality is 1.5"),
        ({"input_tokens": -1}, "tokens"),
        ({"tags": ["a", None]}, "tags"),
        ({"tags": ["t"] * 101}, "tags"),
        ({"idempotency_key": ""}, "idempotency key"),
        ({"idempotency_key": "k" * 201}, "idempotency key"),
    ],
)
def test_impossible_outcomes_are_refused(agents, arguments, message):
    with refused("22023", message, hint="."):
        record(agents, **arguments)
    assert count(agents, "usage") == 0


@pytest.mark.parametrize("name", ["nobody", None, ""])
def test_an_unknown_agent_is_refused(agents, name):
    with refused("42704", "unknown agent", hint="list_agents"):
        record(agents, name)


def test_a_repeated_key_returns_the_first_outcome_and_records_nothing(agents):
    first = record(agents, idempotency_key="k", request="say hello")
    assert record(agents, actual_cost=5, idempotency_key="k", request="say hello") == first
    assert count(agents, "usage") == count(agents, "request_vectors") == 1


def test_a_key_that_was_rolled_back_can_be_used_again(agents):
    with agents.transaction(force_rollback=True):
        record(agents, idempotency_key="k")
    record(agents, idempotency_key="k")
    assert count(agents, "usage") == 1


def test_a_key_used_by_many_at_once_is_recorded_once(agents, connect):
    sessions = [connect() for _ in range(8)]
    barrier = threading.Barrier(len(sessions))
    found = []

    def retry(session):
        barrier.wait()
        found.append(record(session, idempotency_key="same", actual_cost=1))

    in_parallel(retry, sessions)
    assert len(set(found)) == 1
    assert len(found) == len(sessions)
    assert count(agents, "usage") == 1


def in_parallel(work, arguments):
    threads = [threading.Thread(target=work, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_request_leaves_its_vector_and_no_text(agents):
    identity = record(agents, request="say hello")
    [row] = agents.execute("SELECT * FROM tiny_dancer.request_vectors").fetchall()
    assert row.usage_id == identity
    assert usage(agents, identity).request is None
    wanted = "SELECT (ruvector_embed('say hello')::halfvec <=> embedding) AS distance"
    [distance] = agents.execute(f"{wanted} FROM tiny_dancer.request_vectors").fetchone()
    assert distance == pytest.approx(0.0, abs=1e-4)


def test_text_is_stored_where_that_is_switched_on(agents):
    call(agents, "tiny_dancer.set", name="store_request_text", value="1")
    assert usage(agents, record(agents, request="say hello")).request == "say hello"


def test_plain_sql_stores_no_text_where_that_is_switched_off(agents):
    agents.execute(
        "INSERT INTO tiny_dancer.usage (agent_id, cost, success, request) VALUES (1, 0, true, 'x')"
    )
    assert agents.execute("SELECT request FROM tiny_dancer.usage").fetchall() == [(None,)]


def test_an_embedding_of_another_dimension_is_refused_and_nothing_recorded(agents):
    with refused("22023", "3 dimensions"):
        record(agents, embedding=[1.0, 2.0, 3.0])
    assert count(agents, "usage") == 0


def decide(session, agent, route_name=None, tags=()):
    identity = uuid.uuid4()
    session.execute(
        "INSERT INTO tiny_dancer.decisions (id, agent_id, optimize_for, routed_by, route_name,"
        " tags, input_tokens, candidates, expected_quality)"
        " SELECT %s, id, 'cost', 'score', %s, %s, 5, ARRAY[id], ARRAY[0.5::real]"
        " FROM tiny_dancer.agents WHERE name = %s AND removed_at IS NULL",
        (identity, route_name, list(tags), agent),
    )
    return identity


def test_an_outcome_takes_route_and_tags_from_its_decision(agents):
    decision = decide(agents, "gpt-4", "support", ["team-a"])
    row = usage(agents, record(agents, decision_id=decision, tags=["extra"]))
    assert row.route_name == "support"
    assert sorted(row.tags) == ["extra", "team-a"]


def test_the_outcome_of_a_decision_for_a_removed_agent_still_arrives(agents):
    decision = decide(agents, "gpt-4")
    agents.execute("SELECT ruvector_remove_agent('gpt-4')")
    late = usage(agents, record(agents, decision_id=decision))
    with refused("42704", "unknown agent 'gpt-4'"):
        record(agents)
    register(agents, "gpt-4")
    assert usage(agents, record(agents)).agent_id != late.agent_id
    assert usage(agents, record(agents, decision_id=decision)).agent_id == late.agent_id


def test_an_agent_that_took_over_is_charged_as_itself(agents):
    decision = decide(agents, "gpt-4")
    row = usage(agents, record(agents, "haiku", decision_id=decision))
    assert row.agent_id == usage(agents, record(agents, "haiku")).agent_id
    assert row.decision_id == decision


def test_the_newest_feedback_counts(agents):
    identity = record(agents, quality=0.9)
    for quality in (0.2, 0.4):
        call(agents, "ruvector_record_feedback", usage_id=identity, quality=quality)
    assert outcomes(agents, "gpt-4")[0].mean_quality == pytest.approx(0.4)


def test_feedback_on_a_decision_counts_for_its_last_outcome(agents):
    decision = decide(agents, "gpt-4")
    record(agents, success=False, decision_id=decision)
    record(agents, "haiku", decision_id=decision)
    call(agents, "ruvector_record_feedback", decision_id=decision, quality=0.7)
    assert outcomes(agents, "gpt-4")[0].mean_quality == 0.0
    assert outcomes(agents, "haiku")[0].mean_quality == pytest.approx(0.7)


@pytest.mark.parametrize("quality", [None, -0.1, 1.1, float("nan")])
def test_feedback_that_is_no_quality_is_refused(agents, quality):
    identity = record(agents)
    with refused("22023", "quality is", hint="."):
        agents.execute(
            "SELECT ruvector_record_feedback(usage_id := %s, quality := %s::float8)",
            (identity, quality),
        )


def test_feedback_on_what_is_unknown_is_refused(agents):
    with refused("42704", "unknown outcome 99", hint="."):
        agents.execute("SELECT ruvector_record_feedback(usage_id := 99, quality := 0.5)")
    with refused("42704", "unknown decision", hint="."):
        call(agents, "ruvector_record_feedback", decision_id=uuid.uuid4(), quality=0.5)


def test_outcomes_show_in_the_list_of_agents(agents):
    for latency, success in ((100.0, True), (200.0, False), (300.0, True)):
        record(agents, latency_ms=latency, success=success)
    listed = {row.name: row for row in call(agents, "ruvector_list_agents")}
    assert listed["gpt-4"].p99_latency_ms == pytest.approx(298.0)
    assert listed["gpt-4"].success_rate == pytest.approx(2 / 3)
    assert listed["gpt-4"].total_requests == 3
    assert (listed["haiku"].p99_latency_ms, listed["haiku"].success_rate) == (None, None)
    assert listed["haiku"].total_requests == 0


def test_a_name_registered_again_has_no_old_outcomes(agents):
    record(agents)
    agents.execute("SELECT ruvector_remove_agent('gpt-4')")
    register(agents, "gpt-4")
    listed = {row.name: row for row in call(agents, "ruvector_list_agents")}
    assert (listed["gpt-4"].success_rate, listed["gpt-4"].total_requests) == (None, 0)


def test_recording_needs_a_transaction_that_may_write(agents):
    identity = record(agents)
    agents.execute("SET default_transaction_read_only = on")
    with refused("25006", "read-only", hint="may write"):
        record(agents)
    with refused("25006", "read-only", hint="may write"):
        call(agents, "ruvector_record_feedback", usage_id=identity, quality=0.5)
    assert len(outcomes(agents, "gpt-4")) == 1


def test_a_usage_role_records_and_changes_nothing(new_role, agents, connect):
    role = new_role("app")
    agents.execute(f"SELECT tiny_dancer.grant_usage('{role}')")
    session = connect(user=role)
    identity = record(session, request="hello", tags=["a"], idempotency_key="k")
    assert record(session, idempotency_key="k") == identity
    call(session, "ruvector_record_feedback", usage_id=identity, quality=0.5)
    assert len(outcomes(session, "gpt-4")) == 1
    for statement in (
        "UPDATE tiny_dancer.usage SET cost = 0",
        "DELETE FROM tiny_dancer.usage",
        "TRUNCATE tiny_dancer.usage",
        "INSERT INTO tiny_dancer.usage (id, agent_id, cost, success) VALUES (9, 1, 0, true)",
        "INSERT INTO tiny_dancer.usage (recorded_at, agent_id, cost, success)"
        " VALUES ('2001-01-01', 1, 0, true)",
        "INSERT INTO tiny_dancer.usage_default (agent_id, cost, success) VALUES (1, 0, true)",
        "INSERT INTO tiny_dancer.usage_keys (key, usage_id) VALUES ('stolen', 1)",
        "DELETE FROM tiny_dancer.usage_keys",
        "DELETE FROM tiny_dancer.feedback",
        "SELECT request FROM tiny_dancer.usage",
        "SELECT * FROM tiny_dancer.request_vectors",
        "SELECT setval('tiny_dancer.usage_ids', 1)",
    ):
        with refused("42501"):
            session.execute(statement)
    for cost in ("-1", "'NaN'", "'Infinity'"):
        with refused("23514"):
            session.execute(
                f"INSERT INTO tiny_dancer.usage (agent_id, cost, success) VALUES (1, {cost}, true)"
            )
