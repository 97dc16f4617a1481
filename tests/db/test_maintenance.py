"""Maintenance: sums and partitions change no answer, whatever happens beside it."""

from __future__ import annotations

import threading
import uuid

import psycopg
import pytest
from refusal import refused
from registration import call, register
from test_cost_analytics import GROUPS
from test_cost_recording import count, record

from tiny_dancer.settings import Settings

# No outcomes lie around the beginning of a period, so that time passing changes no answer.
GROW = """
INSERT INTO tiny_dancer.usage
    (recorded_at, agent_id, cost, success, latency_ms, input_tokens, output_tokens, tags,
     route_name)
SELECT %s::timestamptz - n * interval '30 minutes' - interval '12 minutes', 1 + n %% 3,
       n %% 11 / 64.0,
       n %% 9 <> 0,
       CASE n %% 10 WHEN 0 THEN NULL WHEN 1 THEN 0 ELSE (n * 7919 %% 1000) ^ 2 / 50 END,
       nullif(n %% 100, 0), nullif(n %% 50, 1),
       CASE WHEN n %% 2 = 0 THEN '{t,u,t}'::text[] ELSE '{}' END,
       CASE WHEN n %% 5 < 2 THEN 'r' || n %% 5 END
FROM generate_series(1, %s) n
"""
PERIODS = ("5 days", "40 days")
ZONES = ("UTC", "Asia/Kolkata", "America/New_York")
FIGURES = ("total_cost", "avg_latency_ms", "success_rate", "baseline_cost", "savings")
PERCENTILES = ("p50_latency_ms", "p95_latency_ms", "p99_latency_ms")


@pytest.fixture
def agents(db):
    for number, name in enumerate(("gpt-4", "b", "c")):
        register(
            db,
            name,
            ["Code", f"k{number}"],
            "api" if number == 0 else "llm",
            cost_per_1k_tokens=0.01 * number + 0.01,
            quality_score=0.5 + 0.1 * number,
        )
    return db


def grow(session, outcomes, moment=None, minutes=12):
    """Record outcomes of the past, one every half an hour; return the moment that they lead to."""
    moment = moment or session.execute("SELECT now()").fetchone()[0]
    session.execute(GROW.replace("12 minutes", f"{minutes} minutes"), [moment, outcomes])
    return moment


def maintain(session, **arguments):
    return {row.step: row for row in call(session, "tiny_dancer.maintain", **arguments)}


def answers(session):
    """Every kind of analytics, by what was asked and by group."""
    found = {}
    for period in PERIODS:
        [found[period]] = call(session, "ruvector_routing_stats", time_range=period)
        for group in GROUPS:
            for zone in ZONES if group in ("hour", "day") else ZONES[:1]:
                for row in call(
                    session,
                    "ruvector_routing_analytics",
                    time_range=period,
                    group_by=group,
                    time_zone=zone,
                ):
                    found[period, group, zone, row.group_key] = row
    return found


def assert_same(found, expected):
    assert list(found) == list(expected)
    for asked, row in expected.items():
        for column in row._fields:
            value, original = getattr(found[asked], column), getattr(row, column)
            where = (asked, column)
            if original is not None and column in FIGURES:
                assert value == pytest.approx(original, rel=1e-9, abs=1e-9), where
            elif original is not None and column in PERCENTILES:
                assert value == pytest.approx(original, rel=0.0148), where
            else:
                assert value == original, where


def partitions(session):
    query = "SELECT relid::regclass::text FROM pg_partition_tree('tiny_dancer.usage') WHERE isleaf"
    return {name.removeprefix("tiny_dancer.") for (name,) in session.execute(query)}


def test_analytics_are_the_same_with_and_without_sums(agents):
    grow(agents, 1700)
    expected = answers(agents)
    done = maintain(agents)
    assert done["hours summed up"].affected > 800
    # The present month stays where it is until it is over.
    left = count(agents, "usage_default")
    moved = f"moved {1700 - left} rows out of the default partition"
    assert done["partitions of usage made"].note == moved
    assert left < 1500
    assert_same(answers(agents), expected)


def test_a_second_run_finds_nothing_to_do(agents):
    grow(agents, 500)
    maintain(agents)
    before = agents.execute("TABLE tiny_dancer.usage_rollups").fetchall()
    assert {row.affected for row in maintain(agents).values()} == {0}
    assert agents.execute("TABLE tiny_dancer.usage_rollups").fetchall() == before


