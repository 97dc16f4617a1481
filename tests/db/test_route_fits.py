"""Fitting semantic routes to examples, measuring them, and what becomes of a fit afterwards."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from calls_at_work import wait_until_at_work
from psycopg import sql
from refusal import refused
from registration import call
from routes import create, matched, semantic_route

UTTERANCES = {
    "password": [
        *("I forgot my password", "reset my password", "my password does not work"),
        *("I need a new password", "change the password of my account", "password lost"),
    ],
    "refund": [
        *("I want my money back", "please refund my order", "the refund has not arrived"),
        *("give me back the money for the shoes", "refund this purchase", "how do refunds work"),
    ],
    "invoice": [
        *("send me the invoice", "I need an invoice for my order", "the invoice is wrong"),
        *("where do I find my invoices", "correct the address on the invoice", "invoice missing"),
    ],
}
EXAMPLES = """
SELECT * FROM (VALUES
    ('my password was refused', 'password'), ('how can I set another password', 'password'),
    ('the password mail did not come', 'password'), ('refund the broken lamp', 'refund'),
    ('when will I be refunded', 'refund'), ('money back for a late order', 'refund'),
    ('print the invoice again', 'invoice'), ('invoice of last month', 'invoice'),
    ('two invoices for one order', 'invoice'),
    ('sing a song about winter', NULL), ('name three rivers in Africa', NULL),
    ('what is the tallest mountain', NULL), ('tell me a joke', NULL), ('who wrote Hamlet', NULL)
) AS e (t, r)
"""
FITS = "SELECT * FROM ruvector_route_fits()"


@pytest.fixture
def routes(registry):
    """Three routes in a session that all tests share, not fitted."""
    for name, utterances in UTTERANCES.items():
        create(registry, name, utterances=utterances)
    yield registry
    registry.execute("RESET SESSION AUTHORIZATION")
    registry.execute("TRUNCATE tiny_dancer.routes, tiny_dancer.route_heads CASCADE")


def fit(session, query=EXAMPLES, **arguments):
    return dict(call(session, "ruvector_fit_routes", query=query, **arguments))


def fits(session):
    return session.execute(FITS).fetchall()


def test_a_fit_is_measured_stored_and_used(routes):
    before = semantic_route(routes, "refund my broken lamp")
    metrics = fit(routes)
    assert metrics["examples"] == 32
    assert metrics["in_scope"] == 27
    assert metrics["accuracy"] > 0.6
    assert 0.0 <= metrics["out_of_scope_recall"] <= 1.0
    after = semantic_route(routes, "refund my broken lamp")
    assert before[0].route_name == after[0].route_name == "refund"
    assert before[0].similarity == pytest.approx(after[0].similarity, abs=1e-6)
    assert before[0].confidence != after[0].confidence
    assert 0.0 < after[0].confidence <= 1.0
    [row] = fits(routes)
    assert (row.active, row.routes, row.acceptance, row.seed) == (True, 3, 0.99, 0)
    assert row.metrics == metrics


def test_the_same_data_and_seed_give_the_same_weights(routes):
    weights = "SELECT weights FROM tiny_dancer.route_heads ORDER BY id"
    fit(routes, seed=3)
    fit(routes, f"SELECT * FROM ({EXAMPLES}) AS e ORDER BY random()", seed=3)
    fit(routes, f"{EXAMPLES} UNION ALL {EXAMPLES}", seed=3)
    first, second, third = routes.execute(weights).fetchall()
    assert first == second == third
    assert [row.active for row in fits(routes)] == [True, False, False]


def test_the_wording_counts_beside_a_given_embedding(routes):
    fit(routes, acceptance=1.0)
    text = "print the invoice of my order"
    [vector] = routes.execute("SELECT ruvector_embed(%s)::real[]", [text]).fetchone()
    [made], [given], [alone], [other] = (
        semantic_route(routes, query, embedding=embedding, top_k=1)
        for query, embedding in (
            (text, None), (text, vector), (None, vector), ("refund my order", vector)
        )
    )  # fmt: skip
    assert made.confidence == pytest.approx(given.confidence, abs=1e-5)
    assert made.route_name == given.route_name == alone.route_name == "invoice"
    assert alone.confidence != pytest.approx(given.confidence, abs=1e-5)
    assert other.route_name != "invoice" or other.confidence < given.confidence
    long = "invoice " * 130_000
    with refused("22023", "query"):
        semantic_route(routes, long, embedding=vector)


def test_acceptance_sets_how_much_is_taken(routes):
    few = fit(routes, acceptance=0.6)
    many = fit(routes, acceptance=1.0)
    assert many["accepted"] == 1.0
    assert few["accepted"] == pytest.approx(0.6, abs=0.1)


def test_evaluation_counts_what_was_matched(routes):
    query = """
        VALUES ('reset my password', 'password'), ('please refund my order', 'password'),
               ('send me the invoice', 'invoice'), ('I want my money back', NULL),
               ('qqq zzz xxx', NULL)
    """
    for is_fitted in (False, True):
        if is_fitted:
            fit(routes)
        rows = call(routes, "ruvector_evaluate_routes", query=query)
        total = {row.metric: row.value for row in rows if row.section == "total"}
        assert (total["examples"], total["in_scope"], total["out_of_scope"]) == (5, 3, 2)
        assert total["accuracy"] == pytest.approx(2 / 3)
        assert total["out_of_scope_recall"] == 0.5
        of = {(r.route_name, r.metric): r.value for r in rows if r.section == "route"}
        assert of["password", "recall"] == 0.5
        assert of["refund", "examples"] == 0
        assert of["refund", "precision"] == 0.0
        confusions = {
            (r.route_name, r.matched_route, r.value) for r in rows if r.section == "confusion"
        }
        assert confusions == {(None, "refund", 1.0), ("password", "refund", 1.0)}


def test_evaluation_agrees_with_matching_whatever_the_conditions(routes):
    call(routes, "ruvector_drop_route", name="invoice")
    create(routes, "invoice", utterances=UTTERANCES["invoice"], conditions={"user_tier": "nobody"})
    fit(routes)
    texts = ["print my invoice", "refund me", "new password please", "sing", "invoice refund"]
    for text in texts:
        rows = call(
            routes,
            "ruvector_evaluate_routes",
            query=f"SELECT {sql.Literal(text).as_string()}, 'refund'",
        )
        recall = next(r.value for r in rows if r.metric == "recall")
        names = matched(routes, text, top_k=1, context={"user_tier": "nobody"})
        assert (names == ["refund"]) == (recall == 1.0)


def test_routes_made_changed_and_dropped_after_the_fit(routes):
    fit(routes)
    create(routes, "song", utterances=["sing a song", "sing something for me"])
    assert matched(routes, "sing a song for me", top_k=1) == ["song"]
    assert matched(routes, "reset my password", top_k=1) == ["password"]
    # With other utterances the old weights say nothing any more.
    create(routes, "refund", utterances=["name a river", "name a mountain"])
    assert matched(routes, "name a river", top_k=1) == ["refund"]
    assert matched(routes, "please refund my order", top_k=1) != ["refund"]
    call(routes, "ruvector_drop_route", name="password")
    assert "password" not in matched(routes, "reset my password", top_k=5)
    call(routes, "ruvector_drop_route", name="invoice")
    assert matched(routes, "sing a song", top_k=1) == ["song"]
    for name in ("song", "refund"):
        call(routes, "ruvector_drop_route", name=name)
    assert matched(routes, "sing a song") == []


def test_a_route_replaced_with_the_same_utterances_keeps_its_head(routes):
    fit(routes)
    before = semantic_route(routes, "print the invoice", top_k=1)
    create(routes, "invoice", "another", utterances=UTTERANCES["invoice"], priority=3)
    [after] = semantic_route(routes, "print the invoice", top_k=1)
    assert after.target_agent == "another"
    assert after.confidence == before[0].confidence


def test_a_change_that_is_rolled_back_leaves_the_fit(routes, connect):
    with routes.transaction(force_rollback=True):
        fit(routes)
        assert len(fits(routes)) == 1
    assert fits(routes) == []
    fit(routes)
    fitted = semantic_route(routes, "print the invoice", top_k=1)
    with routes.transaction(force_rollback=True):
        create(routes, "invoice", utterances=["something else"])
        matched(routes, "print the invoice")
    assert semantic_route(routes, "print the invoice", top_k=1) == fitted


def test_fits_are_switched_between(routes):
    plain = semantic_route(routes, "print the invoice", top_k=1)
    fit(routes)
    first = semantic_route(routes, "print the invoice", top_k=1)
    fit(routes, f"{EXAMPLES} OFFSET 3", acceptance=0.9)
    second = semantic_route(routes, "print the invoice", top_k=1)
    assert plain != first != second
    _, earliest = fits(routes)
    assert call(routes, "ruvector_activate_route_fit", id=earliest.id) == [(True,)]
    assert semantic_route(routes, "print the invoice", top_k=1) == first
    assert [row.active for row in fits(routes)] == [False, True]
    assert call(routes, "ruvector_activate_route_fit", id=None) == [(False,)]
    assert semantic_route(routes, "print the invoice", top_k=1) == plain
    with refused("42704", "unknown route fit 0"):
        call(routes, "ruvector_activate_route_fit", id=0)


@pytest.mark.parametrize(
    "damage",
    [
        "weights = set_byte(weights, length(weights) - 3, 99)",
        "weights = ''",
        "route_ids = route_ids[1:1], fingerprints = fingerprints[1:1]",
    ],
)
def test_a_damaged_fit_is_named_and_routes_are_matched_without_it(routes, damage):
    unfitted = semantic_route(routes, "reset my password please")
    fit(routes)
    [row] = fits(routes)
    routes.execute(f"UPDATE tiny_dancer.route_heads SET {damage}")
    warnings = []
    routes.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    for _ in range(2):
        assert semantic_route(routes, "reset my password please") == unfitted
    [warning] = warnings
    assert f"route fit {row.id}" in warning
    assert "damaged" in warning
    [found] = [f for f in call(routes, "tiny_dancer.doctor") if f.subject == "route fit"]
    assert not found.ok
    assert f"route fit {row.id}" in found.finding
    fit(routes)
    assert matched(routes, "reset my password", top_k=1) == ["password"]
    assert "route fit" not in [f.subject for f in call(routes, "tiny_dancer.doctor")]
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("query", "sqlstate", "message"),
    [
        (None, "22023", "query must not be empty"),
        ("SELECT 'a', 'b' WHERE false", "22023", "no rows"),
        ("SELECT 'a'", "22023", "returns 1 column$"),
        ("SELECT 'a', 'nothing'", "42704", "unknown route 'nothing'"),
        ("SELECT 'a' || n, 'r' || n FROM generate_series(1, 9) n", "42704", "and 4 more"),
        ("SELECT NULL, 'refund'", "22023", "text 1"),
        ("SELECT ' ', 'refund'", "22023", "text 1"),
        ("SELECT 'a', NULL", "22023", "no example names a route"),
        ("DELETE FROM tiny_dancer.routes RETURNING name, name", "42601", ""),
        ("SELECT 'a', 'refund'; DROP TABLE x", "42601", ""),
        ("SELECT 'a', 'refund' FROM nowhere", "42P01", ""),
    ],
)
def test_what_can_not_be_learned_from_changes_nothing(routes, query, sqlstate, message):
    fit(routes)
    before = fits(routes)
    with refused(sqlstate, message):
        fit(routes, query)
    assert fits(routes) == before
    if message != "no example names a route":
        with refused(sqlstate, message):
            call(routes, "ruvector_evaluate_routes", query=query)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"acceptance": value} for value in (None, 0.49, 1.1, float("nan"), float("inf"))),
        *({"seed": value} for value in (None, -1)),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(routes, arguments):
    with refused("22023", "is"):
        fit(routes, **arguments)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'reset my password', 'password'",
        "SELECT 'the same', 'refund' FROM generate_series(1, 30)",
        "VALUES ('both', 'refund'), ('both', 'password'), ('both', NULL)",
        f"{EXAMPLES} -- the end",
        f"{EXAMPLES};",
    ],
)
def test_few_or_odd_examples_are_enough(routes, query):
    assert fit(routes, query)["in_scope"] >= 18
    [match, *_] = semantic_route(routes, "reset my password")
    assert match.route_name == "password"


def test_one_route_and_no_routes(registry):
    with refused("55000", "no active routes"):
        fit(registry)
    with refused("55000", "no active routes"):
        call(registry, "ruvector_evaluate_routes", query=EXAMPLES)
    create(registry, "only", utterances=["one thing", "another thing"])
    fit(registry, "VALUES ('a thing', 'only'), ('qqq', NULL)")
    assert semantic_route(registry, "one thing")[0].confidence == 1.0
    registry.execute("TRUNCATE tiny_dancer.routes, tiny_dancer.route_heads CASCADE")


def test_one_route_and_many_examples(registry):
    """Enough to calibrate by, and no second route to tell the first from."""
    create(registry, "greeting", "gpt-4", "hello")
    query = """
        SELECT CASE kind WHEN 0 THEN 'hello number ' ELSE 'weather of day ' END || n,
               CASE kind WHEN 0 THEN 'greeting' END
        FROM generate_series(1, 40) AS n, generate_series(0, 1) AS kind
    """
    metrics = dict(call(registry, "ruvector_fit_routes", query=query))
    assert all(value >= 0.0 for value in metrics.values())
    assert matched(registry, "hello number 7") == ["greeting"]
    registry.execute("TRUNCATE tiny_dancer.routes, tiny_dancer.route_heads CASCADE")


def test_routes_of_a_description_learn_from_the_query_alone(routes):
    create(routes, "song", description="music")
    create(routes, "untold", description="nothing was said of it")
    assert fit(routes, f"{EXAMPLES} UNION VALUES ('sing it', 'song'), ('sing me a song', 'song')")
    assert fits(routes)[0].routes == 4
    assert matched(routes, "sing me a song please", top_k=1) == ["song"]
    assert matched(routes, "nothing was said of it", top_k=1) == ["untold"]


def test_embeddings_given_by_the_caller(db):
    db.execute("SELECT tiny_dancer.use_model('mine', 'external', 3)")
    create(db, "x", embedding=[1.0, 0.0, 0.0])
    with refused("55000", "mine"):
        fit(db, "SELECT 'a', 'x'")


def test_another_model_leaves_the_fit_to_its_own(db):
    for name, utterances in UTTERANCES.items():
        create(db, name, utterances=utterances)
    fit(db)
    fitted = semantic_route(db, "print the invoice", top_k=1)
    [model] = db.execute("SELECT name FROM tiny_dancer.models WHERE active").fetchone()
    warned = []
    db.add_notice_handler(lambda notice: warned.append(notice.message_primary))
    db.execute("SELECT tiny_dancer.use_model('hashing-64', 'hashing', 64)")
    assert warned == ["the semantic routes were not fitted with vectors of 'hashing-64'"]
    assert matched(db, "print the invoice", top_k=1) == ["invoice"]
    assert semantic_route(db, "print the invoice", top_k=1) != fitted
    fit(db)
    db.execute(sql.SQL("SELECT tiny_dancer.use_model({})").format(sql.Literal(model)))
    assert semantic_route(db, "print the invoice", top_k=1) == fitted
    assert len(warned) == 1


def test_two_fits_at_once_do_not_clash(db, connect):
    for name, utterances in UTTERANCES.items():
        create(db, name, utterances=utterances)
    sessions, failed = [connect() for _ in range(2)], []

    def run(session, seed):
        try:
            for _ in range(3):
                fit(session, seed=seed)
        except psycopg.Error as error:
            failed.append(error)

    threads = [
        threading.Thread(target=run, args=pair) for pair in zip(sessions, (1, 2), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(row.active for row in fits(db)) == [False] * 5 + [True]
    # One that waits for another's transaction goes on from what that did.
    with db.transaction():
        fit(db)
        thread = threading.Thread(target=run, args=(sessions[0], 1))
        thread.start()
        time.sleep(0.5)
    thread.join()
    assert failed == []
    assert sum(row.active for row in fits(db)) == 1


@pytest.mark.parametrize("seconds", [0.2, 1.0])
def test_a_fit_is_cancelled_within_a_second(db, connect, seconds):
    for name, utterances in UTTERANCES.items():
        create(db, name, utterances=utterances)
    fit(db)
    before, caught, session = fits(db), [], connect()
    query = (
        "SELECT md5(n::text) || n, (ARRAY['password', 'refund', 'invoice'])[n % 3 + 1]"
        " FROM generate_series(1, 30000) AS n"
    )

    def run():
        try:
            fit(session, query)
        except psycopg.Error as error:
            caught.append(error.sqlstate)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until_at_work(db, session)
    time.sleep(seconds)
    cancelled = time.monotonic()
    session.cancel()
    thread.join()
    assert time.monotonic() - cancelled < 1.0
    assert caught == ["57014"]
    assert fits(db) == before


def test_read_only_transactions_measure_but_do_not_fit(routes):
    fit(routes)
    with routes.transaction():
        routes.execute("SET TRANSACTION READ ONLY")
        assert call(routes, "ruvector_evaluate_routes", query=EXAMPLES)
        assert matched(routes, "reset my password", top_k=1) == ["password"]
        with refused("25006", "fit the routes"):
            fit(routes)


def test_the_query_runs_with_the_callers_rights(new_role, db, connect):
    for name, utterances in UTTERANCES.items():
        create(db, name, utterances=utterances)
    role = new_role("fitter")
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [role])
    db.execute("CREATE TABLE secret (a text)")
    session = connect(user=role)
    with refused("42501", "permission denied for table secret"):
        fit(session, "SELECT a, a FROM public.secret")
    with refused("42501", "permission denied for table secret"):
        call(session, "ruvector_evaluate_routes", query="SELECT a, a FROM public.secret")
    assert fit(session)["examples"] == 32


def test_routes_beyond_the_memory_of_a_backend_are_matched_by_similarity(db):
    for name, utterances in UTTERANCES.items():
        create(db, name, utterances=utterances)
    fit(db)
    db.execute("SELECT tiny_dancer.set('snapshot_megabytes', '0')")
    assert matched(db, "reset my password", top_k=1) == ["password"]
    with refused("55000", "more vectors than", hint="snapshot_megabytes"):
        fit(db)
    with refused("55000", "more vectors than"):
        call(db, "ruvector_evaluate_routes", query=EXAMPLES)
