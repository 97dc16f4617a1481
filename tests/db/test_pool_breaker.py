"""The circuit breaker: closed, open, half-open by the clock, and what counts."""

from __future__ import annotations

import os
import subprocess
import time
import uuid

import psycopg
import pytest
from outcomes import (
    QUICK,
    acquire,
    agent_id,
    at_once,
    breaker,
    fail,
    outcome,
    refusals,
    release,
    renew,
    settings,
    status,
    succeed,
)
from psycopg.conninfo import make_conninfo
from refusal import refused
from registration import call, register

from tiny_dancer.settings import Settings

COOLDOWN = 0.25
BINDIR = os.environ.get("TINY_DANCER_PG_BINDIR", "")


@pytest.fixture
def agent(registry):
    """A registry with one agent, "a", in a pool, and quick breakers."""
    settings(registry, **QUICK)
    register(registry, "a", pool="p")
    return registry


def opened(session, name="a"):
    fail(session, name, 3)
    assert breaker(session, name) == "open"
    return session


def half_opened(session, name="a"):
    opened(session, name)
    time.sleep(COOLDOWN)
    assert breaker(session, name) == "half_open"
    return session


def address(session, dbname):
    """A connection string of a database on the server of a session."""
    info = session.info
    return make_conninfo(host=info.host, port=info.port, user=info.user, dbname=dbname)


def events(session, name="a"):
    rows = session.execute(
        "SELECT event FROM tiny_dancer.breaker_events WHERE agent_id = %s ORDER BY id",
        (agent_id(session, name),),
    )
    return [row.event for row in rows]


def decision(session, name="a"):
    """Record a decision, made now."""
    decision_id = uuid.uuid4()
    session.execute(
        "INSERT INTO tiny_dancer.decisions (id, decided_at, agent_id, optimize_for, routed_by,"
        " input_tokens, candidates, expected_quality)"
        " VALUES (%s, clock_timestamp(), %s, 'balanced', 'score', 1, '{1}', '{0.5}')",
        (decision_id, agent_id(session, name)),
    )
    return decision_id


def test_sql_has_the_defaults_of_the_library(db):
    defaults = Settings()
    rules = db.execute(
        "SELECT r.failures, extract(epoch FROM r.failure_window)::float8 AS failure_window,"
        " extract(epoch FROM r.cooldown)::float8 AS cooldown,"
        " extract(epoch FROM r.longest_cooldown)::float8 AS longest, r.successes"
        " FROM tiny_dancer.breaker_rules() r"
    ).fetchone()
    assert rules == (
        defaults.breaker_failures,
        defaults.breaker_window_seconds,
        defaults.breaker_cooldown_seconds,
        defaults.breaker_max_cooldown_seconds,
        defaults.breaker_successes,
    )
    register(db, "a")
    acquire(db, "a", f"{defaults.lease_max_seconds} seconds")
    with refused("22023"):
        acquire(db, "a", f"{defaults.lease_max_seconds + 1} seconds")


def test_successes_write_nothing(agent):
    succeed(agent, "a", 5)
    assert events(agent) == []
    fail(agent, "a")
    succeed(agent, "a", 5)
    assert events(agent) == ["failure"]


def test_it_opens_after_the_failures_of_the_setting(agent):
    fail(agent, "a", 2)
    row = status(agent, "a")
    assert (row.breaker, row.failures, row.opened_at, row.available) == ("closed", 2, None, True)
    fail(agent, "a")
    row = status(agent, "a")
    assert (row.breaker, row.failures, row.available) == ("open", 3, False)
    assert (row.retry_at - row.opened_at).total_seconds() == pytest.approx(0.2)
    with refused("TD003", detail="'a' has its circuit breaker open until 20"):
        acquire(agent, "a")


def test_failures_apart_by_more_than_the_window_do_not_open_it(agent):
    settings(agent, breaker_window_seconds="0.2")
    fail(agent, "a", 2)
    time.sleep(0.25)
    fail(agent, "a", 2)
    assert (breaker(agent, "a"), status(agent, "a").failures) == ("closed", 2)
    fail(agent, "a")
    assert breaker(agent, "a") == "open"


def test_successes_between_do_not_keep_it_closed(agent):
    for _ in range(3):
        fail(agent, "a")
        succeed(agent, "a")
    assert breaker(agent, "a") == "open"


def test_no_failures_open_a_breaker_that_is_off(agent):
    settings(agent, breaker_failures="0")
    fail(agent, "a", 20)
    assert (breaker(agent, "a"), status(agent, "a").available) == ("closed", True)
    assert events(agent) == []


