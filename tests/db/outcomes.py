"""Leases and outcomes for tests of the pool, and small settings for its circuit breakers."""

from __future__ import annotations

import threading

import psycopg
from registration import call

QUICK = {
    "breaker_failures": "3",
    "breaker_window_seconds": "60",
    "breaker_cooldown_seconds": "0.2",
    "breaker_max_cooldown_seconds": "0.5",
    "breaker_successes": "2",
}


def settings(session, **values):
    for name, value in values.items():
        call(session, "tiny_dancer.set", name=name, value=value)


def agent_id(session, name):
    return session.execute(
        "SELECT id FROM tiny_dancer.agents WHERE name = %s AND removed_at IS NULL", (name,)
    ).fetchone()[0]


def outcome(session, name, success, latency_ms=None, decision_id=None):
    """Write a row of the ledger, as whoever records outcomes does."""
    session.execute(
        "INSERT INTO tiny_dancer.usage (agent_id, cost, success, latency_ms, decision_id)"
        " VALUES (%s, 0, %s, %s, %s)",
        (agent_id(session, name), success, latency_ms, decision_id),
    )


def fail(session, name, times=1, **columns):
    for _ in range(times):
        outcome(session, name, False, **columns)


def succeed(session, name, times=1, **columns):
    for _ in range(times):
        outcome(session, name, True, **columns)


def acquire(session, pool_or_agent, ttl="1 minute"):
    [row] = session.execute(
        "SELECT * FROM ruvector_acquire(%s, %s::interval)", (pool_or_agent, ttl)
    ).fetchall()
    return row


def release(session, lease):
    return session.execute("SELECT ruvector_release(%s)", (lease,)).fetchone()[0]


def renew(session, lease, ttl="1 minute"):
    return session.execute("SELECT ruvector_renew(%s, %s::interval)", (lease, ttl)).fetchone()[0]


def status(session, name):
    [row] = session.execute(
        "SELECT * FROM ruvector_pool_status() WHERE agent_name = %s", (name,)
    ).fetchall()
    return row


def breaker(session, name):
    return status(session, name).breaker


def at_once(sessions, work):
    """Run work(session) in all sessions at the same time; return results, errors in their place."""
    results = [None] * len(sessions)
    start = threading.Barrier(len(sessions))

    def run(place):
        start.wait()
        try:
            results[place] = work(sessions[place])
        except psycopg.Error as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def refusals(results):
    """The SQLSTATEs of the errors among the results."""
    return [result.sqlstate for result in results if isinstance(result, psycopg.Error)]
