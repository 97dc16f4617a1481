"""Everything through pgbouncer in transaction mode, where any call may meet any backend."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import psycopg
import pytest
from cluster import DATABASE, FOLDER, OWNER, SOCKETS, UNSAFE, Cluster, own_folder, server_identity
from outcomes import acquire, release, renew, settings
from psycopg.rows import namedtuple_row
from refusal import refused
from registration import agent_names, call, chosen, explain, register, register_four, route
from routes import create
from training import train_quickly

PGBOUNCER = os.environ.get("TINY_DANCER_PGBOUNCER")
PORT, POOLER_PORT = 5436, 6436
SERVER_SESSIONS, CLIENTS, ROUNDS = 3, 12, 25
CONFIGURATION = """
[databases]
{database} = host={sockets} port={port} dbname={database} user={owner}
[pgbouncer]
listen_addr =
unix_socket_dir = {sockets}
listen_port = {pooler_port}
auth_type = any
auth_user = {owner}
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 100
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""

pytestmark = pytest.mark.skipif(not PGBOUNCER, reason="pgbouncer is not at hand")


@pytest.fixture(scope="module")
def cluster():
    made = Cluster("pooled", PORT).create(**UNSAFE).start()
    with made.create_database() as session:
        settings(session, live_state_seconds="0")
        register_four(session)
        register(session, "pooled", cost_per_call=0.01, max_concurrent=2)
        create(session, "greeting", "gpt-3.5", "Say hello")
        train_quickly(session)
        call(session, "ruvector_set_budget", limit_amount=1.0, period="month", tag="t")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def pooler(cluster):
    """pgbouncer before the server; a function that connects through it."""
    folder = own_folder(FOLDER / "pgbouncer")
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            database=DATABASE,
            sockets=SOCKETS,
            port=PORT,
            pooler_port=POOLER_PORT,
            owner=OWNER,
            sessions=SERVER_SESSIONS,
            folder=folder,
        )
    )
    process = subprocess.Popen(
        [PGBOUNCER, "-q", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **server_identity(),
    )
    wait_until_open(process)
    yield connect_through
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)


def connect_through():
    # A prepared statement belongs to a server's session, and this pooler hands out any of them.
    return psycopg.connect(
        host=str(SOCKETS),
        port=POOLER_PORT,
        user=OWNER,
        dbname=DATABASE,
        autocommit=True,
        prepare_threshold=None,
        row_factory=namedtuple_row,
    )


def wait_until_open(process):
    deadline = time.monotonic() + 20
    while not (SOCKETS / f".s.PGSQL.{POOLER_PORT}").exists():
        assert process.poll() is None, (FOLDER / "pgbouncer" / "pgbouncer.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def clients(pooler):
    sessions = [pooler() for _ in range(CLIENTS)]
    yield sessions
    for session in sessions:
        session.close()


def test_consecutive_calls_of_a_client_meet_different_backends(clients, figure):
    """Or the rest would show nothing."""
    pids = {
        session.execute("SELECT pg_backend_pid(), pg_sleep(0.01)").fetchone()[0]
        for _ in range(20)
        for session in clients
    }
    busy = clients[0]
    with busy.transaction():
        pids.add(busy.execute("SELECT pg_backend_pid()").fetchone()[0])
        pids |= {s.execute("SELECT pg_backend_pid()").fetchone()[0] for s in clients[1:]}
    figure(f"backends behind {CLIENTS} clients", len(pids))
    assert 1 < len(pids) <= SERVER_SESSIONS


def test_answers_are_those_of_a_session_of_ones_own(clients, cluster):
    with cluster.connect() as direct:
        for session in clients:
            for request in ("Say hello", "Write code"):
                assert explain(session, request) == explain(direct, request)
                for function, name in (
                    ("ruvector_semantic_route", "query"),
                    ("ruvector_classify_request", "request"),
                ):
                    expected = call(direct, function, **{name: request})
                    assert call(session, function, **{name: request}) == expected
            assert agent_names(session) == agent_names(direct)


def test_a_change_is_seen_through_every_backend_at_once(clients, figure):
    for ordinal in range(ROUNDS):
        writer, *readers = clients[ordinal % CLIENTS :] + clients[: ordinal % CLIENTS]
        register(writer, "new", ["novelty"])
        assert {chosen(s, required_capabilities=["novelty"]) for s in readers} == {"new"}
        call(writer, "ruvector_remove_agent", name="new")
        assert [s for s in readers if "new" in explain(s)] == []
    figure("changes seen by eleven other clients", 2 * ROUNDS)


def test_a_decision_its_reservation_lease_and_outcome_need_no_session(clients):
    first, second, third, *_ = clients
    decision = route(first, record=True, tags=["t"])
    [(reservation,)] = call(
        second, "ruvector_reserve_budget", agent="pooled", estimated_cost=0.25, tags=["t"]
    )
    lease = acquire(third, "pooled").lease
    assert renew(first, lease)
    assert release(second, lease)
    usage = {"agent": "pooled", "actual_cost": 0.125, "success": True, "reservation": reservation}
    usage |= {"decision_id": decision.decision_id, "idempotency_key": "once"}
    [(usage_id,)] = call(third, "ruvector_record_usage", **usage)
    assert call(first, "ruvector_record_usage", **usage) == [(usage_id,)]
    assert call(second, "ruvector_record_feedback", usage_id=usage_id, quality=0.5)
    [budget] = call(third, "ruvector_budget_status")
    assert (budget.settled, budget.reserved) == (0.125, 0.0)


def test_a_role_for_one_transaction_leaves_nothing_behind(clients, cluster):
    with cluster.connect() as direct:
        direct.execute("CREATE ROLE stranger")
    for session in clients:
        with refused("42501"), session.transaction():
            session.execute("SET LOCAL ROLE stranger")
            route(session)
        assert route(session)


def test_all_clients_at_once_spend_and_hold_no_more_than_there_is(clients, cluster, figure):
    """What is counted in advance holds, whichever backend counts."""
    acknowledged, refusals, errors = [], [], []

    def work(session, number):
        for ordinal in range(ROUNDS):
            try:
                reserve = {"agent": "pooled", "estimated_cost": 0.01, "tags": ["t"]}
                [(reservation,)] = call(session, "ruvector_reserve_budget", **reserve)
                usage = {"agent": "pooled", "actual_cost": 0.01, "success": True, "tags": ["t"]}
                usage |= {"reservation": reservation, "idempotency_key": f"{number}-{ordinal}"}
                call(session, "ruvector_record_usage", **usage)
                acknowledged.append(reservation)
            except psycopg.Error as error:
                (refusals if error.sqlstate == "TD002" else errors).append(error)

    threads = [
        threading.Thread(target=work, args=(session, number), daemon=True)
        for number, session in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    with cluster.connect() as direct:
        [budget] = call(direct, "ruvector_budget_status")
    figure("reservations settled", len(acknowledged))
    figure("reservations refused at the limit", len(refusals))
    assert refusals
    assert budget.settled == pytest.approx(0.125 + len(acknowledged) * 0.01)
    assert budget.settled <= 1.0