def test_agents_have_a_breaker_each(agent):
    register(agent, "b", pool="p")
    opened(agent, "a")
    assert breaker(agent, "b") == "closed"
    assert [acquire(agent, "p").agent_name for _ in range(2)] == ["b", "b"]


def test_outcomes_in_the_open_state_change_nothing(agent):
    opened(agent)
    before = status(agent, "a")
    succeed(agent, "a", 5)
    fail(agent, "a", 5)
    assert status(agent, "a") == before


def test_half_open_gives_one_lease(agent):
    register(agent, "a", max_concurrent=5)
    half_opened(agent)
    assert status(agent, "a").available
    probe = acquire(agent, "a")
    assert not status(agent, "a").available
    with refused("TD003", detail="'a' is being probed after failures"):
        acquire(agent, "a")
    release(agent, probe.lease)
    assert acquire(agent, "a").agent_name == "a"


def test_a_probe_that_is_lost_expires(agent):
    half_opened(agent)
    acquire(agent, "a", "0.1 seconds")
    with refused("TD003"):
        acquire(agent, "a")
    time.sleep(0.15)
    acquire(agent, "a")


def test_a_probe_needs_a_free_slot_as_well(agent):
    register(agent, "a", max_concurrent=1)
    lease = acquire(agent, "a").lease
    half_opened(agent)
    with refused("TD003", detail=r"full \(1 of 1\)"):
        acquire(agent, "a")
    release(agent, lease)
    acquire(agent, "a")


def test_the_probe_goes_before_members_that_are_well(agent):
    register(agent, "A", pool="p")
    half_opened(agent)
    assert [acquire(agent, "p").agent_name for _ in range(2)] == ["a", "A"]


def test_it_closes_after_the_successes_of_the_setting(agent):
    half_opened(agent)
    succeed(agent, "a")
    assert breaker(agent, "a") == "half_open"
    succeed(agent, "a")
    row = status(agent, "a")
    assert (row.breaker, row.failures, row.opened_at, row.retry_at) == ("closed", 0, None, None)
    fail(agent, "a", 2)
    assert breaker(agent, "a") == "closed"
    fail(agent, "a")
    assert breaker(agent, "a") == "open"


def test_a_failure_opens_it_again_for_twice_as_long_up_to_the_longest(agent):
    lengths = []
    opened(agent)
    for _ in range(4):
        row = status(agent, "a")
        length = (row.retry_at - row.opened_at).total_seconds()
        lengths.append(length)
        time.sleep(length + 0.05)
        fail(agent, "a")
        assert breaker(agent, "a") == "open"
    assert lengths == pytest.approx([0.2, 0.4, 0.5, 0.5])


def test_closing_ends_the_doubling(agent):
    half_opened(agent)
    fail(agent, "a")
    time.sleep(0.45)
    succeed(agent, "a", 2)
    opened(agent)
    row = status(agent, "a")
    assert (row.retry_at - row.opened_at).total_seconds() == pytest.approx(0.2)


def test_a_success_after_a_success_and_a_failure_begins_anew(agent):
    half_opened(agent)
    succeed(agent, "a")
    fail(agent, "a")
    time.sleep(0.45)
    succeed(agent, "a")
    assert breaker(agent, "a") == "half_open"


def test_a_slow_success_from_before_the_opening_does_not_close_it(agent):
    half_opened(agent)
    succeed(agent, "a", 5, latency_ms=60_000)
    assert breaker(agent, "a") == "half_open"


def test_an_outcome_of_a_decision_from_before_the_opening_does_not_close_it(agent):
    old = decision(agent)
    half_opened(agent)
    succeed(agent, "a", 5, decision_id=old, latency_ms=1)
    assert breaker(agent, "a") == "half_open"
    succeed(agent, "a", 2, decision_id=decision(agent), latency_ms=1)
    assert breaker(agent, "a") == "closed"


def test_a_late_failure_neither_opens_again_nor_after_the_closing(agent):
    old = decision(agent)
    half_opened(agent)
    fail(agent, "a", latency_ms=60_000)
    assert breaker(agent, "a") == "half_open"
    succeed(agent, "a", 2)
    fail(agent, "a", 5, decision_id=old)
    fail(agent, "a", 5, latency_ms=60_000)
    assert (breaker(agent, "a"), status(agent, "a").failures) == ("closed", 0)


def test_the_longest_latency_is_no_error(agent):
    half_opened(agent)
    succeed(agent, "a", latency_ms=1e12)
    fail(agent, "a", latency_ms=1e12)
    succeed(agent, "a", decision_id=uuid.uuid4())
    assert breaker(agent, "a") == "half_open"


