"""Slots by lease: acquire, renew, release, expiry, and exactly N of them under concurrency."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import psycopg
import pytest
from outcomes import (
    acquire,
    agent_id,
    at_once,
    refusals,
    release,
    renew,
    settings,
    status,
)
from refusal import refused
from registration import call, register

SESSIONS = 32


def test_a_lease_names_agent_and_end(registry):
    register(registry, "a")
    lease = acquire(registry, "a", "10 seconds")
    assert isinstance(lease.lease, uuid.UUID)
    assert lease.agent_name == "a"
    now = registry.execute("SELECT clock_timestamp()").fetchone()[0]
    assert timedelta(seconds=9) < lease.expires_at - now <= timedelta(seconds=10)


def test_a_minute_is_the_default(registry):
    register(registry, "a")
    lease = call(registry, "ruvector_acquire", pool_or_agent="a")[0]
    now = registry.execute("SELECT clock_timestamp()").fetchone()[0]
    assert timedelta(seconds=59) < lease.expires_at - now <= timedelta(seconds=60)


def test_slots_are_counted(registry):
    register(registry, "a", max_concurrent=2)
    first, _ = acquire(registry, "a"), acquire(registry, "a")
    row = status(registry, "a")
    assert (row.in_flight, row.free_slots, row.available) == (2, 0, False)
    with refused("TD003", "no free slot at 'a'", detail=r"Agent 'a' is full \(2 of 2\)\."):
        acquire(registry, "a")
    assert release(registry, first.lease) is True
    assert acquire(registry, "a").agent_name == "a"


def test_without_a_limit_all_are_counted(registry):
    register(registry, "a")
    for _ in range(5):
        acquire(registry, "a")
    row = status(registry, "a")
    assert (row.in_flight, row.free_slots, row.max_concurrent, row.available) == (
        5,
        None,
        None,
        True,
    )


def test_a_pool_gives_the_least_in_flight_by_weight(registry):
    register(registry, "heavy", pool="p", weight=2)
    register(registry, "light", pool="p", weight=1)
    taken = [acquire(registry, "p").agent_name for _ in range(6)]
    # Loads 0/0, 0.5/0, 0.5/1, 1/1 (by name), 1.5/1, 1.5/2.
    assert taken == ["heavy", "light", "heavy", "heavy", "light", "heavy"]


def test_a_full_member_is_passed_over(registry):
    register(registry, "a", pool="p", max_concurrent=1)
    register(registry, "b", pool="p", max_concurrent=1)
    assert {acquire(registry, "p").agent_name, acquire(registry, "p").agent_name} == {"a", "b"}
    call(registry, "ruvector_set_agent_active", name="b", is_active=False)
    with refused("TD003", detail=r"'a' is full \(1 of 1\); 'b' is inactive\.") as caught:
        acquire(registry, "p")
    assert caught.value.diag.message_hint


def test_an_inactive_agent_gives_no_slot(registry):
    register(registry, "a")
    call(registry, "ruvector_set_agent_active", name="a", is_active=False)
    with refused("TD003", detail="Agent 'a' is inactive"):
        acquire(registry, "a")


def test_an_agent_wins_over_a_pool_of_its_name(registry):
    register(registry, "both")
    register(registry, "member", pool="both")
    assert [acquire(registry, "both").agent_name for _ in range(3)] == ["both"] * 3


@pytest.mark.parametrize("name", ["nobody", "", None, "A"])
def test_an_unknown_name(registry, name):
    register(registry, "a", pool="p")
    with refused("42704", "unknown agent or pool"):
        acquire(registry, name)


@pytest.mark.parametrize(
    "ttl", ["0", "-1 second", "1 hour 1 second", "1000000 years", None, "1 microsecond"]
)
def test_a_duration_that_makes_no_sense(registry, ttl):
    register(registry, "a")
    with refused("22023", "a lease can not last", detail="lease_max_seconds"):
        acquire(registry, "a", ttl)
    assert status(registry, "a").in_flight == 0
    lease = acquire(registry, "a").lease
    with refused("22023", "a lease can not last"):
        renew(registry, lease, ttl)


def test_the_longest_duration_is_a_setting(registry):
    register(registry, "a")
    settings(registry, lease_max_seconds="5")
    acquire(registry, "a", "5 seconds")
    with refused("22023", detail="to 5 seconds"):
        acquire(registry, "a", "6 seconds")


def test_a_lease_that_nobody_released_expires(registry):
    register(registry, "a", max_concurrent=1)
    lost = acquire(registry, "a", "0.2 seconds")
    with refused("TD003"):
        acquire(registry, "a")
    time.sleep(0.25)
    assert status(registry, "a").free_slots == 1
    acquire(registry, "a")
    with refused("42704", "is not held", hint="acquire a new lease"):
        renew(registry, lost.lease)
    assert release(registry, lost.lease) is False


def test_a_killed_holder_frees_its_slot_by_expiry(db, connect):
    register(db, "a", max_concurrent=1)
    holder = connect()
    acquire(holder, "a", "0.3 seconds")
    db.execute("SELECT pg_terminate_backend(%s)", (holder.info.backend_pid,))
    with refused("TD003"):
        acquire(db, "a")
    time.sleep(0.35)
    assert acquire(db, "a").agent_name == "a"


def test_renewing_extends_and_may_shorten(registry):
    register(registry, "a", max_concurrent=1)
    lease = acquire(registry, "a", "0.2 seconds").lease
    renewed = renew(registry, lease, "30 seconds")
    time.sleep(0.25)
    with refused("TD003"):
        acquire(registry, "a")
    assert renew(registry, lease, "0.1 seconds") < renewed
    time.sleep(0.15)
    acquire(registry, "a")


def test_releasing_says_whether_the_lease_was_held(registry):
    register(registry, "a")
    lease = acquire(registry, "a").lease
    assert release(registry, lease) is True
    assert release(registry, lease) is False
    assert release(registry, uuid.uuid4()) is False
    assert release(registry, None) is False
    with refused("42704", "lease NULL is not held"):
        renew(registry, None)


def test_a_rolled_back_acquire_takes_nothing(db):
    register(db, "a", max_concurrent=1)
    with db.transaction(force_rollback=True):
        acquire(db, "a")
    assert status(db, "a").in_flight == 0
    acquire(db, "a")


def test_a_name_registered_again_starts_anew(registry):
    register(registry, "a", max_concurrent=1)
    lease = acquire(registry, "a").lease
    call(registry, "ruvector_remove_agent", name="a")
    with refused("42704"):
        acquire(registry, "a")
    register(registry, "a", max_concurrent=1)
    assert status(registry, "a").in_flight == 0
    acquire(registry, "a")
    assert release(registry, lease) is True
    assert status(registry, "a").in_flight == 1


def test_a_read_only_transaction_looks_and_takes_nothing(db):
    register(db, "a")
    lease = acquire(db, "a").lease
    with db.transaction():
        db.execute("SET TRANSACTION READ ONLY")
        assert status(db, "a").in_flight == 1
        assert len(call(db, "tiny_dancer.agent_health")) == 1
    for take in (lambda: acquire(db, "a"), lambda: renew(db, lease), lambda: release(db, lease)):
        with refused("25006", "read-only", hint="primary"), db.transaction():
            db.execute("SET TRANSACTION READ ONLY")
            take()


def test_a_lowered_limit_holds_for_those_who_come(registry):
    register(registry, "a", max_concurrent=3)
    for _ in range(3):
        acquire(registry, "a")
    register(registry, "a", max_concurrent=1)
    row = status(registry, "a")
    assert (row.in_flight, row.free_slots) == (3, 0)
    with refused("TD003", detail=r"full \(3 of 1\)"):
        acquire(registry, "a")


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_max_concurrent_is_exact_for_many_sessions(db, connect, level):
    register(db, "a", max_concurrent=7)
    sessions = [connect() for _ in range(SESSIONS)]
    retried = {"40001"} if level != "read committed" else set()

    def take(session):
        session.isolation_level = psycopg.IsolationLevel[level.upper().replace(" ", "_")]
        while True:
            try:
                with session.transaction():
                    session.execute("SELECT count(*) FROM tiny_dancer.leases")
                    return acquire(session, "a")
            except psycopg.Error as error:
                if error.sqlstate not in retried:
                    raise

    results = at_once(sessions, take)
    assert set(refusals(results)) == {"TD003"}
    assert len(refusals(results)) == SESSIONS - 7
    assert db.execute("SELECT count(*) FROM tiny_dancer.leases").fetchone()[0] == 7


def test_an_old_snapshot_gets_a_serialisation_failure_and_no_slot(db, connect):
    register(db, "a", max_concurrent=1)
    release(db, acquire(db, "a").lease)
    old = connect()
    old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with refused("40001"), old.transaction():
        assert status(old, "a").in_flight == 0
        acquire(db, "a")
        acquire(old, "a")
    assert status(db, "a").in_flight == 1


def test_an_old_snapshot_does_not_take_the_slot_of_a_renewed_lease(db, connect):
    register(db, "a", max_concurrent=1)
    lease = acquire(db, "a", "0.4 seconds").lease
    old = connect()
    old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with refused("40001"), old.transaction():
        assert status(old, "a").in_flight == 1
        renew(db, lease)
        time.sleep(0.45)
        assert status(old, "a").in_flight == 0
        acquire(old, "a")
    assert status(db, "a").in_flight == 1


def test_a_lease_being_renewed_counts_even_when_its_time_passes(db, connect):
    register(db, "a", max_concurrent=1)
    lease = acquire(db, "a", "0.3 seconds").lease
    holder = connect()
    with holder.transaction():
        renew(holder, lease)
        time.sleep(0.35)
        with refused("TD003", detail=r"full \(1 of 1\)"):
            acquire(db, "a")
    assert status(db, "a").in_flight == 1


def test_a_pool_gives_out_exactly_its_slots(db, connect):
    for name, slots in (("a", 3), ("b", 4), ("c", 5)):
        register(db, name, pool="p", max_concurrent=slots)
    sessions = [connect() for _ in range(SESSIONS)]
    results = at_once(sessions, lambda session: acquire(session, "p"))
    assert refusals(results) == ["TD003"] * (SESSIONS - 12)
    held = {name: status(db, name).in_flight for name in "abc"}
    assert held == {"a": 3, "b": 4, "c": 5}


def test_slots_are_exact_while_leases_come_and_go(db, connect):
    register(db, "a", pool="p", max_concurrent=3)
    register(db, "b", pool="p", max_concurrent=2)
    sessions = [connect() for _ in range(16)]
    most = []

    def work(session):
        for _ in range(25):
            try:
                lease = acquire(session, "p", "5 seconds")
            except psycopg.Error as error:
                if error.sqlstate != "TD003":
                    raise
                continue
            most.append(
                session.execute(
                    "SELECT max(n) FROM (SELECT count(*) AS n FROM tiny_dancer.leases"
                    " GROUP BY agent_id) AS held"
                ).fetchone()[0]
            )
            renew(session, lease.lease)
            assert release(session, lease.lease) is True

    assert refusals(at_once(sessions, work)) == []
    assert most
    assert max(most) <= 3
    assert db.execute("SELECT count(*) FROM tiny_dancer.leases").fetchone()[0] == 0


def test_a_locked_member_is_passed_over_and_not_waited_for(db, connect):
    register(db, "a", pool="p", max_concurrent=5)
    register(db, "b", pool="p", max_concurrent=5)
    release(db, acquire(db, "a").lease)
    slow = connect()
    with slow.transaction():
        assert acquire(slow, "p").agent_name == "a"
        db.execute("SET statement_timeout = '2s'")
        assert [acquire(db, "p").agent_name for _ in range(2)] == ["b", "b"]


def test_who_waits_gets_the_slot_that_a_rollback_frees(db, connect):
    register(db, "a", max_concurrent=1)
    release(db, acquire(db, "a").lease)
    first, second = connect(), connect()
    first.execute("BEGIN")
    acquire(first, "a")
    results = at_once(
        [first, second],
        lambda session: (
            acquire(session, "a")
            if session is second
            else (time.sleep(0.3), session.execute("ROLLBACK"))
        ),
    )
    assert results[1].agent_name == "a"


def test_two_renewals_at_once_both_hold(db, connect):
    register(db, "a", max_concurrent=1)
    lease = acquire(db, "a").lease
    sessions = [connect() for _ in range(8)]
    results = at_once(sessions, lambda session: renew(session, lease, "20 seconds"))
    assert refusals(results) == []
    assert status(db, "a").in_flight == 1


def test_a_lease_is_released_once(db, connect):
    register(db, "a")
    lease = acquire(db, "a").lease
    sessions = [connect() for _ in range(8)]
    results = at_once(sessions, lambda session: release(session, lease))
    assert sorted(results) == [False] * 7 + [True]


def test_opposite_orders_in_a_pool_do_not_deadlock(db, connect):
    for name in "abcd":
        register(db, name, pool="p", max_concurrent=4)
    sessions = [connect() for _ in range(16)]

    def take_twice(session):
        for _ in range(10):
            with session.transaction():
                leases = [acquire(session, "p").lease]
            with session.transaction():
                for lease in leases:
                    release(session, lease)

    assert set(refusals(at_once(sessions, take_twice))) <= {"TD003"}


def test_agent_health_lists_who_is_not_idle(registry):
    for name in ("idle", "busy", "full", "inactive"):
        register(registry, name, max_concurrent=1 if name == "full" else None)
    for name in ("busy", "full", "inactive"):
        acquire(registry, name)
    call(registry, "ruvector_set_agent_active", name="inactive", is_active=False)
    health = {row.agent_id: row[1:] for row in call(registry, "tiny_dancer.agent_health")}
    assert health == {
        agent_id(registry, "busy"): (True, "closed", 1, None),
        agent_id(registry, "full"): (False, "closed", 1, 0),
        agent_id(registry, "inactive"): (False, "closed", 1, None),
    }


def test_history_that_is_over_can_be_forgotten(registry):
    register(registry, "a")
    acquire(registry, "a", "0.01 seconds")
    acquire(registry, "a")
    time.sleep(0.05)
    call(registry, "tiny_dancer.forget_pool_history")
    name = agent_id(registry, "a")
    left = registry.execute(
        "SELECT count(*) FROM tiny_dancer.leases WHERE agent_id = %s", (name,)
    ).fetchone()[0]
    assert left == 1
