"""A rate limit of N lets exactly N pass in its window."""

from __future__ import annotations

import threading
import time

import psycopg
from refusal import refused
from registration import call
from routes import create, matched

SESSIONS = 32
LIMIT = 20


def test_matching_checks_and_consuming_counts(db):
    create(db, "limited", utterances=["sing a song"], conditions={"rate_limit": 2})
    create(db, "other", utterances=["sing a song for me"])
    for _ in range(5):
        assert matched(db, "sing a song")[0] == "limited"
    assert matched(db, "sing a song", consume=True)[0] == "limited"
    assert matched(db, "sing a song", consume=True)[0] == "limited"
    assert matched(db, "sing a song", consume=True) == ["other"]
    assert matched(db, "sing a song") == ["other"]


def test_a_pass_is_counted_of_the_first_route_alone(db):
    for name in ("first", "second"):
        create(db, name, utterances=["sing a song"], conditions={"rate_limit": 1})
    assert matched(db, "sing a song", consume=True) == ["first", "second"]
    assert matched(db, "sing a song", consume=True) == ["second"]
    assert matched(db, "sing a song", consume=True) == []


def test_a_new_window_begins_when_the_time_is_over(db):
    limit = {"limit": 1, "per_seconds": 1.5}
    create(db, "limited", utterances=["sing a song"], conditions={"rate_limit": limit})
    assert matched(db, "sing a song", consume=True) == ["limited"]
    assert matched(db, "sing a song", consume=True) == []
    time.sleep(1.6)
    assert matched(db, "sing a song") == ["limited"]
    assert matched(db, "sing a song", consume=True) == ["limited"]
    assert matched(db, "sing a song", consume=True) == []


def test_a_pass_that_is_rolled_back_is_free_again(db):
    create(db, "limited", utterances=["sing a song"], conditions={"rate_limit": 1})
    with db.transaction():
        assert matched(db, "sing a song", consume=True) == ["limited"]
        assert matched(db, "sing a song", consume=True) == []
        raise psycopg.Rollback
    assert matched(db, "sing a song", consume=True) == ["limited"]


def test_replacing_a_route_does_not_forget_its_passes(db):
    for _ in range(2):
        create(db, "limited", utterances=["sing a song"], conditions={"rate_limit": 1})
        names = matched(db, "sing a song", consume=True)
    assert names == []
    call(db, "ruvector_drop_route", name="limited")
    create(db, "limited", utterances=["sing a song"], conditions={"rate_limit": 1})
    assert matched(db, "sing a song", consume=True) == ["limited"]


def run_together(connect, count, task):
    sessions = [connect() for _ in range(count)]
    start, errors = threading.Barrier(count), []

    def work(session, number):
        start.wait()
        try:
            task(session, number)
        except psycopg.Error as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=[session, number])
        for number, session in enumerate(sessions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive(), "sessions wait for each other"
    return errors


def test_exactly_so_many_of_32_sessions_pass(db, connect):
    limit = {"limit": LIMIT, "per_seconds": 3600}
    create(db, "limited", utterances=["sing a song"], conditions={"rate_limit": limit})
    passes = []

    def task(session, number):
        for _ in range(3):
            passes.extend(matched(session, "sing a song", consume=True))

    assert run_together(connect, SESSIONS, task) == []
    assert passes == ["limited"] * LIMIT
    assert db.execute("SELECT passed FROM tiny_dancer.route_passes").fetchone() == (LIMIT,)


def test_two_limited_routes_in_opposite_orders_do_not_deadlock(db, connect):
    limit = {"limit": LIMIT, "per_seconds": 3600}
    for name, text in (("song", "sing a song"), ("poem", "sing a poem")):
        create(db, name, utterances=[text], conditions={"rate_limit": limit}, threshold=0.1)
    passes = []

    def task(session, number):
        for ordinal in range(6):
            text = "sing a song" if (number + ordinal) % 2 else "sing a poem"
            passes.extend(matched(session, text, top_k=1, consume=True))

    assert run_together(connect, 8, task) == []
    assert sorted(passes) == ["poem"] * LIMIT + ["song"] * LIMIT


def test_a_repeatable_read_that_comes_too_late_is_told_to_try_again(db, connect):
    create(db, "limited", utterances=["sing a song"], conditions={"rate_limit": 2})
    late = connect()
    with refused("40001"), late.transaction():
        late.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert matched(late, "sing a song") == ["limited"]
        assert matched(db, "sing a song", consume=True) == ["limited"]
        matched(late, "sing a song", consume=True)
    assert matched(late, "sing a song", consume=True) == ["limited"]
    assert matched(late, "sing a song", consume=True) == []