def test_outcomes_of_long_ago_are_no_news(agent):
    """As a restore brings them, with the times they had."""
    agent.execute(
        "INSERT INTO tiny_dancer.usage (agent_id, cost, success, recorded_at)"
        " SELECT %s, 0, false, now() - interval '2 hours' FROM generate_series(1, 9)",
        (agent_id(agent, "a"),),
    )
    assert events(agent) == []


def test_many_rows_in_one_statement(agent):
    agent.execute(
        "INSERT INTO tiny_dancer.usage (agent_id, cost, success)"
        " SELECT %s, 0, n %% 2 = 0 FROM generate_series(1, 100) AS n",
        (agent_id(agent, "a"),),
    )
    assert breaker(agent, "a") == "open"
    assert len(events(agent)) == 4


def test_a_rolled_back_outcome_does_not_count(db):
    settings(db, **QUICK)
    register(db, "a")
    with db.transaction(force_rollback=True):
        opened(db)
    assert breaker(db, "a") == "closed"


def test_a_name_registered_again_has_a_closed_breaker(agent):
    opened(agent)
    call(agent, "ruvector_remove_agent", name="a")
    register(agent, "a")
    row = status(agent, "a")
    assert (row.breaker, row.failures) == ("closed", 0)
    fail(agent, "a", 2)
    assert breaker(agent, "a") == "closed"


def test_reset(agent):
    opened(agent)
    assert call(agent, "tiny_dancer.reset_breaker", agent="a")[0][0] is True
    row = status(agent, "a")
    assert (row.breaker, row.failures, row.available) == ("closed", 0, True)
    assert call(agent, "tiny_dancer.reset_breaker", agent="a")[0][0] is False
    for name in ("nobody", None):
        with refused("42704", "unknown agent"):
            call(agent, "tiny_dancer.reset_breaker", agent=name)


def test_health_says_open_and_half_open(agent):
    opened(agent)
    [row] = call(agent, "tiny_dancer.agent_health")
    assert row == (agent_id(agent, "a"), False, "open", 0, None)
    time.sleep(COOLDOWN)
    [row] = call(agent, "tiny_dancer.agent_health")
    assert row == (agent_id(agent, "a"), True, "half_open", 0, None)
    acquire(agent, "a")
    [row] = call(agent, "tiny_dancer.agent_health")
    assert row == (agent_id(agent, "a"), False, "half_open", 1, None)


def test_a_read_only_session_sees_half_open_by_the_clock(agent):
    opened(agent)
    time.sleep(COOLDOWN)
    with agent.transaction():
        agent.execute("SET TRANSACTION READ ONLY")
        assert breaker(agent, "a") == "half_open"


def test_old_events_go(agent):
    settings(agent, breaker_window_seconds="0.1", breaker_failures="1000")
    for _ in range(5):
        fail(agent, "a", 3)
        time.sleep(0.25)
    assert len(events(agent)) <= 4
    settings(agent, breaker_failures="3")
    half_opened(agent)
    time.sleep(0.3)
    call(agent, "tiny_dancer.forget_pool_history")
    assert breaker(agent, "a") == "half_open"
    assert events(agent) == ["opened"]
    succeed(agent, "a", 2)
    call(agent, "tiny_dancer.forget_pool_history")
    agent.execute("TRUNCATE tiny_dancer.usage")
    assert breaker(agent, "a") == "closed"


@pytest.fixture
def quick(db):
    settings(db, **QUICK)
    register(db, "a", pool="p")
    return db


def test_two_failures_at_once_open_it(quick, connect):
    """Neither transaction sees the other's failure."""
    fail(quick, "a")
    first, second = connect(), connect()
    first.execute("BEGIN")
    second.execute("BEGIN")
    fail(first, "a")
    fail(second, "a")
    assert breaker(first, "a") == breaker(second, "a") == "closed"
    first.execute("COMMIT")
    second.execute("COMMIT")
    row = status(quick, "a")
    assert (row.breaker, row.failures) == ("open", 3)
    time.sleep(COOLDOWN)
    assert breaker(quick, "a") == "half_open"
    release(quick, acquire(quick, "a").lease)
    succeed(quick, "a", 2)
    assert breaker(quick, "a") == "closed"
    assert events(quick) == [*["failure"] * 3, "opened"]
    acquire(quick, "a")
    assert events(quick) == [*["failure"] * 3, "opened", "closed"]


def test_an_opening_that_nobody_wrote_goes_after_a_window(quick, connect):
    settings(quick, breaker_window_seconds="0.5", breaker_failures="2")
    first, second = connect(), connect()
    for session in (first, second):
        session.execute("BEGIN")
        fail(session, "a")
    for session in (first, second):
        session.execute("COMMIT")
    assert breaker(quick, "a") == "open"
    time.sleep(0.55)
    assert breaker(quick, "a") == "closed"
    fail(quick, "a")
    assert breaker(quick, "a") == "closed"


