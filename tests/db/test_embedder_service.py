"""Backends that ask the embedder process: the same vectors, and what happens when it is gone."""

from __future__ import annotations

import grp
import os
import signal
import threading
import time

import psycopg
import pytest
from embedder_process import (
    MODEL,
    PATIENCE,
    embedder,
    group_of_server,
    models_folder,
    owner_of_server,
)
from refusal import refused
from registration import agent_names, call, register, route

pytestmark = pytest.mark.skipif(
    "TINY_DANCER_PG_BINDIR" not in os.environ, reason="the server's folders are not known"
)
USE = "SELECT tiny_dancer.use_model(%s, provider := %s)"


def use(session, provider, name=MODEL):
    return session.execute(USE, (name, provider)).fetchone()[0]


def embedded(session, text="Fix this program"):
    return session.execute("SELECT ruvector_embed(%s)::text", [text]).fetchone()[0]


def models(session):
    query = "SELECT name, provider, active FROM tiny_dancer.models ORDER BY id"
    return [tuple(row) for row in session.execute(query)]


def test_it_gives_the_vectors_of_the_model_in_process_and_the_switch_keeps_the_row(meaning_db):
    register(meaning_db, "coder", ["code"])
    inside, chosen = embedded(meaning_db), route(meaning_db, "Fix this program").similarity
    batch = "SELECT ordinal, embedding::text FROM ruvector_embed_batch(%s)"
    texts = [f"text number {i} " * (1 + 150 * (i == 7)) for i in range(30)]
    inside_batch = meaning_db.execute(batch, [texts]).fetchall()
    [row] = meaning_db.execute("SELECT id, checksum FROM tiny_dancer.models WHERE active")
    with embedder(meaning_db, "--threads", "2"):
        assert use(meaning_db, "service") == f"{MODEL} (service, 384 dimensions), 1 agents embedded"
        assert embedded(meaning_db) == inside
        assert route(meaning_db, "Fix this program").similarity == chosen
        assert meaning_db.execute(batch, [texts]).fetchall() == inside_batch
        query = "SELECT id, checksum FROM tiny_dancer.models WHERE active"
        assert meaning_db.execute(query).fetchall() == [row]
        [finding] = [
            r for r in call(meaning_db, "tiny_dancer.doctor") if r.subject == "embedding model"
        ]
        assert (finding.ok, finding.finding) == (True, f"{MODEL} (service, 384 dimensions)")
        assert [r.subject for r in call(meaning_db, "tiny_dancer.warmup")][-1] == "embedding model"
        assert use(meaning_db, None).startswith(f"{MODEL} (service")
        assert use(meaning_db, "onnx").startswith(f"{MODEL} (onnx")
        assert embedded(meaning_db) == inside
    assert models(meaning_db)[-1] == (MODEL, "onnx", True)


def test_a_database_can_begin_with_the_service(db):
    with embedder(db):
        use(db, "service")
        assert models(db)[-1] == (MODEL, "service", True)
        assert len(embedded(db)) > 384


def test_no_embedder_is_refused_before_anything_changes(db):
    before = models(db)
    with refused("58P01", "is not running on this host", hint=f"tiny-dancer embedder {MODEL}"):
        use(db, "service")
    assert models(db) == before


def test_a_socket_of_another_group_is_refused_with_advice(db):
    own = grp.getgrgid(os.getegid()).gr_name
    if owner_of_server(db) == os.geteuid() or group_of_server(db) == own:
        pytest.skip("the server runs as whoever runs the tests")
    with (
        embedder(db, group=own),
        refused("58P01", r"cannot be reached \(Permission denied\)", hint="--group"),
    ):
        use(db, "service")


def test_text_longer_than_a_message_is_refused_and_the_connection_stays(db):
    with embedder(db):
        use(db, "service")
        db.execute("SELECT tiny_dancer.set('max_request_characters', '20000000')")
        with refused("22023", "bytes and the embedder takes"):
            db.execute("SELECT ruvector_embed(repeat('word ', 3500000))")
        assert embedded(db)


def test_a_wrong_name_or_dimension_is_refused(db):
    with refused("22023", "model name"):
        use(db, "service", "../../etc/passwd")
    with embedder(db), refused("22023", "has dimension 384, not 3"):
        db.execute(f"SELECT tiny_dancer.use_model('{MODEL}', 'service', 3)")


