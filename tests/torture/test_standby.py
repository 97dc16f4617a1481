"""A streaming replica answers as its primary, records nothing, and takes over with nothing lost."""

from __future__ import annotations

import shutil
import threading
import time

import psycopg
import pytest
from cluster import BINDIR, Cluster, models_of, own_folder, own_programs
from outcomes import settings
from refusal import refused
from registration import call, register, register_four
from routes import create
from training import train_quickly

MODEL = "all-MiniLM-L6-v2"
REQUESTS = ("Say hello", "Write code", "Translate this")
EMBEDDING = [1.0] + [0.0] * 383
WRITERS = 4
# Acknowledged outcomes, before the primary is killed.
ENOUGH = 60
RECORDING = [
    "SELECT * FROM ruvector_route('hello', embedding := %(e)s::real[], record := true)",
    "SELECT * FROM ruvector_semantic_route('hello', embedding := %(e)s::real[], consume := true)",
    "SELECT ruvector_record_usage('gpt-4', 1, true)",
    "SELECT ruvector_record_feedback(1::bigint, 0.5)",
    "SELECT ruvector_reserve_budget('gpt-4', 0.1)",
    "SELECT ruvector_acquire('gpt-4')",
    "SELECT ruvector_set_budget(1, 'day')",
]
NEEDS_THE_MODEL = [
    "SELECT * FROM ruvector_route('hello')",
    "SELECT * FROM ruvector_explain_route('hello')",
    "SELECT * FROM ruvector_semantic_route('hello')",
    "SELECT ruvector_classify_request('hello')",
    "SELECT ruvector_embed('hello')",
]
NEEDS_NO_MODEL = [
    "SELECT * FROM ruvector_route('hello', embedding := %(e)s::real[])",
    "SELECT * FROM ruvector_explain_route('hello', embedding := %(e)s::real[])",
    "SELECT * FROM ruvector_semantic_route('hello', embedding := %(e)s::real[])",
    "SELECT * FROM ruvector_list_agents()",
    "SELECT * FROM ruvector_list_routes()",
    "SELECT * FROM ruvector_pool_status()",
    "SELECT * FROM ruvector_budget_status()",
    "SELECT * FROM ruvector_routing_stats()",
    "SELECT * FROM ruvector_routing_analytics()",
    "SELECT * FROM ruvector_optimize_budget(100)",
]


@pytest.fixture(scope="module")
def primary():
    made = Cluster("primary", 5434).create(wal_level="replica", max_wal_senders=4).start()
    with made.create_database(MODEL, "onnx") as session:
        settings(session, live_state_seconds="0")
        register_four(session)
        create(session, "greeting", "gpt-3.5", "Say hello")
        train_quickly(session)
        call(session, "ruvector_set_budget", limit_amount=5.0, period="month")
        for agent, success in (("gpt-4", True), ("gpt-3.5", False), ("gpt-4", True)):
            usage = {"actual_cost": 0.25, "success": success, "latency_ms": 90.0}
            call(session, "ruvector_record_usage", agent=agent, **usage)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def standby(primary):
    """A replica on the same machine, with programs and a model folder of its own."""
    made = Cluster("standby", 5435, own_programs("standby-server"))
    own_folder(made.folder)
    made.program(
        "pg_basebackup",
        *("-h", primary.address()["host"], "-p", primary.port, "-U", primary.address()["user"]),
        *("-D", made.folder, "-R", "-C", "-S", "standby", "-c", "fast"),
    )
    made.configure(hot_standby="on")
    made.start()
    yield made
    made.remove()


@pytest.fixture
def reader(standby):
    with standby.connect() as session:
        yield session


@pytest.fixture
def writer(primary):
    with primary.connect() as session:
        yield session


def caught_up(writer, reader):
    """Wait until the replica has replayed all that the primary has written."""
    [(written,)] = writer.execute("SELECT pg_current_wal_flush_lsn()::text").fetchall()
    query = f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn"
    wait_for(reader, query)


def answers(session, statements, requests=()):
    given = [session.execute(s, {"e": EMBEDDING}).fetchall() for s in statements]
    for request in requests:
        for function in ("ruvector_route", "ruvector_explain_route"):
            given.append(call(session, function, request=request))
        given.append(call(session, "ruvector_semantic_route", query=request))
        given.append(call(session, "ruvector_classify_request", request=request))
    return given


