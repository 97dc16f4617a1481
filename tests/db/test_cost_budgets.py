"""Budgets: admission, reservations and how they end, windows, concurrency, rights, dumps."""

from __future__ import annotations

import functools
import os
import subprocess
import threading
import uuid
from datetime import UTC, datetime

import psycopg
import pytest
from databases import url_of
from refusal import refused
from registration import call, register
from test_cost_recording import in_parallel, record

WINDOW = "SELECT tiny_dancer.window_start(%s, %s, %s), tiny_dancer.window_end(%s, %s, %s)"


@pytest.fixture
def agents(db):
    register(db, "gpt-4")
    register(db, "haiku")
    return db


def set_budget(session, limit, period="day", **scope):
    return call(session, "ruvector_set_budget", limit_amount=limit, period=period, **scope)[0][0]


def reserve(session, cost, agent="gpt-4", **more):
    arguments = {"agent": agent, "estimated_cost": float(cost), **more}
    return call(session, "ruvector_reserve_budget", **arguments)[0][0]


def settle(session, reservation, cost):
    arguments = {"reservation": reservation, "actual_cost": float(cost)}
    return call(session, "ruvector_settle_budget", **arguments)[0][0]


def release(session, reservation):
    return call(session, "ruvector_release_budget", reservation=reservation)[0][0]


def check(session, cost, agent="gpt-4", **more):
    arguments = {"agent": agent, "estimated_cost": float(cost), **more}
    return call(session, "ruvector_check_budget", **arguments)[0][0]


def status(session, agent=None, tag=None):
    [row] = [
        row
        for row in call(session, "ruvector_budget_status")
        if (row.agent, row.tag) == (agent, tag)
    ]
    return row


def balance(session, agent=None, tag=None):
    row = status(session, agent, tag)
    return (row.settled, row.reserved, row.remaining)


def test_a_limit_admits_exactly_its_amount(agents):
    set_budget(agents, 1.0, agent="gpt-4")
    for _ in range(10):
        reserve(agents, 0.1)
    assert balance(agents, "gpt-4") == (0.0, 1.0, 0.0)
    with refused("TD002", "does not admit", detail="agent 'gpt-4' per day: limit 1, .*reserved 1"):
        reserve(agents, 0.000001)


def test_ten_recorded_tenths_are_one(agents):
    set_budget(agents, 1.0, agent="gpt-4")
    for _ in range(9):
        record(agents, actual_cost=0.1)
    assert check(agents, 0.1) is True
    assert check(agents, 0.1000001) is False


@pytest.mark.parametrize("scope", [{}, {"agent": "gpt-4"}, {"tag": "team"}])
def test_every_kind_of_budget_refuses(agents, scope):
    set_budget(agents, 1.0, **scope)
    reserve(agents, 0.6, tags=["team"])
    with refused("TD002"):
        reserve(agents, 0.5, tags=["team"])
    assert check(agents, 0.5, tags=["team"]) is False
    assert check(agents, 0.5, "haiku") is bool(scope)


def test_all_budgets_that_apply_must_admit(agents):
    set_budget(agents, 5.0)
    set_budget(agents, 1.0, "hour", agent="gpt-4")
    set_budget(agents, 3.0, "month", agent="gpt-4")
    with refused("TD002", detail="per hour"):
        reserve(agents, 2)
    reserve(agents, 2, "haiku")
    assert balance(agents) == (0.0, 2.0, 3.0)


def test_a_refused_reservation_leaves_nothing(agents):
    set_budget(agents, 5.0)
    set_budget(agents, 1.0, agent="gpt-4")
    with refused("TD002"):
        reserve(agents, 2)
    assert balance(agents) == (0.0, 0.0, 5.0)


