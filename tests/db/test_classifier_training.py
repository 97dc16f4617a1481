"""Training from a query of the caller's: what it may do, what is refused, and what stays."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from calls_at_work import wait_until_at_work
from refusal import refused
from registration import call
from training import TWO_KINDS, train_quickly

KINDS = "'kind ' || n % 2 FROM generate_series(1, 20) AS n"

HOSTILE_QUERIES = {
    "nothing": (None, "22023"),
    "blank": (" \n", "22023"),
    "no rows": ("SELECT 'a', 'b' WHERE false", "22023"),
    "one column": ("SELECT 'a'", "22023"),
    "three columns": (f"SELECT 'text ' || n, n, {KINDS}", "22023"),
    "no texts": (f"SELECT NULL::text, {KINDS}", "22023"),
    "no labels": ("SELECT 'text ' || n, NULL::text FROM generate_series(1, 20) AS n", "22023"),
    "one class": ("SELECT 'text ' || n, 'one' FROM generate_series(1, 20) AS n", "22023"),
    "one row": ("SELECT 'text', 'label'", "22023"),
    "huge texts": (f"SELECT repeat('x', 1000001), {KINDS}", "22023"),
    "a huge label": ("SELECT 'text', repeat('x', 1000000)", "22023"),
    "a statement that deletes": ("DELETE FROM kept RETURNING name, name", "42601"),
    "a deletion in a CTE": ("WITH d AS (DELETE FROM kept RETURNING 1) SELECT 'a', 'b'", "0A000"),
    "two statements": ("SELECT 'a', 'b'; DELETE FROM kept", "42601"),
    "a way out of the brackets": (
        "SELECT 'a', 'b') AS example (content, label); DELETE FROM kept; --",
        "42601",
    ),
    "several statements in brackets": (
        "SELECT 'a', 'b') AS a; SELECT count(*) FROM kept; SELECT * FROM (SELECT 'a', 'b'",
        "42P11",
    ),
    "a cursor": ("FETCH ALL FROM some_cursor", "42601"),
    "the name of a cursor": ("SELECT * FROM some_cursor", "42P01"),
    "locks": ("SELECT name, name FROM kept FOR UPDATE", "0A000"),
    "a file": ("COPY kept TO '/dev/null'", "42601"),
    "the end of the transaction": ("COMMIT", "42601"),
    "a function that writes": (f"SELECT write_a_row(), {KINDS}", "25006"),
    "a sequence": (f"SELECT nextval('numbers')::text, {KINDS}", "25006"),
    "a wish to write": ("SELECT set_config('transaction_read_only', 'off', true), 'b'", "25001"),
    "an error of its own": (f"SELECT (1 / (n - n))::text, {KINDS}", "22012"),
    "a parameter": (f"SELECT $1, {KINDS}", "42P02"),
    "itself": ("SELECT metric, 'b' FROM ruvector_train_classifier('SELECT 1, 2')", "25006"),
}


def classifiers(session):
    query = "SELECT id, name, active FROM tiny_dancer.classifiers ORDER BY id"
    return session.execute(query).fetchall()


@pytest.fixture(scope="module")
def trained(shared_db):
    shared_db.execute(
        "CREATE TABLE kept AS SELECT 'row'::text AS name; CREATE SEQUENCE numbers;"
        " CREATE FUNCTION write_a_row() RETURNS text LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO kept VALUES ('more'); RETURN random(); END$$"
    )
    train_quickly(shared_db)
    return shared_db


@pytest.mark.parametrize(("query", "sqlstate"), HOSTILE_QUERIES.values(), ids=HOSTILE_QUERIES)
def test_a_hostile_query_changes_nothing(trained, query, sqlstate):
    before = classifiers(trained)
    with refused(sqlstate):
        call(trained, "ruvector_train_classifier", query=query)
    assert classifiers(trained) == before
    assert trained.execute("SELECT name FROM kept").fetchall() == [("row",)]
    [(answer,)] = call(trained, "ruvector_classify_request", request="red 4")
    assert answer["top_category"] == "red"
    # The session may write again.
    with trained.transaction(force_rollback=True):
        trained.execute("INSERT INTO kept VALUES ('mine')")


@pytest.mark.parametrize(
    "query",
    [
        f"{TWO_KINDS};",
        f"{TWO_KINDS} -- the end",
        "VALUES ('a', 'b'), ('c', 'd'), ('e', 'f'), ('g', 'b'), ('h', 'd')",
        f"SELECT jsonb_build_object('n', n), {KINDS}",
        "SELECT 'the same text', 'kind ' || n % 3 FROM generate_series(1, 30) AS n",
    ],
)
def test_few_or_odd_rows_are_enough(trained, query):
    with trained.transaction(force_rollback=True):
        metrics = dict(call(trained, "ruvector_train_classifier", query=query))
    assert metrics["rows"] >= 5


def test_the_query_runs_on_the_callers_path_with_the_callers_rights(new_role, db, connect):
    role = new_role("trainer")
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [role])
    db.execute(f'CREATE SCHEMA "{role}" AUTHORIZATION "{role}"; CREATE TABLE secret (a text)')
    session = connect(user=role)
    session.execute(f"CREATE TABLE mine (content, label) AS {TWO_KINDS}")
    with refused("42501", "permission denied for table secret"):
        call(session, "ruvector_train_classifier", query="SELECT a, a FROM public.secret")
    metrics = call(session, "ruvector_train_classifier", query="SELECT * FROM mine")
    assert dict(metrics)["rows"] == 40


@pytest.mark.parametrize("seconds", [0.1, 0.6, 1.5])
def test_training_can_be_cancelled_at_any_time(db, connect, seconds):
    train_quickly(db)
    before = classifiers(db)
    trainer, caught = connect(), []
    query = "SELECT 'text ' || md5(n::text), 'kind ' || n % 7 FROM generate_series(1, 30000) AS n"

    def train():
        try:
            call(trainer, "ruvector_train_classifier", query=query)
        except psycopg.Error as error:
            caught.append(error.sqlstate)

    thread = threading.Thread(target=train)
    thread.start()
    wait_until_at_work(db, trainer)
    time.sleep(seconds)
    cancelled = time.monotonic()
    trainer.cancel()
    thread.join()
    assert time.monotonic() - cancelled < 1.0
    assert caught == ["57014"]
    assert classifiers(db) == before