def test_a_vanished_embedder_stops_text_and_nothing_else(db, connect):
    with embedder(db):
        use(db, "service")
        register(db, "coder", ["code"])
        assert route(db, "Fix this program")
    for session in (db, connect()):
        with refused("58P01", "is not running", hint="tiny-dancer embedder"):
            route(session, "Fix this program")
        with refused("58P01", "is not running"):
            embedded(session)
        assert route(session, embedding=[1.0, *[0.0] * 383]).agent_name == "coder"
        assert agent_names(session) == ["coder"]
        findings = {row.subject: row for row in call(session, "tiny_dancer.doctor")}
        assert findings["embedding model"].ok is False
        assert "tiny-dancer embedder" in findings["embedding model"].remedy
    with embedder(db):
        assert route(db, "Fix this program").agent_name == "coder"


def test_the_doctor_notices_that_the_socket_is_gone_under_an_open_connection(db):
    with embedder(db):
        use(db, "service")
        embedded(db)
        socket_file = models_folder() / f"{MODEL}.sock"
        aside = socket_file.with_name("aside.sock")
        socket_file.rename(aside)
        try:
            assert embedded(db)
            findings = {row.subject: row for row in call(db, "tiny_dancer.doctor")}
            assert "is not running" in findings["embedding model"].finding
        finally:
            aside.rename(socket_file)


def test_a_killed_embedder_that_is_back_is_found_by_open_sessions(db):
    with embedder(db) as first:
        use(db, "service")
        before = embedded(db)
        first.kill()
        first.wait(PATIENCE)
    with refused("58P01", "is not running"):
        embedded(db)
    with embedder(db):
        assert embedded(db) == before
    with embedder(db):
        assert embedded(db) == before


def long_call(session, errors):
    try:
        session.execute(
            "SELECT count(*) FROM ruvector_embed_batch("
            " ARRAY(SELECT 'some long text ' || repeat(i || ' words ', 200)"
            " FROM generate_series(1, 5000) i))"
        )
    except Exception as error:
        errors.append(error)


@pytest.fixture
def in_the_middle(db, connect):
    """Start a long call in another session; returns its session, errors and thread."""

    def start():
        session, errors = connect(), []
        thread = threading.Thread(target=long_call, args=(session, errors))
        thread.start()
        time.sleep(1.0)
        assert thread.is_alive()
        return session, errors, thread

    return start


def test_an_embedder_killed_in_the_middle_of_a_call(db, in_the_middle):
    with embedder(db) as process:
        use(db, "service")
        session, errors, thread = in_the_middle()
        process.kill()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert errors[0].sqlstate in ("58P01", "08006")
    assert errors[0].diag.message_hint
    assert session.execute("SELECT 1").fetchone() == (1,)
    with embedder(db):
        assert embedded(session)


def test_a_cancel_takes_effect_while_an_answer_is_due(db, in_the_middle):
    with embedder(db) as process:
        use(db, "service")
        session, errors, thread = in_the_middle()
        # It goes on living and says nothing any more.
        process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            session.cancel()
            thread.join(PATIENCE)
            assert time.monotonic() - began < 5
            assert errors[0].sqlstate == "57014"
            session.execute("SET statement_timeout = '300ms'")
            with refused("57014"):
                embedded(session)
            session.execute("RESET statement_timeout")
        finally:
            process.send_signal(signal.SIGCONT)
        assert embedded(session, "after") == embedded(db, "after")


def embedded_at_last(session):
    """Come again as long as the embedder says so."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return embedded(session)
        except psycopg.errors.InsufficientResources:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def test_a_full_queue_is_an_error_that_says_to_come_again(db, connect):
    with embedder(db, "--threads", "1", "--queue", "1"):
        use(db, "service")
        sessions, errors = [connect() for _ in range(6)], []
        threads = [threading.Thread(target=long_call, args=(s, errors)) for s in sessions]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE
        while not errors:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for session in sessions:
            session.cancel()
        for thread in threads:
            thread.join(PATIENCE)
        assert errors[0].sqlstate == "53000"
        assert "texts are waiting" in errors[0].diag.message_primary
        assert "again" in errors[0].diag.message_hint
        assert embedded_at_last(db)


def test_an_embedder_of_another_build_gets_a_row_of_its_own(db):
    with embedder(db):
        use(db, "service")
        before = embedded(db)
        db.execute("UPDATE tiny_dancer.models SET checksum = repeat('ab', 32) WHERE active")
        with refused("58P01", "is not the one that this database uses", hint="use_model"):
            embedded(db)
        use(db, "service")
        assert embedded(db) == before
        assert models(db)[-2:] == [
            (f"{MODEL}.abababababab", "service", False),
            (MODEL, "service", True),
        ]


def test_no_setting_of_a_session_moves_the_socket(db, tmp_path):
    with embedder(db):
        use(db, "service")
        for name in ("tiny_dancer.socket", "tiny_dancer.models_dir", "tiny_dancer.embedder"):
            db.execute(f"SET {name} = '{tmp_path}'")
        assert embedded(db)
