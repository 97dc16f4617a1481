"""Twenty thousand calls with whatever may come in: an answer or a documented error each."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from registration import call, register, register_four
from routes import create
from test_generated_calls import LEFT_OUT, SENSIBLE, SIGNATURES, VALUES, check_call
from training import train_quickly

CALLS = 20_000
# How many values of each type calls choose from.
VALUES_OF_A_TYPE = 300
# Design, section 8, and PostgreSQL's own: what does not fit its type, breaks a check of a table, is
# cancelled, or goes beyond a limit.
DOCUMENTED = {
    *("22023", "42704", "42710", "TD001", "TD002", "TD003", "55000", "58P01", "42501"),
    *("22000", "22003", "22008", "22P02", "22P05", "23502", "23514", "40001", "57014", "54000"),
}
HOSTILE_TEXTS = [
    *("'); DROP TABLE tiny_dancer.usage; --", "$$; DELETE FROM tiny_dancer.agents; $$", "\\'; --"),
    *("SELECT pg_sleep(100)", "SELECT 'a', pg_terminate_backend(pg_backend_pid())::text"),
    *("DELETE FROM tiny_dancer.agents RETURNING name, name", "VALUES ('a', 'b')", "TABLE missing"),
    *("WITH w AS (DELETE FROM tiny_dancer.usage RETURNING 'a') SELECT 'a', 'b' FROM w", "COMMIT"),
    *("SELECT 'a', 'b'; DROP TABLE tiny_dancer.usage", "SELECT 'a', pg_read_file('/etc/passwd')"),
    *("SELECT 1 / 0, 'b'", "SELECT 'a', NULL FROM generate_series(1, 50)", "../../etc/passwd"),
    *("{{}}", "%(name)s", "\u202e\u0301\ufeff", "\U0010ffff" * 40, "\x7f\x01", "é" * 200),
    *("word " * 2_000, "x" * 100_000, "\n\t ", "Ω≈ç√∫", "NULL", "nan", "1e999", "true"),
]
NESTED = "[" * 500 + "]" * 500
HOSTILE_DOCUMENTS = [
    *(NESTED, json.dumps({"members": ["x"] * 5_000}), '{"members": [["gpt-4"]]}', '{"a": 1e400}'),
    *('{"context_window": "8000"}', '{"context_window": true}', '{"tags": {"$ne": null}}'),
    *('{"time_range": {"start": "x", "end": []}}', '{"user_tier": [null]}', '"\\u202e"', "1e309"),
    *('{"rate_limit": 1e308}', '{"policy": {"cost_weight": -1}}', '{"__class__": "x"}', "[]"),
]
HUGE = [1.7e308, -1.7e308, 5e-324, 1e15, math.nan]
VECTORS = [
    *([1e38] * 384, [math.inf] * 384, [1.0] * 16_001, [1e-38] * 384, [[1.0] * 384], []),
    *([None], [0.5] * 383 + [math.nan]),
]


def hostile():
    """The values of the tests of the database, and worse ones, by type."""
    values = dict(VALUES)
    texts = st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=40).map(without_zero)
    arrays = st.sampled_from([["a"] * 1_000, [None], [["a"], ["b"]], ["", " "], HOSTILE_TEXTS])
    worse = {
        "text": texts,
        "text[]": arrays | st.lists(texts, max_size=3),
        "jsonb": st.sampled_from(HOSTILE_DOCUMENTS),
        "double precision": st.sampled_from(HUGE) | st.floats(),
        "real[]": st.sampled_from(VECTORS),
    }
    for kind, strategy in worse.items():
        values[kind] = values[kind] | strategy
    return values


def without_zero(text):
    """PostgreSQL's text has no zero byte, and the driver refuses one."""
    return text.replace("\x00", "")


@pytest.fixture(scope="module")
def pools():
    """Values of each type. They are drawn once: drawing takes longer than a call."""
    drawn = {kind: [] for kind in VALUES}

    @settings(
        max_examples=VALUES_OF_A_TYPE,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.fixed_dictionaries(hostile()))
    def draw(values):
        for kind, value in values.items():
            drawn[kind].append(value)

    draw()
    return drawn


def arguments(function, pools, dice):
    """From name to (type, value): what is needed, sensible as a rule, and some of the others."""
    passed = {}
    for ordinal, (name, kind) in enumerate(zip(function.arguments, function.types, strict=True)):
        if ordinal >= function.needed and dice.random() < 0.75:
            continue
        is_sensible = name in SENSIBLE and dice.random() < 0.6
        passed[name] = (kind, SENSIBLE[name] if is_sensible else dice.choice(pools[kind]))
    return passed


@pytest.fixture(scope="module")
def subject(shared_db):
    """A database with some of everything, and every function that may be called."""
    register_four(shared_db)
    register(shared_db, "a", agent_type="ensemble", metadata='{"members": ["gpt-4", "gpt-3.5"]}')
    create(shared_db, "hello", "gpt-4", "Say hello", conditions={"rate_limit": 9})
    train_quickly(shared_db)
    call(shared_db, "ruvector_set_budget", limit_amount=1e3, period="day")
    call(shared_db, "ruvector_record_usage", agent="gpt-4", actual_cost=0.1, success=True)
    shared_db.execute("SET statement_timeout = '10s'; SET client_min_messages = error")
    found = shared_db.execute(SIGNATURES).fetchall()
    return shared_db, [row for row in found if row.name not in LEFT_OUT]


def contents(session):
    """Every table of the extension, as one digest each, and what it consists of."""
    tables = session.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'tiny_dancer' ORDER BY 1"
    ).fetchall()
    digests = {
        table: session.execute(
            f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM tiny_dancer.{table} t"
        ).fetchone()[0]
        for (table,) in tables
    }
    query = "SELECT count(*) FROM pg_depend WHERE deptype = 'e'"
    return digests, session.execute(query).fetchone()


def test_every_call_gives_a_result_or_a_documented_error(subject, pools, dice, figure):
    session, functions = subject
    before, backend = contents(session), session.info.backend_pid
    outcomes = Counter()
    for _ in range(CALLS):
        function = dice.choice(functions)
        passed = arguments(function, pools, dice)
        try:
            sqlstate = check_call(session, function, passed)
        except AssertionError as error:
            raise AssertionError(f"{function.name}({str(passed)[:2000]})") from error
        # What runs a query of the caller's reports the errors of that query.
        if not function.is_on_callers_path:
            assert sqlstate is None or sqlstate in DOCUMENTED, f"{sqlstate}: {function.name}"
        outcomes[sqlstate or "a result"] += 1
    for outcome, times in outcomes.most_common():
        figure(f"calls with {outcome}", times)
    figure("functions", len(functions))
    assert session.info.backend_pid == backend
    assert contents(session) == before
