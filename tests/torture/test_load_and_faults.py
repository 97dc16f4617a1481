"""Thirty-two sessions at work while the server is killed and stopped: what was promised holds."""

from __future__ import annotations

import threading
import time

import pytest
from clients import (
    BUDGETS,
    CACHED,
    IN_TABLES,
    LEASE_SECONDS,
    METERED,
    POOL,
    POOL_SIZE,
    SHAKY,
    SLOTS,
    Client,
)
from cluster import Cluster
from faults import Faults
from outcomes import QUICK, settings
from promises import Promises, most_at_once
from registration import call, register

CLIENTS = 32
REQUESTS = ("Say hello", "Write code", "Draw a cat")


@pytest.fixture(scope="module")
def cluster():
    made = Cluster("load", 5433).create().start()
    with made.create_database() as session:
        prepare(session)
    yield made
    made.remove()


def prepare(session):
    settings(session, **QUICK, live_state_seconds="0.2")
    register(session, METERED, cost_per_call=0.01)
    register(session, SHAKY, cost_per_call=0.02)
    for number in range(POOL_SIZE):
        name = f"{POOL}-{number}"
        register(session, name, cost_per_call=0.03, pool=POOL, max_concurrent=SLOTS)
    for tag, limit in BUDGETS.items():
        call(session, "ruvector_set_budget", limit_amount=limit, period="month", tag=tag)
    call(session, "ruvector_set_budget", limit_amount=1e6, period="month")
    call(session, "ruvector_set_budget", limit_amount=1e6, period="month", agent=METERED)


@pytest.fixture(scope="module")
def storm(cluster, seed, seconds):
    """The load and the faults, gone through once; every test looks at what is left."""
    promises, faults, stop = Promises(), Faults(cluster, seed, seconds), threading.Event()
    clients = [Client(number, seed, cluster, promises, stop) for number in range(CLIENTS)]
    for thread in (*clients, faults):
        thread.start()
    faults.join(timeout=seconds + 120)
    stop.set()
    for thread in (faults, *clients):
        thread.join(timeout=60)
        assert not thread.is_alive(), f"{thread.name} hangs"
    assert faults.problem is None, faults.problem
    yield promises, faults, clients
    for client in clients:
        if client.session is not None:
            client.session.close()


@pytest.fixture
def session(cluster, storm):
    with cluster.connect() as opened:
        yield opened


def test_the_load_met_all_that_it_was_made_for(storm, figure, seconds):
    promises, faults, _ = storm
    for what, times in sorted({**promises.counts, **faults.counts}.items()):
        figure(what, times)
    figure("operations a second", sum(promises.counts.values()) / seconds)
    figure("longest recovery, seconds", max(faults.recoveries))
    assert promises.broken == []
    assert faults.counts["backends killed"] == 2
    assert faults.counts["immediate stops"] == 1
    assert promises.counts["refused with TD002"] > 0, "no budget was ever at its limit"
    assert promises.counts["refused with TD003"] > 0, "no agent was ever full"
    assert promises.counts["sessions lost"] >= CLIENTS


def test_every_acknowledged_outcome_is_there_exactly_once(storm, session, figure):
    promises, _, _ = storm
    query = "SELECT idempotency_key, array_agg(id) FROM tiny_dancer.usage GROUP BY 1"
    stored = dict(session.execute(query).fetchall())
    assert None not in stored
    assert [key for key, ids in stored.items() if len(ids) > 1] == []
    lost = [key for key, ids in promises.usage.items() if ids != set(stored.get(key, ()))]
    assert lost == []
    figure("outcomes acknowledged, each there once", len(promises.usage))


def test_every_acknowledged_reservation_ended_as_it_was_acknowledged(storm, session, figure):
    promises, _, _ = storm
    query = "SELECT id, state, actual_cost FROM tiny_dancer.reservations"
    stored = {row.id: row for row in session.execute(query)}
    for reservation, (state, cost) in promises.reservations.items():
        assert reservation in stored
        row = stored[reservation]
        # A release or a settlement that was not acknowledged may have taken place.
        if state != "held":
            assert row.state == state, reservation
        if state == "settled":
            assert float(row.actual_cost) == pytest.approx(cost)
    figure("reservations acknowledged", len(promises.reservations))


def admitted(session, tag):
    """For the moment of each reservation that carries the tag, what was admitted by then."""
    return session.execute(
        """
        SELECT (SELECT sum(CASE WHEN past.state = 'settled' AND past.ended_at <= r.reserved_at
                                THEN past.actual_cost ELSE past.amount END)
                FROM tiny_dancer.reservations past
                WHERE %(tag)s = ANY (past.tags) AND past.reserved_at <= r.reserved_at
                      AND (past.state = 'settled'
                           OR coalesce(past.ended_at, past.expires_at) > r.reserved_at))
        FROM tiny_dancer.reservations r WHERE %(tag)s = ANY (r.tags)
        """,
        {"tag": tag},
    ).fetchall()