def test_sums_of_days_are_made_over_gaps_and_over_several_runs(agents):
    grow(agents, 600)
    agents.execute(
        "DELETE FROM tiny_dancer.usage WHERE recorded_at BETWEEN"
        " now() - interval '6 days' AND now() - interval '3 days'"
    )
    expected = answers(agents)
    runs = 1
    while maintain(agents, time_limit="1 microsecond")["hours summed up"].note is not None:
        if runs == 3:
            assert_same(answers(agents), expected)
        runs += 1
    assert runs > 8
    assert_same(answers(agents), expected)


def test_outcomes_of_the_past_count_at_once_and_are_summed_up_by_the_next_run(agents):
    moment = grow(agents, 300)
    maintain(agents)
    with agents.transaction(force_rollback=True):
        agents.execute("TRUNCATE tiny_dancer.usage_rollups, tiny_dancer.usage_rollup_state")
        grow(agents, 100, moment, minutes=9)
        expected = answers(agents)
    grow(agents, 100, moment, minutes=9)
    assert count(agents, "usage_rollup_stale") > 40
    assert_same(answers(agents), expected)
    assert maintain(agents)["hours summed up"].affected > 40
    assert count(agents, "usage_rollup_stale") == 0
    assert_same(answers(agents), expected)


def test_a_ledger_that_is_changed_by_hand_is_summed_up_again(agents):
    grow(agents, 300)
    maintain(agents)
    agents.execute("DELETE FROM tiny_dancer.usage WHERE agent_id = 2")
    [stats] = call(agents, "ruvector_routing_stats")
    assert stats.total_requests == 200
    expected = answers(agents)
    maintain(agents)
    assert_same(answers(agents), expected)


def test_an_outcome_of_an_open_transaction_is_not_lost(agents, connect):
    grow(agents, 50)
    other = connect()
    with other.transaction():
        record(other)
        done = maintain(agents, time_limit="100 milliseconds")
        assert "still open" in done["hours summed up"].note
        assert "put off" in done["outcomes deleted"].note
    with other.transaction():
        grow(other, 10, minutes=9)
        done = maintain(agents, time_limit="100 milliseconds")
        assert "still open" in done["hours summed up"].note
    assert maintain(agents)["hours summed up"].affected > 0
    assert call(agents, "ruvector_routing_stats")[0].total_requests == 61


def test_moving_rows_charges_nothing_and_forgets_nothing(agents):
    call(agents, "ruvector_set_budget", limit_amount=10.0, period="month")
    call(agents, "tiny_dancer.set", name="breaker_failures", value="2")
    first = record(agents, "gpt-4", actual_cost=1, idempotency_key="k")
    for _ in range(2):
        record(agents, "b", actual_cost=0.5, success=False)
    status = call(agents, "ruvector_budget_status")
    failures = agents.execute("TABLE tiny_dancer.breaker_events").fetchall()
    agents.execute(
        "UPDATE tiny_dancer.usage_default SET recorded_at = recorded_at - interval '40 days'"
    )
    assert maintain(agents)["partitions of usage made"].note.startswith("moved 3 rows")
    assert call(agents, "ruvector_budget_status") == status
    assert agents.execute("TABLE tiny_dancer.breaker_events").fetchall() == failures
    breakers = {row.agent_name: row.breaker for row in call(agents, "ruvector_pool_status")}
    assert breakers == {"gpt-4": "closed", "b": "open", "c": "closed"}
    assert record(agents, "gpt-4", actual_cost=1, idempotency_key="k") == first
    record(agents, "gpt-4", actual_cost=1, idempotency_key="another")
    assert call(agents, "ruvector_budget_status")[0].settled == 3.0
    assert count(agents, "usage_default") == 1
    assert count(agents, "usage") == 4


def test_only_one_session_maintains_at_a_time(agents, connect):
    other = connect()
    with other.transaction():
        maintain(other)
        [(step, affected, note)] = call(agents, "tiny_dancer.maintain")
    assert (step, affected) == ("maintenance", 0)
    assert "another session" in note