def test_an_opening_that_nobody_wrote_is_ended_by_successes(quick, connect):
    """Outcomes alone: nobody takes a lease, and no failure comes that would write it."""
    fail(quick, "a")
    with connect() as other, other.transaction():
        fail(other, "a")
        fail(quick, "a")
    assert events(quick) == ["failure"] * 3
    assert breaker(quick, "a") == "open"
    time.sleep(COOLDOWN)
    assert breaker(quick, "a") == "half_open"
    succeed(quick, "a", 2)
    assert breaker(quick, "a") == "closed"
    fail(quick, "a", 2)
    assert breaker(quick, "a") == "closed"


def test_an_opening_that_nobody_wrote_is_written_by_the_next_failure(quick, connect):
    settings(quick, breaker_failures="2")
    first, second = connect(), connect()
    for session in (first, second):
        session.execute("BEGIN")
        fail(session, "a")
    for session in (first, second):
        session.execute("COMMIT")
    fail(quick, "a")
    assert events(quick) == ["failure", "failure", "opened"]


def test_two_successes_at_once_close_it(quick, connect):
    half_opened(quick)
    first, second = connect(), connect()
    for session in (first, second):
        session.execute("BEGIN")
        succeed(session, "a")
    first.execute("COMMIT")
    second.execute("COMMIT")
    assert breaker(quick, "a") == "closed"
    fail(quick, "a", 2)
    assert breaker(quick, "a") == "closed"
    fail(quick, "a")
    assert breaker(quick, "a") == "open"


def test_recording_waits_for_nobody_and_never_deadlocks(quick, connect):
    register(quick, "b")
    settings(quick, breaker_failures="1")
    first, second = connect(), connect()
    for session in (first, second):
        session.execute("SET statement_timeout = '2s'")
        session.execute("BEGIN")
    fail(first, "a")
    fail(second, "b")
    fail(first, "b")
    fail(second, "a")
    first.execute("COMMIT")
    second.execute("COMMIT")
    assert breaker(quick, "a") == breaker(quick, "b") == "open"


def test_recording_never_fails_to_serialise(quick, connect):
    sessions = [connect() for _ in range(16)]

    def record(session):
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for number in range(20):
            with session.transaction():
                outcome(session, "a", number % 3 == 0)

    assert refusals(at_once(sessions, record)) == []
    assert breaker(quick, "a") in ("open", "half_open")


def test_many_failures_at_once_open_it_once(quick, connect):
    sessions = [connect() for _ in range(16)]
    settings(quick, breaker_cooldown_seconds="30", breaker_max_cooldown_seconds="600")
    at_once(sessions, lambda session: fail(session, "a", 5))
    fail(quick, "a")
    row = status(quick, "a")
    assert row.breaker == "open"
    assert (row.retry_at - row.opened_at).total_seconds() == pytest.approx(30)


def test_of_many_probes_at_once_one_goes_through(quick, connect):
    sessions = [connect() for _ in range(16)]
    half_opened(quick)
    results = at_once(sessions, lambda session: acquire(session, "a"))
    assert refusals(results) == ["TD003"] * 15
    assert quick.execute("SELECT count(*) FROM tiny_dancer.leases").fetchone()[0] == 1


def test_an_expired_probe_that_is_being_renewed_stays_the_only_one(quick, connect):
    half_opened(quick)
    lease = acquire(quick, "a", "0.2 seconds").lease
    holder = connect()
    with holder.transaction():
        renew(holder, lease)
        time.sleep(0.25)
        with refused("TD003", detail="probed"):
            acquire(quick, "a")


def test_a_restore_does_not_trip_over_recent_failures(quick, new_database):
    """A restored database begins with every breaker closed: what a restore brings is no news."""
    fail(quick, "a", 3)
    copy = new_database()
    dump = subprocess.Popen(
        [f"{BINDIR}/pg_dump", "-d", address(quick, quick.info.dbname)], stdout=subprocess.PIPE
    )
    restored = subprocess.run(
        [f"{BINDIR}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", address(quick, copy)],
        stdin=dump.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert dump.wait() == 0
    assert restored.returncode == 0, restored.stderr
    with psycopg.connect(address(quick, copy), autocommit=True) as session:
        assert session.execute("SELECT count(*) FROM tiny_dancer.usage").fetchone() == (3,)
        assert session.execute("SELECT count(*) FROM tiny_dancer.breaker_events").fetchone() == (0,)
        query = "SELECT breaker, failures FROM ruvector_pool_status()"
        assert session.execute(query).fetchall() == [("closed", 0)]