@pytest.mark.parametrize("tag", BUDGETS)
def test_no_budget_was_ever_admitted_past_its_limit(session, tag, figure):
    most = float(max(total for (total,) in admitted(session, tag)))
    figure(f"budget {tag}: limit {BUDGETS[tag]}, most admitted", most)
    assert BUDGETS[tag] * 0.9 < most <= BUDGETS[tag] + 1e-12


def test_what_budgets_say_was_spent_is_what_was_recorded(session):
    [(recorded,)] = session.execute(
        """
        SELECT (SELECT sum(u.cost::numeric) FROM tiny_dancer.usage u WHERE u.reservation_id IS NULL)
               + (SELECT sum(r.actual_cost) FROM tiny_dancer.reservations r
                  WHERE r.state = 'settled')
        """
    ).fetchall()
    query = "SELECT sum(amount) FROM tiny_dancer.budget_charges c JOIN tiny_dancer.budgets b"
    [(charged,)] = session.execute(f"{query} ON b.id = c.budget_id AND b.scope = 'overall'")
    assert charged == recorded


def test_no_agent_ever_had_more_leases_than_slots(storm, figure):
    promises, _, _ = storm
    agents = {agent for agent, _, _ in promises.holdings}
    assert agents == {f"{POOL}-{number}" for number in range(POOL_SIZE)}
    for agent in agents:
        held = [(since, until) for name, since, until in promises.holdings if name == agent]
        most = most_at_once([(since, until) for since, until in held if since < until])
        figure(f"{agent}: {SLOTS} slots, most leases at once", most)
        assert most <= SLOTS


def test_no_lease_is_stuck(session):
    time.sleep(LEASE_SECONDS)
    taken = [
        call(session, "ruvector_acquire", pool_or_agent=f"{POOL}-{number}")[0].lease
        for number in range(POOL_SIZE)
        for _ in range(SLOTS)
    ]
    assert len(set(taken)) == POOL_SIZE * SLOTS
    for lease in taken:
        assert call(session, "ruvector_release", lease=lease) == [(True,)]


def test_no_breaker_is_stuck(storm, session, figure):
    opened = "SELECT count(*) FROM tiny_dancer.breaker_events WHERE event = 'opened'"
    [(openings,)] = session.execute(opened).fetchall()
    figure("openings of a circuit breaker", openings)
    assert openings > 0
    deadline = time.monotonic() + 10
    while breakers(session) != {"closed"}:
        assert time.monotonic() < deadline, breakers(session)
        time.sleep(0.2)
        call(session, "ruvector_record_usage", agent=SHAKY, actual_cost=0.0, success=True)
    [slot] = call(session, "ruvector_acquire", pool_or_agent=SHAKY)
    assert call(session, "ruvector_release", lease=slot.lease) == [(True,)]


def breakers(session):
    return {row.breaker for row in session.execute("SELECT breaker FROM ruvector_pool_status()")}


def test_no_decision_named_an_agent_that_was_never_committed(storm, session, figure):
    promises, _, _ = storm
    stored = {name for (name,) in session.execute("SELECT name FROM tiny_dancer.agents")}
    assert promises.named - stored == set()
    assert promises.phantoms & (stored | promises.named) == set()
    assert promises.registered - stored == set()
    unknown = """
        SELECT d.id FROM tiny_dancer.decisions d
        WHERE EXISTS (SELECT FROM unnest(d.candidates || d.agent_id) AS candidate (id)
                      WHERE candidate.id NOT IN (SELECT a.id FROM tiny_dancer.agents a))
    """
    assert session.execute(unknown).fetchall() == []
    figure("agents named by decisions", len(promises.named))
    figure("agents rolled back, never named", len(promises.phantoms))


def test_every_session_answers_as_the_tables_say(storm, session, figure):
    _, _, clients = storm
    # A setting moves its epoch, so it shows too whether every session notices.
    settings(session, live_state_seconds="0")
    expected = answers(session)
    stored = sorted(session.execute(IN_TABLES).fetchall())
    survivors = [client.session for client in clients if client.session is not None]
    assert len(survivors) == CLIENTS
    for survivor in survivors:
        assert sorted(survivor.execute(CACHED).fetchall()) == stored
        assert answers(survivor) == expected
    figure("agents at the end, the same in every session", len(stored))


def answers(session):
    return [call(session, "ruvector_explain_route", request=request) for request in REQUESTS]
