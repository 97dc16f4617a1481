"""Writers at the same time: nobody deadlocks, nothing is lost."""

from __future__ import annotations

import threading

import psycopg
from refusal import refused
from registration import agent_names, call, chosen, register

WRITERS = 4
ROUNDS = 12


def run_together(connect, task):
    """Run task(session, number) in a session for each writer; return the errors."""
    sessions = [connect() for _ in range(WRITERS)]
    start, errors = threading.Barrier(WRITERS), []

    def work(number):
        start.wait()
        try:
            task(sessions[number], number)
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "writers wait for each other"
    return errors


def test_registering_different_names_at_once(db, connect):
    def task(session, number):
        for ordinal in range(ROUNDS):
            register(session, f"agent-{number}-{ordinal}")

    assert run_together(connect, task) == []
    assert len(agent_names(db)) == WRITERS * ROUNDS


def test_registering_the_same_name_at_once(db, connect):
    def task(session, number):
        for _ in range(ROUNDS):
            register(session, "one", quality_score=number / 10)

    assert run_together(connect, task) == []
    assert agent_names(db) == ["one"]
    [(rows,)] = db.execute("SELECT count(*) FROM tiny_dancer.agents")
    assert rows == 1


def test_registering_the_same_names_in_opposite_orders_in_transactions(db, connect):
    names = ["a", "b", "c", "d"]

    def task(session, number):
        for _ in range(ROUNDS):
            with session.transaction():
                for name in names if number % 2 else reversed(names):
                    register(session, name, quality_score=number / 10)

    assert run_together(connect, task) == []
    assert agent_names(db) == names


def test_registering_removing_switching_and_deciding_at_once(db, connect):
    register(db, "always")

    def task(session, number):
        for _ in range(ROUNDS):
            register(session, f"agent-{number}")
            chosen(session)
            call(session, "ruvector_set_agent_active", name="always", is_active=True)
            call(session, "ruvector_remove_agent", name=f"agent-{number}")

    assert run_together(connect, task) == []
    assert agent_names(db) == ["always"]


def test_changing_one_setting_at_once(db, connect):
    def task(session, number):
        for ordinal in range(ROUNDS):
            call(session, "tiny_dancer.set", name="alternatives", value=str(number + ordinal))

    assert run_together(connect, task) == []


def test_a_waiting_writer_can_be_cancelled(db, connect):
    other = connect()
    other.execute("SET statement_timeout = '100ms'")
    with db.transaction():
        register(db, "a")
        with refused("57014"):
            register(other, "b")
    assert agent_names(other) == ["a"]
    other.execute("RESET statement_timeout")
    register(other, "b")
    assert agent_names(db) == ["a", "b"]


def test_a_writer_with_an_old_snapshot_gets_a_serialisation_failure(db, connect):
    other = connect()
    other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert agent_names(other) == []
    register(db, "a")
    with refused("40001"):
        register(other, "b")
    other.execute("ROLLBACK")
    assert agent_names(other) == ["a"]


def test_readers_do_not_wait_for_writers(db, connect):
    register(db, "a")
    other = connect()
    other.execute("SET statement_timeout = '5s'")
    with db.transaction():
        register(db, "b")
        assert chosen(other) == "a"