def test_settling_counts_what_was_spent_and_frees_the_rest(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    assert settle(agents, held, 0.2) is True
    assert balance(agents) == (0.2, 0.0, 0.8)
    assert settle(agents, held, 0.9) is False
    assert balance(agents) == (0.2, 0.0, 0.8)


def test_releasing_frees_all_of_it(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    assert release(agents, held) is True
    assert release(agents, held) is False
    assert balance(agents) == (0.0, 0.0, 1.0)


def test_what_was_spent_after_a_release_counts(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    release(agents, held)
    assert settle(agents, held, 0.3) is True
    assert balance(agents) == (0.3, 0.0, 0.7)


def test_an_overshoot_is_counted_and_reported(agents):
    set_budget(agents, 1.0)
    settle(agents, reserve(agents, 0.9), 1.5)
    row = status(agents)
    assert (row.settled, row.remaining, row.overshoot, row.over_limit) == (1.5, 0.0, 0.6, 0.5)


def test_recorded_spend_is_never_refused(agents):
    set_budget(agents, 1.0)
    record(agents, actual_cost=3)
    assert status(agents).over_limit == 2.0


def test_an_expired_reservation_is_free_again_and_still_settles(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 1.0, ttl="1 microsecond")
    assert balance(agents) == (0.0, 0.0, 1.0)
    reserve(agents, 0.8)
    assert settle(agents, held, 0.7) is True
    assert status(agents).settled == 0.7
    assert status(agents).over_limit == 0.0
    assert check(agents, 0.001) is False


def test_an_outcome_settles_its_reservation_once(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    record(agents, actual_cost=0.2, reservation=held)
    assert balance(agents) == (0.2, 0.0, 0.8)
    record(agents, actual_cost=0.2, reservation=held)
    assert balance(agents) == (0.4, 0.0, 0.6)


def test_an_outcome_whose_reservation_was_settled_is_not_charged_again(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    settle(agents, held, 0.2)
    record(agents, actual_cost=0.2, reservation=held)
    assert balance(agents) == (0.2, 0.0, 0.8)
    record(agents, actual_cost=0.2, reservation=held)
    assert balance(agents) == (0.4, 0.0, 0.6)


def test_settling_for_nothing_hides_no_spend(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    settle(agents, held, 0.0)
    record(agents, actual_cost=0.4, reservation=held)
    assert balance(agents) == (0.4, 0.0, 0.6)


def test_a_repeated_key_is_charged_once(agents):
    set_budget(agents, 1.0)
    for _ in range(2):
        record(agents, actual_cost=0.2, idempotency_key="k")
    assert balance(agents) == (0.2, 0.0, 0.8)


def test_an_unknown_reservation_never_hides_an_outcome(agents):
    set_budget(agents, 1.0)
    record(agents, actual_cost=0.2, reservation=uuid.uuid4())
    assert balance(agents) == (0.2, 0.0, 0.8)
    for function in (settle, lambda session, unknown, _: release(session, unknown)):
        with refused("42704", "unknown reservation", hint="."):
            function(agents, uuid.uuid4(), 0.1)


def test_removing_an_agent_or_a_budget_erases_no_spend(agents):
    set_budget(agents, 1.0, agent="gpt-4")
    record(agents, actual_cost=0.2)
    settle(agents, reserve(agents, 0.2), 0.1)
    reserve(agents, 0.4)
    agents.execute("SELECT ruvector_remove_agent('gpt-4')")
    register(agents, "gpt-4")
    assert balance(agents, "gpt-4") == (0.3, 0.4, 0.3)
    assert set_budget(agents, None, agent="gpt-4") is True
    assert set_budget(agents, None, agent="gpt-4") is False
    assert check(agents, 100) is True
    set_budget(agents, 2.0, agent="gpt-4")
    assert balance(agents, "gpt-4") == (0.3, 0.4, 1.3)


def test_a_changed_limit_or_time_zone_keeps_what_was_spent(agents):
    set_budget(agents, 1.0, "month")
    record(agents, actual_cost=0.5)
    set_budget(agents, 2.0, "month", time_zone="asia/kathmandu")
    assert status(agents).time_zone == "Asia/Kathmandu"
    assert balance(agents) == (0.5, 0.0, 1.5)
    set_budget(agents, 3.0, "month")
    assert status(agents).time_zone == "Asia/Kathmandu"


def test_a_window_that_has_passed_counts_as_empty(agents):
    set_budget(agents, 1.0, agent="gpt-4")
    record(agents, actual_cost=1)
    reserved = "SELECT sum(remaining) FROM tiny_dancer.agent_budgets()"
    assert agents.execute(reserved).fetchone()[0] == 0
    agents.execute(
        "UPDATE tiny_dancer.budget_charges SET window_start = window_start - '1 day'::interval"
    )
    assert agents.execute(reserved).fetchone()[0] == 1
    reserve(agents, 1)


def test_a_reservation_counts_in_the_window_it_was_made_in(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    agents.execute(
        "UPDATE tiny_dancer.reservations SET reserved_at = reserved_at - '1 d'::interval;"
        " UPDATE tiny_dancer.budget_holds SET window_start = window_start - '1 d'::interval"
    )
    assert balance(agents) == (0.0, 0.0, 1.0)
    settle(agents, held, 0.8)
    # The excess over what had been admitted is spent now.
    assert balance(agents) == (0.3, 0.0, 0.7)


@pytest.mark.parametrize(
    ("period", "zone", "moment", "began", "ended"),
    [
        ("day", "UTC", "2026-03-01T23:59Z", "2026-03-01T00:00Z", "2026-03-02T00:00Z"),
        ("day", "Asia/Tokyo", "2026-03-01T23:59Z", "2026-03-01T15:00Z", "2026-03-02T15:00Z"),
        (
            "month",
            "America/New_York",
            "2026-03-01T04:59Z",
            "2026-02-01T05:00Z",
            "2026-03-01T05:00Z",
        ),
        # The clocks of Berlin: a day of 23 hours, one of 25, and each hour its own.
        ("day", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("day", "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        ("hour", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-25T00:00Z", "2026-10-25T01:00Z"),
        ("hour", "Europe/Berlin", "2026-10-25T01:30Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"),
        ("hour", "Asia/Kathmandu", "2026-03-01T00:10Z", "2026-02-28T23:15Z", "2026-03-01T00:15Z"),
        # In Havana midnight came twice, at 04:00 and 05:00.
        ("day", "America/Havana", "2025-11-02T04:30Z", "2025-11-02T04:00Z", "2025-11-03T05:00Z"),
        ("day", "America/Havana", "2025-11-02T05:30Z", "2025-11-02T04:00Z", "2025-11-03T05:00Z"),
    ],
)
def test_windows_follow_the_clocks_of_the_budget(registry, period, zone, moment, began, ended):
    moment, began, ended = (
        datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
        for text in (moment, began, ended)
    )
    registry.execute("SET timezone = 'Australia/Lord_Howe'")
    found = registry.execute(WINDOW, (period, zone, moment) * 2).fetchone()
    assert tuple(found) == (began, ended)


def reserve_all(sessions, rounds, cost, isolation="read committed"):
    """Reserve in all sessions at once; return how many were admitted, and other errors."""
    admitted, errors = [], []
    barrier = threading.Barrier(len(sessions))

    def work(session):
        session.execute(f"SET default_transaction_isolation = '{isolation}'")
        barrier.wait()
        done = 0
        while done < rounds:
            try:
                admitted.append(reserve(session, cost, "gpt-4", tags=["b", "a"]))
            except psycopg.errors.SerializationFailure:
                continue
            except psycopg.Error as error:
                if error.sqlstate != "TD002":
                    errors.append(error)
            done += 1

    in_parallel(work, sessions)
    return len(admitted), errors


def test_32_sessions_never_pass_a_limit_and_never_deadlock(agents, connect):
    for scope in ({"agent": "gpt-4"}, {"tag": "a"}, {"tag": "b"}, {}):
        set_budget(agents, 10.0, **scope)
    admitted, errors = reserve_all([connect() for _ in range(32)], 5, 0.1)
    assert (admitted, errors) == (100, [])
    assert balance(agents) == (0.0, 10.0, 0.0)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_strict_isolation_never_passes_a_limit(agents, connect, isolation):
    set_budget(agents, 1.0)
    admitted, errors = reserve_all([connect() for _ in range(6)], 3, 0.1, isolation)
    assert (admitted, errors) == (10, [])


def test_an_old_snapshot_admits_nothing(agents, connect):
    set_budget(agents, 1.0)
    old = connect()
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert check(old, 1.0) is True
    record(agents, actual_cost=1)
    with refused("40001", "could not serialize", hint="Retry"):
        reserve(old, 1.0)


def test_recording_for_two_agents_in_either_order_waits_for_nobody(agents, connect):
    for scope in ({"agent": "gpt-4"}, {"agent": "haiku"}, {}):
        set_budget(agents, 100.0, **scope)
    one, two = connect(), connect()
    for session, names in ((one, ("gpt-4", "haiku")), (two, ("haiku", "gpt-4"))):
        session.execute("SET lock_timeout = '2s'")
        session.execute("BEGIN")
        for name in names:
            record(session, name, actual_cost=1)
    one.execute("COMMIT")
    two.execute("COMMIT")
    assert balance(agents) == (4.0, 0.0, 96.0)


def test_many_charges_are_merged_and_none_is_lost(agents, connect):
    set_budget(agents, 1000.0)

    def work(session):
        for _ in range(100):
            record(session, actual_cost=0.01)

    in_parallel(work, [connect() for _ in range(4)])
    assert balance(agents)[0] == 4.0
    [kept] = agents.execute("SELECT count(*) FROM tiny_dancer.budget_charges").fetchone()
    assert kept < 200


def test_what_is_rolled_back_is_not_charged(agents):
    set_budget(agents, 1.0)
    with agents.transaction(force_rollback=True):
        record(agents, actual_cost=0.5)
        reserve(agents, 0.5)
    assert balance(agents) == (0.0, 0.0, 1.0)


def test_plain_inserts_are_charged_like_any_outcome(agents):
    set_budget(agents, 1.0, tag="t")
    agents.execute(
        "INSERT INTO tiny_dancer.usage (agent_id, cost, success, tags)"
        " SELECT id, 0.25, true, '{t,t}' FROM tiny_dancer.agents"
    )
    assert balance(agents, tag="t") == (0.5, 0.0, 0.5)


def test_outcomes_of_the_past_are_charged_to_no_window(agents):
    set_budget(agents, 1.0)
    agents.execute(
        "INSERT INTO tiny_dancer.usage (recorded_at, agent_id, cost, success)"
        " VALUES (now() - '1 second'::interval, 1, 0.25, true)"
    )
    assert balance(agents) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ({"limit_amount": -1.0, "period": "day"}, "22023"),
        ({"limit_amount": float("nan"), "period": "day"}, "22023"),
        ({"limit_amount": float("inf"), "period": "day"}, "22023"),
        ({"limit_amount": 1.0, "period": "week"}, "22023"),
        ({"limit_amount": 1.0, "period": None}, "22023"),
        ({"limit_amount": 1.0, "period": "day", "agent": "gpt-4", "tag": "t"}, "22023"),
        ({"limit_amount": 1.0, "period": "day", "tag": ""}, "22023"),
        ({"limit_amount": 1.0, "period": "day", "time_zone": "Moon/Base"}, "22023"),
        ({"limit_amount": 1.0, "period": "day", "agent": "nobody"}, "42704"),
    ],
)
def test_impossible_budgets_are_refused(agents, arguments, sqlstate):
    with refused(sqlstate, hint="."):
        call(agents, "ruvector_set_budget", **arguments)


@pytest.mark.parametrize(
    ("cost", "more", "sqlstate"),
    [
        (-1, {}, "22023"),
        ("nan", {}, "22023"),
        (1, {"ttl": "0"}, "22023"),
        (1, {"ttl": "2 days"}, "22023"),
        (1, {"tags": ["a", None]}, "22023"),
        (1, {"agent": "nobody"}, "42704"),
    ],
)
def test_impossible_reservations_are_refused(agents, cost, more, sqlstate):
    with refused(sqlstate, hint="."):
        reserve(agents, cost, **more)


def test_budgets_need_a_transaction_that_may_write_and_reading_does_not(agents):
    set_budget(agents, 1.0)
    held = reserve(agents, 0.5)
    agents.execute("SET default_transaction_read_only = on")
    for attempt in (
        lambda: set_budget(agents, 2.0),
        lambda: reserve(agents, 0.1),
        lambda: settle(agents, held, 0.1),
        lambda: release(agents, held),
    ):
        with refused("25006", "read-only", hint="may write"):
            attempt()
    assert balance(agents) == (0.0, 0.5, 0.5)
    assert check(agents, 0.5) is True


def test_the_router_sees_the_tightest_budget(agents):
    set_budget(agents, 5.0)
    set_budget(agents, 1.0, "hour", agent="gpt-4")
    set_budget(agents, 2.0, tag="t")
    record(agents, actual_cost=0.5, tags=["t"])
    remaining = dict(
        agents.execute(
            "SELECT a.name, b.remaining FROM tiny_dancer.agent_budgets() b"
            " JOIN tiny_dancer.agents a ON a.id = b.agent_id"
        ).fetchall()
    )
    assert remaining == {"gpt-4": 0.5, "haiku": 4.5}
    assert agents.execute("SELECT * FROM tiny_dancer.tag_budgets()").fetchall() == [("t", 1.5)]


def test_a_usage_role_neither_raises_a_limit_nor_erases_spend(new_role, agents, connect):
    role = new_role("app")
    agents.execute(f"SELECT tiny_dancer.grant_usage('{role}')")
    set_budget(agents, 1.0)
    session = connect(user=role)
    held = reserve(session, 0.5, tags=["t"])
    record(session, actual_cost=0.4, reservation=held)
    settle(session, reserve(session, 0.1), 0.1)
    release(session, reserve(session, 0.1))
    assert balance(session) == (0.5, 0.0, 0.5)
    tables = ("budgets", "budget_charges", "budget_holds", "reservations", "usage", "feedback")
    changes = [f"DELETE FROM tiny_dancer.{table}" for table in tables]
    changes += [f"TRUNCATE tiny_dancer.{table}" for table in tables]
    for statement in (
        *changes,
        "UPDATE tiny_dancer.budgets SET limit_amount = 9",
        "UPDATE tiny_dancer.budget_charges SET amount = 0",
        "UPDATE tiny_dancer.reservations SET amount = 0",
        "INSERT INTO tiny_dancer.budgets (period, limit_amount) VALUES ('day', 9)",
        "INSERT INTO tiny_dancer.budget_charges VALUES (1, now(), 0, 0)",
        "INSERT INTO tiny_dancer.budget_holds SELECT gen_random_uuid(), 1, now(), 0, now()",
        "SELECT id FROM tiny_dancer.reservations",
        "SELECT reservation_id FROM tiny_dancer.budget_holds",
        "SELECT ruvector_set_budget(9, 'day')",
        "SELECT tiny_dancer.charge_budgets('{overall}', now(), 1, 0)",
        "SELECT tiny_dancer.merge_charges(1, now())",
        "SELECT setval('tiny_dancer.budgets_id_seq', 1, false)",
        "ALTER TABLE tiny_dancer.usage DISABLE TRIGGER count_usage",
        "SET session_replication_role = replica",
    ):
        with refused("42501"):
            session.execute(statement)
    assert balance(agents) == (0.5, 0.0, 0.5)


def test_an_administrator_sets_budgets_and_charges_nothing(new_role, agents, connect):
    role = new_role("admin")
    agents.execute(f"SELECT tiny_dancer.grant_admin('{role}')")
    record(agents, actual_cost=0.25)
    session = connect(user=role)
    set_budget(session, 1.0, "month")
    assert balance(session) == (0.25, 0.0, 0.75)
    assert set_budget(session, None, "month") is True
    with refused("42501"):
        session.execute("INSERT INTO tiny_dancer.budget_charges VALUES (1, now(), 0, 0)")


def test_a_dump_brings_budgets_back_as_they_were(agents, new_database, connect, tmp_path):
    record(agents, actual_cost=0.125)
    for scope in ({"agent": "gpt-4"}, {"tag": "t"}, {}):
        set_budget(agents, 1.0, **scope)
    record(agents, actual_cost=0.25, tags=["t"], idempotency_key="k")
    settle(agents, reserve(agents, 0.125), 0.0625)
    held = reserve(agents, 0.0625, tags=["t"])
    target = new_database()
    programs, archive = os.environ["TINY_DANCER_PG_BINDIR"], str(tmp_path / "dump")
    source = url_of(agents.info.dbname)
    run = functools.partial(subprocess.run, check=True, capture_output=True)
    run([f"{programs}/pg_dump", "-Fc", "-f", archive, source])
    run([f"{programs}/pg_restore", "--exit-on-error", "-d", url_of(target), archive])
    restored = connect(dbname=target)
    statuses = [call(session, "ruvector_budget_status") for session in (agents, restored)]
    assert statuses[0] == statuses[1]
    # Keys, reservations and sequences go on where they were.
    assert record(restored, idempotency_key="k") == record(agents, idempotency_key="k")
    assert settle(restored, held, 0.0625) is True
    record(restored, actual_cost=0.25)
    assert balance(restored)[0] == 0.75