def test_without_the_model_what_needs_no_text_works_and_text_says_what_to_run(writer, reader):
    caught_up(writer, reader)
    assert answers(reader, NEEDS_NO_MODEL) == answers(writer, NEEDS_NO_MODEL)
    for statement in NEEDS_THE_MODEL:
        with refused("58P01", MODEL, hint=f"on this host: tiny-dancer model import {MODEL}"):
            reader.execute(statement)
    unwell = [row for row in call(reader, "tiny_dancer.doctor") if not row.ok]
    assert [row.subject for row in unwell] == ["embedding model"]
    assert answers(reader, NEEDS_NO_MODEL) == answers(writer, NEEDS_NO_MODEL)


def test_it_refuses_to_record(reader):
    for statement in RECORDING:
        with refused("25006", hint="transaction|primary"):
            reader.execute(statement, {"e": EMBEDDING} if "%(e)s" in statement else None)


def test_with_the_model_it_answers_as_the_primary(standby, writer, reader, figure):
    """In a session that failed to embed before; nothing has to be restarted."""
    with refused("58P01"):
        reader.execute(NEEDS_THE_MODEL[0])
    bring_model(standby)
    expected = answers(writer, NEEDS_NO_MODEL, REQUESTS)
    assert answers(reader, NEEDS_NO_MODEL, REQUESTS) == expected
    assert all(row.ok for row in call(reader, "tiny_dancer.doctor"))
    figure("answers compared with the primary's", len(expected))


def bring_model(standby):
    """What the command of the hint leaves behind: the model's folder among the models."""
    shutil.copytree(models_of(BINDIR) / MODEL, standby.models / MODEL)


def test_it_sees_changes_of_the_registry_when_they_replicate(writer, reader):
    for ordinal in range(20):
        name = f"new-{ordinal}"
        register(writer, name, cost_per_call=ordinal / 1000)
        create(writer, "moving", name, "Move along")
        settings(writer, alternatives=str(1 + ordinal % 4))
        caught_up(writer, reader)
        assert answers(reader, NEEDS_NO_MODEL) == answers(writer, NEEDS_NO_MODEL)
        call(writer, "ruvector_remove_agent", name=name)
        caught_up(writer, reader)
        assert answers(reader, NEEDS_NO_MODEL) == answers(writer, NEEDS_NO_MODEL)


def write_until_it_dies(session, number, acknowledged):
    ordinal = 0
    try:
        while True:
            ordinal += 1
            key = f"{number}-{ordinal}"
            name = f"writer-{number}-{ordinal % 3}"
            register(session, name, cost_per_call=ordinal / 1000)
            [(usage_id,)] = call(
                session,
                "ruvector_record_usage",
                agent=name,
                actual_cost=0.001,
                success=True,
                idempotency_key=key,
            )
            acknowledged[key] = (usage_id, name)
    except psycopg.OperationalError:
        session.close()


def test_promoted_after_the_primary_was_killed_it_has_lost_nothing(
    primary, standby, writer, reader, figure
):
    writer.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
    writer.execute("SELECT pg_reload_conf()")
    wait_for(writer, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'")
    acknowledged = {}
    threads = [
        threading.Thread(
            target=write_until_it_dies, args=(primary.connect(), number, acknowledged), daemon=True
        )
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) >= ENOUGH, "hardly anything is acknowledged")
    primary.kill()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    began = time.monotonic()
    assert reader.execute("SELECT pg_promote()").fetchone() == (True,)
    call(reader, "ruvector_record_usage", agent="gpt-4", actual_cost=0.1, success=True)
    figure("seconds from promotion to the first outcome", time.monotonic() - began)
    query = """
        SELECT u.idempotency_key, u.id, a.name
        FROM tiny_dancer.usage u JOIN tiny_dancer.agents a ON a.id = u.agent_id
        WHERE u.idempotency_key IS NOT NULL
    """
    kept = {key: (usage_id, name) for key, usage_id, name in reader.execute(query)}
    lost = [key for key, outcome in acknowledged.items() if kept.get(key) != outcome]
    assert lost == []
    figure("outcomes acknowledged before the kill, all there", len(acknowledged))
    living = "SELECT name FROM tiny_dancer.agents WHERE removed_at IS NULL ORDER BY 1"
    cached = "SELECT agent_name FROM ruvector_explain_route('hello') ORDER BY 1"
    assert reader.execute(cached).fetchall() == reader.execute(living).fetchall()
    for key, (usage_id, name) in list(acknowledged.items())[-5:]:
        retried = {"actual_cost": 0.001, "success": True, "idempotency_key": key}
        assert call(reader, "ruvector_record_usage", agent=name, **retried) == [(usage_id,)]


def wait_for(session, query):
    wait_until(lambda: session.execute(query).fetchone()[0], query)


def wait_until(is_so, problem):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, problem
        time.sleep(0.02)
