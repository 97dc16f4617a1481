"""Training a router model: from a query, from recorded outcomes; what is refused and what stays."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import psycopg
import pytest
from calls_at_work import wait_until_at_work
from outcomes import at_once, refusals
from refusal import refused
from registration import call, register
from router_training import SUM, judged, models, predicted, register_two, train

from tiny_dancer.predictors.ridge_heads import RidgeHeads

TWENTY = "generate_series(1, 20) AS n"
HOSTILE_QUERIES = {
    "blank": (" \n", "22023", "^tiny_dancer: query must not be empty"),
    "no rows": ("SELECT 'a', 'adder', 1.0 WHERE false", "22023", "no rows"),
    "two columns": ("SELECT 'a', 'adder'", "22023", "returns 2 columns"),
    "five columns": ("SELECT 'a', 'adder', 1.0, NULL, 5", "22023", "returns 5 columns"),
    "no agent": (f"SELECT 'text ' || n, NULL, 1.0 FROM {TWENTY}", "22023", "row 1 has no agent"),
    "an unknown agent": (
        f"SELECT 'text ' || n, CASE WHEN n = 7 THEN 'nobody' ELSE 'adder' END, 1.0 FROM {TWENTY}",
        "42704",
        "row 7 names the unknown agent 'nobody'",
    ),
    "no quality": (
        f"SELECT 'text ' || n, 'adder', NULLIF(n, 3) / 20.0 FROM {TWENTY}",
        "22023",
        "row 3 has quality NULL",
    ),
    "too much quality": (
        f"SELECT 'text ' || n, 'adder', n / 10.0 FROM {TWENTY}",
        "22023",
        "row 11 has quality 1.1",
    ),
    "negative quality": (f"SELECT 'text ' || n, 'adder', -1 FROM {TWENTY}", "22023", "quality -1"),
    "NaN": (f"SELECT 'text ' || n, 'adder', 'NaN'::float8 FROM {TWENTY}", "22023", "quality nan"),
    "infinity": (
        f"SELECT 'text ' || n, 'adder', 'Infinity'::float8 FROM {TWENTY}",
        "22023",
        "quality inf",
    ),
    "a word as quality": (f"SELECT 'text ' || n, 'adder', 'good'::text FROM {TWENTY}", "22P02", ""),
    "no request": (f"SELECT NULL, 'adder', 1.0 FROM {TWENTY}", "22023", "the request of row 1"),
    "a blank request": (f"SELECT ' ', 'adder', 1.0 FROM {TWENTY}", "22023", "the request of row 1"),
    "one request": (f"SELECT 'the same', 'adder', n / 20.0 FROM {TWENTY}", "22023", "too few"),
    "a wrong embedding": (
        f"SELECT 'text ' || n, 'adder', 1.0, ARRAY[1, 2]::real[] FROM {TWENTY}",
        "22023",
        "the embedding of row 1 has 2 dimensions",
    ),
    "a statement that deletes": ("DELETE FROM kept RETURNING name, name, 1.0", "42601", ""),
    "two statements": ("SELECT 'a', 'adder', 1.0; DELETE FROM kept", "42601", ""),
    "a function that writes": (f"SELECT write_a_row(), 'adder', 1.0 FROM {TWENTY}", "25006", ""),
    "a sequence": (f"SELECT nextval('numbers')::text, 'adder', 1.0 FROM {TWENTY}", "25006", ""),
    "itself": (
        "SELECT why, 'adder', 1.0 FROM ruvector_train_router('SELECT 1, 2, 3')",
        "25006",
        "",
    ),
    "an error of its own": (
        f"SELECT (1 / (n - n))::text, 'adder', 1.0 FROM {TWENTY}",
        "22012",
        "^spiexceptions.DivisionByZero: division by zero",
    ),
    "an error of ours": (
        "SELECT ruvector_route(''), 'adder', 1.0",
        "22023",
        "^tiny_dancer: request must not be empty",
    ),
}
ODD_QUERIES = {
    "a semicolon": f"{judged(20)};",
    "a comment": f"{judged(20)} -- the end",
    "five requests": judged(5),
    "one agent": judged(60, "agent_name = 'poet'"),
    "constant quality": "SELECT 'text ' || n, 'adder', 1.0 FROM generate_series(1, 60) AS n",
    "nothing ever works": "SELECT 'text ' || n, 'poet', 0 FROM generate_series(1, 60) AS n",
    "duplicates": f"SELECT * FROM ({judged(30)}) AS j, generate_series(1, 5)".replace(
        "SELECT *", "SELECT request, agent_name, quality", 1
    ),
    "numbers as text": (
        "SELECT 'text ' || n, 'adder', (n % 2)::text FROM generate_series(1, 30) AS n"
    ),
    "one outcome of one of them": (judged(60, "agent_name = 'poet' OR request LIKE '%numbers 2'")),
}


@pytest.fixture(scope="module")
def trained(shared_db):
    shared_db.execute(
        "CREATE TABLE kept AS SELECT 'row'::text AS name; CREATE SEQUENCE numbers;"
        " CREATE FUNCTION write_a_row() RETURNS text LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO kept VALUES ('more'); RETURN random(); END$$"
    )
    register_two(shared_db)
    train(shared_db)
    return shared_db


@pytest.mark.parametrize(
    ("query", "sqlstate", "message"), HOSTILE_QUERIES.values(), ids=HOSTILE_QUERIES
)
def test_a_hostile_query_changes_nothing(trained, query, sqlstate, message):
    before = models(trained)
    with refused(sqlstate, message):
        train(trained, query)
    assert models(trained) == before
    assert trained.execute("SELECT name FROM kept").fetchall() == [("row",)]
    with trained.transaction(force_rollback=True):
        trained.execute("INSERT INTO kept VALUES ('mine')")


@pytest.mark.parametrize("predictor", ["ridge", "means", "clusters", "nearest"])
@pytest.mark.parametrize("query", ODD_QUERIES.values(), ids=ODD_QUERIES)
def test_odd_rows_give_a_sane_model(trained, query, predictor):
    with trained.transaction(force_rollback=True):
        row = train(trained, query, predictor=predictor, activate=True)
        assert row.activated
        assert row.outcomes >= 4
        assert all(value == value for value in row)
        rows = call(trained, "ruvector_predict_quality", request="text 3")
        assert {r.agent_name for r in rows} == {"adder", "poet"}
        assert all(0.0 < r.expected_quality < 1.0 and r.uncertainty > 0.0 for r in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predictor": "oracle"}, "unknown predictor"),
        ({"predictor": ""}, "unknown predictor"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": None}, "seed is NULL"),
    ],
)
def test_options_that_make_no_sense_are_refused(trained, options, message):
    with refused("22023", message):
        train(trained, **options)


def test_the_row_says_what_was_trained_and_measured(trained):
    with trained.transaction(force_rollback=True):
        row = train(trained, judged(400))
        assert row.trained_predictor == "ridge"
        assert (row.agents, row.requests + row.held_back) == (2, 400)
        assert row.outcomes == 2 * (row.requests + row.held_back)
        assert row.loss < row.means_loss
        assert row.loss < row.prior_loss
        assert 0.0 <= row.brier <= 1.0
        assert row.random_quality < row.routed_quality <= row.oracle_quality
        assert row.apgr > 0.5
        [listed] = call(trained, "ruvector_router_models")[:1]
        assert (listed.id, listed.loss, listed.agents) == (row.id, row.loss, ["adder", "poet"])
        assert listed.prediction_us > 0.0


def test_the_same_data_and_seed_give_the_same_weights_and_metrics(trained):
    same = "SELECT md5(weights) AS weights, checksum, metrics - 'why' AS metrics"
    same += " FROM tiny_dancer.router_models WHERE id = %s"
    shuffled = judged(40) + " ORDER BY md5(request || agent_name || {salt})"
    found = []
    for salt, seed in (("''", 0), ("'other'", 0), ("''", 5)):
        with trained.transaction(force_rollback=True):
            query = shuffled.format(salt=salt)
            row = train(trained, query, predictor="fastgrnn", seed=seed, activate=True)
            found.append(trained.execute(same, (row.id,)).fetchone())
    assert found[0] == found[1] != found[2]


def test_a_mixture_is_the_same_twice_too(trained):
    found = []
    for _ in range(2):
        with trained.transaction(force_rollback=True):
            row = train(trained, judged(30), predictor="mean", activate=True)
            checksum = "SELECT checksum FROM tiny_dancer.router_models WHERE id = %s"
            found.append(trained.execute(checksum, (row.id,)).fetchone())
    assert found[0] == found[1]


def test_auto_says_what_it_picked_and_by_how_much(trained):
    with trained.transaction(force_rollback=True):
        assert "picked" in train(trained, judged(20), predictor="auto").why


def test_what_is_better_on_unseen_requests_becomes_the_active_one(db):
    register_two(db)
    shuffled = judged(200).replace("agent = 'adder'", "md5(n || agent) < '8'")
    assert "no other model was active" in train(db, shuffled).why
    better = train(db)
    assert better.activated
    assert "requests that neither had seen when it was judged" in better.why
    # The same requests are held back from both, so they can be compared.
    worse = train(db, shuffled)
    assert models(db)[1] == (better.id, not worse.activated)
    left_alone = train(db, activate=False)
    assert not left_alone.activated
    assert train(db, shuffled, activate=True).activated
    assert sum(active for _, active in models(db)) == 1


@pytest.mark.parametrize("predictor", ["mean", "clusters", "ridge"])
def test_the_same_model_again_is_no_better(trained, predictor):
    with trained.transaction(force_rollback=True):
        first = train(trained, predictor=predictor, activate=True)
        again = train(trained, predictor=predictor)
        assert not again.activated, again.why
        assert models(trained)[-2:] == [(first.id, True), (again.id, False)]


STORED = """
SELECT r.requests, r.held_back, r.agent_requests, cardinality(t.request_keys), r.weights,
       t.judged_weights
