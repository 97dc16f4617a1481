"""A dump taken while others register and record is one moment of the database, and restores."""

from __future__ import annotations

import subprocess
import threading

import psycopg
import pytest
from cluster import BINDIR
from databases import url_of
from outcomes import settings
from registration import call, explain, register

WRITERS = 4
# Spent, as the ledger and as the budget know it; agents, as rows and as vectors.
LEDGER = """
SELECT sum(cost::numeric) AS spent, count(*) AS outcomes, count(DISTINCT idempotency_key) AS keys
FROM tiny_dancer.usage
"""
CHARGED = "SELECT sum(amount) FROM tiny_dancer.budget_charges"
KEYS = "SELECT count(*) FROM tiny_dancer.usage_keys"
LIVING = "SELECT name FROM tiny_dancer.agents WHERE removed_at IS NULL"
EMBEDDED = """
SELECT a.name FROM tiny_dancer.agents a JOIN tiny_dancer.agent_embeddings e ON e.agent_id = a.id
WHERE a.removed_at IS NULL
"""


def write(session, number, stop, done):
    ordinal = 0
    while not stop.is_set():
        ordinal += 1
        name = f"agent-{number}-{ordinal % 5}"
        with session.transaction():
            register(session, name, cost_per_call=ordinal / 1000)
            call(
                session,
                "ruvector_record_usage",
                agent=name,
                actual_cost=0.001,
                success=True,
                idempotency_key=f"{number}-{ordinal}",
            )
        if ordinal % 5 == 0:
            call(session, "ruvector_remove_agent", name=name)
        done.append(name)


@pytest.fixture
def writers(db, connect):
    """Sessions that register and record until the test ends; the list of what they did."""
    settings(db, live_state_seconds="0")
    call(db, "ruvector_set_budget", limit_amount=1e6, period="month")
    stop, done = threading.Event(), []
    threads = [
        threading.Thread(target=write, args=(connect(), number, stop, done), daemon=True)
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    yield done
    stop.set()
    for thread in threads:
        thread.join()


def restore(source, target):
    dump = subprocess.run(
        [BINDIR / "pg_dump", url_of(source)], capture_output=True, check=True, timeout=120
    )
    command = [BINDIR / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target)]
    subprocess.run(command, input=dump.stdout, capture_output=True, check=True, timeout=120)


def test_a_dump_under_load_is_one_moment(db, writers, new_database, connect, figure):
    for _ in range(3):
        before = len(writers)
        target = new_database()
        restore(db.info.dbname, target)
        assert len(writers) > before, "nobody wrote while the dump was taken"
        restored = connect(dbname=target)
        [(spent, rows, keys)] = restored.execute(LEDGER).fetchall()
        assert rows == keys
        assert restored.execute(KEYS).fetchall() == [(rows,)]
        assert restored.execute(CHARGED).fetchall() == [(spent,)]
        living = {name for (name,) in restored.execute(LIVING)}
        assert {name for (name,) in restored.execute(EMBEDDED)} == living == set(explain(restored))
        assert register(restored, "new")
        with pytest.raises(psycopg.errors.UndefinedObject):
            call(restored, "ruvector_remove_agent", name="never")
    figure("transactions of others meanwhile", len(writers))
    figure("outcomes in the last dump, all of them charged", rows)