def test_recording_goes_on_beside_maintenance(agents, connect):
    recorded, errors, stop = [], [], threading.Event()

    def record_on(session):
        try:
            while not stop.is_set():
                recorded.append(record(session, "gpt-4", actual_cost=1))
        except psycopg.Error as error:
            errors.append(error)

    grow(agents, 500)
    call(agents, "ruvector_set_budget", limit_amount=1e6, period="month")
    [before] = call(agents, "ruvector_budget_status")
    threads = [threading.Thread(target=record_on, args=[connect()]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        maintain(agents)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    ids = {row.id for row in agents.execute("SELECT id FROM tiny_dancer.usage WHERE id > 500")}
    assert ids == set(recorded)
    assert len(ids) == len(recorded) == count(agents, "usage") - 500
    [after] = call(agents, "ruvector_budget_status")
    assert after.settled == before.settled + len(recorded)
    assert len(partitions(agents)) >= 3


def test_a_cancelled_run_leaves_everything_as_it_was(agents):
    grow(agents, 1700)
    expected = answers(agents)
    with refused("57014"), agents.transaction():
        agents.execute("SET LOCAL statement_timeout = '100ms'")
        maintain(agents)
    assert partitions(agents) == {"usage_default"}
    assert count(agents, "usage_rollups") == 0
    tables = "SELECT count(*) FROM pg_class WHERE relname ~ '^(usage|decisions)_[0-9]'"
    assert agents.execute(tables).fetchone() == (0,)
    maintain(agents)
    assert_same(answers(agents), expected)


def test_partitions_wait_while_the_default_partition_is_in_use(agents, connect):
    record(agents)
    other = connect()
    with other.transaction():
        other.execute("SELECT count(*) FROM tiny_dancer.usage")
        done = maintain(agents)
        assert "in use" in done["partitions of usage made"].note
        record(agents)
    assert maintain(agents)["partitions of usage made"].affected == 2
    assert count(agents, "usage") == 2


def test_an_older_snapshot_sees_what_it_saw(agents, connect):
    grow(agents, 100)
    other = connect()
    other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    other.execute("SELECT count(*) FROM tiny_dancer.agents")
    maintain(agents)
    assert count(other, "usage") == 100
    other.execute("COMMIT")


def test_retention_deletes_rows_and_keeps_sums(agents):
    grow(agents, 4000)
    decision = uuid.uuid4()
    agents.execute(
        "INSERT INTO tiny_dancer.decisions (id, decided_at, agent_id, optimize_for, routed_by,"
        " input_tokens, candidates, expected_quality)"
        " SELECT CASE WHEN n = 1 THEN %s ELSE gen_random_uuid() END, now() - n * interval '9 days',"
        " 1, 'cost', 'score', 1, '{1}', '{0.5}' FROM generate_series(1, 9) n",
        [decision],
    )
    agents.execute(
        "INSERT INTO tiny_dancer.request_vectors (recorded_at, usage_id, model_id, embedding)"
        " SELECT now() - n * interval '9 days', n, 1, '[1]' FROM generate_series(1, 9) n"
    )
    agents.execute(
        "INSERT INTO tiny_dancer.feedback (usage_id, quality, given_at)"
        " SELECT n, 1, now() - n * interval '9 days' FROM generate_series(1, 9) n"
    )
    expected = {
        group: call(agents, "ruvector_routing_analytics", time_range="200 days", group_by=group)
        for group in GROUPS
    }
    maintain(agents)
    assert count(agents, "usage") == 4000
    for name in ("usage", "decision", "vector"):
        call(agents, "tiny_dancer.set", name=f"{name}_retention_days", value="40")
    done = maintain(agents)
    assert done["partitions of usage dropped"].affected >= 1
    assert done["outcomes deleted"].affected > 0
    [(oldest,)] = agents.execute(
        "SELECT extract(days FROM now() - min(recorded_at)) FROM tiny_dancer.usage"
    ).fetchall()
    assert oldest in (39, 40)
    kept = [count(agents, table) for table in ("decisions", "request_vectors", "feedback")]
    assert kept == [4, 4, 4]
    for group, rows in expected.items():
        found = call(agents, "ruvector_routing_analytics", time_range="200 days", group_by=group)
        assert [(row.group_key, row.total_requests) for row in found] == [
            (row.group_key, row.total_requests) for row in rows
        ], group
    # What is deleted can not be summed up again, and is not lost for that.
    agents.execute("DELETE FROM tiny_dancer.usage WHERE id < 0")
    maintain(agents)
    found = call(agents, "ruvector_routing_analytics", time_range="200 days")
    assert sum(row.total_requests for row in found) == 4000


def test_what_has_expired_is_deleted(agents):
    [(reservation,)] = call(agents, "ruvector_reserve_budget", agent="gpt-4", estimated_cost=1.0)
    record(agents, idempotency_key="k")
    agents.execute("UPDATE tiny_dancer.usage_keys SET recorded_at = now() - interval '91 days'")
    agents.execute(
        "UPDATE tiny_dancer.reservations SET reserved_at = now() - interval '41 days',"
        " expires_at = now() - interval '41 days'"
    )
    done = maintain(agents)
    assert done["idempotency keys expired"].affected == 1
    assert done["reservations expired"].affected == 1
    with refused("42704", "unknown reservation"):
        call(agents, "ruvector_settle_budget", reservation=reservation, actual_cost=1.0)


def test_charges_are_merged_and_stay_what_they_are(agents):
    call(agents, "ruvector_set_budget", limit_amount=10.0, period="month")
    for _ in range(5):
        record(agents, actual_cost=0.5)
    assert maintain(agents)["windows of budgets merged"].affected == 1
    assert count(agents, "budget_charges") == 1
    assert call(agents, "ruvector_budget_status")[0].settled == 2.5


def test_an_administrator_maintains_and_rows_stay_protected(new_role, agents, connect):
    admin, app = new_role("admin"), new_role("app")
    agents.execute(f"SELECT tiny_dancer.grant_admin('{admin}')")
    agents.execute(f"SELECT tiny_dancer.grant_usage('{app}')")
    grow(agents, 100)
    session, user = connect(user=admin), connect(user=app)
    assert maintain(session)["partitions of usage made"].affected >= 2
    with refused("42501"):
        maintain(user)
    record(user, request="hello")
    assert call(user, "ruvector_routing_stats")[0].total_requests == 101
    for name in partitions(agents) - {"usage_default"}:
        for role in (session, user):
            for statement in (
                "SELECT id FROM tiny_dancer.{}",
                "INSERT INTO tiny_dancer.{} (agent_id, cost, success) VALUES (1, 0, true)",
                "DELETE FROM tiny_dancer.{}",
                "DROP TABLE tiny_dancer.{}",
            ):
                with refused("42501"):
                    role.execute(statement.format(name))
        owners = (
            "SELECT c.relowner = p.relowner FROM pg_class c, pg_class p"
            " WHERE c.oid = %s::regclass AND p.oid = 'tiny_dancer.usage'::regclass"
        )
        assert agents.execute(owners, [f"tiny_dancer.{name}"]).fetchone() == (True,)


def test_sums_do_not_show_what_row_level_security_hides(new_role, agents, connect):
    app = new_role("app")
    agents.execute(f"SELECT tiny_dancer.grant_usage('{app}')")
    grow(agents, 300)
    maintain(agents)
    user = connect(user=app)
    assert call(user, "ruvector_routing_stats")[0].total_requests == 300
    agents.execute("ALTER TABLE tiny_dancer.usage ENABLE ROW LEVEL SECURITY")
    agents.execute("CREATE POLICY one ON tiny_dancer.usage USING (agent_id = 1)")
    assert call(user, "ruvector_routing_stats")[0].total_requests == 100
    rows = call(user, "ruvector_routing_analytics", time_range="30 days")
    assert [row.agent for row in rows] == ["gpt-4"]


def test_where_it_can_not_run_it_says_why(agents):
    with refused("25001", "READ COMMITTED", hint="outside"), agents.transaction():
        agents.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        maintain(agents)
    for limit in (None, "0", "-1 hour"):
        with refused("22023", "time_limit", hint="interval"):
            maintain(agents, time_limit=limit)


def test_the_doctor_says_when_it_is_overdue(agents):
    def finding():
        [row] = [row for row in call(agents, "tiny_dancer.doctor") if row.subject == "maintenance"]
        return row

    assert finding().ok
    grow(agents, 200)
    assert not finding().ok
    assert "maintain()" in finding().remedy
    maintain(agents)
    assert finding().ok


def test_the_extension_goes_with_its_partitions(agents):
    grow(agents, 100)
    maintain(agents)
    agents.execute("DROP EXTENSION tiny_dancer")
    assert agents.execute("SELECT to_regnamespace('tiny_dancer')").fetchone() == (None,)


def test_sql_has_the_defaults_of_the_library(db):
    for name in ("usage_retention", "decision_retention", "vector_retention", "idempotency_key"):
        days = db.execute("SELECT tiny_dancer.days_kept(%s)", [f"{name}_days"]).fetchone()[0].days
        assert days == getattr(Settings(), f"{name}_days")


@pytest.mark.parametrize("latency_ms", [0.0, 5e-324, 1e-9, 0.97, 1.0, 3.3, 1e4, 1e12, 1e300])
def test_a_bucket_is_close_to_what_is_in_it(shared_db, latency_ms):
    query = "SELECT tiny_dancer.bucket_latency(tiny_dancer.latency_bucket(%s))"
    [found] = shared_db.execute(query, [latency_ms]).fetchone()
    if 1e-200 < latency_ms < 1e200 or latency_ms == 0.0:
        assert found == pytest.approx(latency_ms, rel=0.0148, abs=0.0)
    else:
        assert found >= 0.0