FROM tiny_dancer.router_models r
JOIN tiny_dancer.router_training_requests t ON t.router_model_id = r.id WHERE r.id = %s
"""


def test_what_was_held_back_is_learned_from_once_it_has_judged(db):
    register_two(db)
    row = train(db)
    requests, held_back, of_agents, keys, weights, judged_weights = db.execute(
        STORED, [row.id]
    ).fetchone()
    assert (requests, held_back) == (row.requests, row.held_back)
    assert held_back > 0
    # It serves with what it knows of all, and is compared by what it knew before.
    assert of_agents == [requests + held_back] * 2
    assert keys == requests
    assert judged_weights is not None
    assert judged_weights != weights


def test_a_model_without_weights_of_its_judgement_is_compared_by_those_it_has(db):
    # Such are all that 0.1.0 trained: they never learned from what was held back.
    register_two(db)
    shuffled = judged(200).replace("agent = 'adder'", "md5(n || agent) < '8'")
    first = train(db, shuffled)
    db.execute(
        "UPDATE tiny_dancer.router_training_requests SET judged_weights = NULL WHERE"
        " router_model_id = %s",
        [first.id],
    )
    better = train(db)
    assert better.activated
    assert "neither had seen" in better.why
    # Those have seen the requests by now, so they do better on them than when they were judged.
    assert float(re.search(r"and (\S+) with model", better.why)[1]) != round(first.loss, 4)


def test_two_models_are_compared_as_they_were_judged(db):
    register_two(db)
    first = train(db)
    why = train(db).why
    losses = re.search(r"the loss is (\S+), and (\S+) with model", why).groups()
    assert losses[0] == losses[1] == f"{first.loss:.4f}"


def test_damaged_weights_of_the_judgement_leave_the_router_working(db):
    register_two(db)
    first = train(db)
    before = predicted(db, SUM)
    db.execute("UPDATE tiny_dancer.router_training_requests SET judged_weights = 'damage'")
    assert predicted(db, SUM) == before
    row = train(db)
    assert row.activated
    assert f"router model {first.id}, as it was judged, is damaged" in row.why


def test_weights_of_another_shape_are_no_judgement(db):
    register_two(db)
    first = train(db)
    db.execute(
        "UPDATE tiny_dancer.router_training_requests SET judged_weights = %s",
        [RidgeHeads().fit(np.eye(9, 7), np.zeros((9, 0)), np.tile([0.0, 1.0], (9, 1))).to_blob()],
    )
    row = train(db)
    assert row.activated
    assert f"model {first.id}, as it was judged, is damaged: its weights are of another" in row.why


def test_with_no_unseen_request_in_common_the_new_one_is_activated(db):
    register_two(db)
    train(db)
    row = train(db, "SELECT 'other ' || n, 'adder', n % 2 FROM generate_series(1, 60) AS n")
    assert row.activated
    db.execute(
        "UPDATE tiny_dancer.router_training_requests SET request_keys ="
        " ARRAY(SELECT unnest(request_keys) FROM tiny_dancer.router_training_requests)"
    )
    everything = db.execute(
        "SELECT array_agg(k) FROM (SELECT unnest(request_keys) AS k"
        " FROM tiny_dancer.router_training_requests) AS keys"
    ).fetchone()[0]
    assert len(everything) > 100


def test_recorded_outcomes_are_trained_from(db):
    register_two(db)
    with refused("22023", "no outcome is recorded"):
        train_recorded(db)
    for n in range(40):
        request = f"{'Add up the numbers' if n % 2 else 'Write a poem about item'} {n}"
        for agent in ("adder", "poet"):
            is_right = (agent == "adder") == (n % 2 == 1)
            call(
                db,
                "ruvector_record_usage",
                agent=agent,
                actual_cost=0.0,
                success=is_right,
                request=request,
            )
    # Without a request there is nothing to learn from.
    call(db, "ruvector_record_usage", agent="poet", actual_cost=0.0, success=True)
    row = train_recorded(db)
    assert (row.agents, row.requests + row.held_back) == (2, 40)
    [(last,)] = db.execute("SELECT last_usage_id FROM tiny_dancer.router_models").fetchall()
    assert last == 81


def train_recorded(session, **options):
    [row] = call(session, "ruvector_train_router", predictor="ridge", **options)
    return row


def test_feedback_and_quality_come_before_success(db):
    register_two(db)
    for n in range(20):
        arguments = {"agent": "adder", "actual_cost": 0.0, "request": f"number {n}"}
        [(usage,)] = call(db, "ruvector_record_usage", success=True, quality=0.5, **arguments)
        db.execute("SELECT ruvector_record_feedback(%s::bigint, 0.25)", (usage,))
        call(
            db,
            "ruvector_record_usage",
            success=True,
            quality=0.75,
            **{**arguments, "agent": "poet"},
        )
    train_recorded(db)
    [(means,)] = db.execute("SELECT agent_means FROM tiny_dancer.router_models").fetchall()
    assert means == pytest.approx([0.25, 0.75])


def test_recorded_decisions_are_trained_from(db):
    register_two(db)
    for n in range(30):
        [row] = call(db, "ruvector_route", request=f"number {n}", record=True)
        call(
            db,
            "ruvector_record_usage",
            agent=row.agent_name,
            actual_cost=0.0,
            success=n % 2 == 0,
            decision_id=row.decision_id,
        )
    assert train_recorded(db).requests >= 20
    features = "SELECT cardinality(features) FROM tiny_dancer.request_vectors"
    assert len({row[0] for row in db.execute(features)} - {None}) == 1


def test_the_outcomes_of_a_removed_agent_are_left_out(db):
    register_two(db)
    register(db, "gone")
    for n in range(10):
        for agent in ("adder", "gone"):
            call(
                db,
                "ruvector_record_usage",
                agent=agent,
                actual_cost=0.0,
                success=True,
                request=f"number {n}",
            )
    call(db, "ruvector_remove_agent", name="gone")
    register(db, "gone")
    assert train_recorded(db).agents == 1


def test_given_embeddings_are_trained_on_where_nothing_can_be_embedded(db):
    db.execute("SELECT tiny_dancer.use_model('mine', provider := 'external', dimension := 3)")
    for name in ("adder", "poet"):
        register(db, name, capability_embedding=[1.0, 0.0, 0.0])
    with_vectors = (
        "SELECT 'text ' || n, 'adder', n % 2, ARRAY[1, n % 2, n / 50.0]::real[]"
        " FROM generate_series(1, 50) AS n"
    )
    assert train(db, with_vectors).requests + train(db, with_vectors).held_back == 50
    vectors = with_vectors.replace("::real[]", "::real[]::public.vector")
    assert train(db, vectors).outcomes > 30
    with refused("55000"):
        train(db)


def test_the_query_runs_on_the_callers_path_with_the_callers_rights(new_role, db, connect):
    role = new_role("router_trainer")
    register_two(db)
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [role])
    db.execute(f'CREATE SCHEMA "{role}" AUTHORIZATION "{role}"; CREATE TABLE secret (a text)')
    session = connect(user=role)
    session.execute(f"CREATE TABLE mine AS {judged()}")
    with refused("42501", "permission denied for table secret"):
        train(session, "SELECT a, a, 1.0 FROM public.secret")
    assert train(session, "SELECT * FROM mine").activated
    [(creator,)] = session.execute("SELECT created_by FROM ruvector_router_models()").fetchall()
    assert creator == role


def test_row_level_security_hides_outcomes_from_training(new_role, db, connect):
    role = new_role("tenant")
    register_two(db)
    for n in range(20):
        for agent in ("adder", "poet"):
            call(
                db,
                "ruvector_record_usage",
                agent=agent,
                actual_cost=0.0,
                success=True,
                request=f"number {n}",
                tags=[agent],
            )
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [role])
    db.execute(f'GRANT SELECT ON tiny_dancer.request_vectors TO "{role}"')
    db.execute("ALTER TABLE tiny_dancer.usage ENABLE ROW LEVEL SECURITY")
    db.execute("CREATE POLICY own ON tiny_dancer.usage USING ('poet' = ANY (tags))")
    assert train_recorded(connect(user=role)).agents == 1
    assert train_recorded(db).agents == 2


def test_a_read_only_transaction_can_not_train(trained):
    with trained.transaction(force_rollback=True):
        trained.execute("SET TRANSACTION READ ONLY")
        with refused("25006", "train a router in a read-only transaction"):
            train(trained)


def test_a_switch_of_the_embedding_model_during_a_training_is_noticed(db, connect):
    register_two(db)
    other = connect()
    caught = []

    def train_and_wait():
        try:
            train(other)
        except psycopg.Error as error:
            caught.append((error.sqlstate, error.diag.message_primary))

    trainer = threading.Thread(target=train_and_wait)
    waiting = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
    with db.transaction():
        # Whoever stores a model has to wait for this.
        db.execute("LOCK TABLE tiny_dancer.router_models IN ROW EXCLUSIVE MODE")
        trainer.start()
        while db.execute(waiting, [other.info.backend_pid]).fetchone()[0] != "Lock":
            assert trainer.is_alive()
            db.execute("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")
        db.execute(
            "SELECT tiny_dancer.use_model('hashing-64', provider := 'hashing', dimension := 64)"
        )
        active = train(db, activate=True).id
    trainer.join()
    [(sqlstate, message)] = caught
    assert sqlstate == "55000"
    assert "the embedding model changed while the router was trained" in message
    assert models(db) == [(active, True)]


def test_a_training_that_is_rolled_back_leaves_nothing(trained):
    before = models(trained)
    with trained.transaction(force_rollback=True):
        train(trained, activate=True)
    assert models(trained) == before


def test_trainings_at_the_same_time_do_not_clash(db, connect):
    register_two(db)
    sessions = [connect() for _ in range(4)]
    results = at_once(sessions, lambda session: train(session, activate=True))
    assert refusals(results) == []
    found = models(db)
    assert len(found) == 4
    assert sum(active for _, active in found) == 1


@pytest.mark.parametrize("seconds", [0.1, 0.7, 2.0])
def test_training_can_be_cancelled_at_any_time(db, connect, seconds):
    register_two(db)
    train(db)
    before = models(db)
    trainer, caught = connect(), []

    def run():
        try:
            train(trainer, judged(8000), predictor="auto")
        except psycopg.Error as error:
            caught.append(error.sqlstate)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until_at_work(db, trainer)
    time.sleep(seconds)
    cancelled = time.monotonic()
    trainer.cancel()
    thread.join()
    assert caught == ["57014"]
    assert time.monotonic() - cancelled < 1.5
    assert models(db) == before
