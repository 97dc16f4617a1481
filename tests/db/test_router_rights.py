"""Training from recorded outcomes needs a grant of its own; what came in is read as the caller."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import call
from router_training import SUM, judged, predicted, register_two, train

from tiny_dancer.lexical_features import COUNT, EARLIER_COUNTS


def record_some(session):
    for n in range(20):
        for agent in ("adder", "poet"):
            call(
                session,
                "ruvector_record_usage",
                agent=agent,
                actual_cost=0.0,
                success=(n % 2 == 0) == (agent == "poet"),
                request=f"number {n}",
            )


@pytest.fixture
def trainer(new_role, db, connect):
    """A session of an administrator, with outcomes to learn from."""
    role = new_role("trainer")
    register_two(db)
    record_some(db)
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [role])
    return connect(user=role)


def train_recorded(session):
    [row] = call(session, "ruvector_train_router", predictor="ridge")
    return row


def test_vectors_of_requests_have_a_grant_of_their_own(db, trainer):
    with refused("42501", "vectors of recorded requests", hint="GRANT SELECT ON"):
        train_recorded(trainer)
    assert train(trainer, judged(40)).activated
    db.execute(f'GRANT SELECT ON tiny_dancer.request_vectors TO "{trainer.info.user}"')
    assert train_recorded(trainer).outcomes >= 30


def test_stored_texts_are_embedded_by_whoever_may_read_them(db, trainer):
    role = trainer.info.user
    db.execute("SELECT tiny_dancer.set('store_request_text', '1')")
    record_some(db)
    db.execute("SELECT tiny_dancer.use_model('hashing-64', 'hashing', 64)")
    db.execute(f'GRANT SELECT ON tiny_dancer.request_vectors TO "{role}"')
    with refused("22023", "none of 80 recorded outcomes has a request to learn from"):
        train_recorded(trainer)
    db.execute(f'GRANT SELECT (request) ON tiny_dancer.usage, tiny_dancer.decisions TO "{role}"')
    row = train_recorded(trainer)
    # Those from before the texts were stored are lost.
    assert row.requests + row.held_back == 20
    assert 0.0 < predicted(trainer, SUM)["adder"] < 1.0


def test_vectors_that_no_model_made_are_left_out(db, new_role, connect):
    role = new_role("mischief")
    register_two(db)
    record_some(db)
    db.execute("SELECT tiny_dancer.grant_usage(%s)", [role])
    session = connect(user=role)
    for vector in ("[1,2,3]", f"[{','.join(['100'] * 384)}]", f"[{','.join(['0'] * 384)}]"):
        [(usage,)] = call(
            session, "ruvector_record_usage", agent="poet", actual_cost=0.0, success=True
        )
        session.execute(
            "INSERT INTO tiny_dancer.request_vectors (usage_id, model_id, embedding, features)"
            " VALUES (%s, 1, %s::public.vector::public.halfvec, '{NaN,Infinity,1}')",
            (usage, vector),
        )
    row = train_recorded(db)
    assert row.requests + row.held_back == 20


def test_features_that_nobody_measured_are_left_out(db):
    register_two(db)
    record_some(db)
    db.execute("UPDATE tiny_dancer.request_vectors SET features = NULL")
    assert train_recorded(db).activated
    assert 0.0 < predicted(db, SUM)["adder"] < 1.0
    for count in (COUNT, *EARLIER_COUNTS):
        db.execute(
            "UPDATE tiny_dancer.request_vectors SET features = array_fill('NaN'::real, ARRAY[%s])",
            (count,),
        )
        row = train_recorded(db)
        assert row.requests + row.held_back == 20


def test_duplicate_vectors_count_once(db):
    register_two(db)
    record_some(db)
    db.execute(
        "INSERT INTO tiny_dancer.request_vectors (usage_id, model_id, embedding, features)"
        " SELECT usage_id, model_id, embedding, features FROM tiny_dancer.request_vectors"
    )
    row = train_recorded(db)
    assert row.requests + row.held_back == 20
    assert row.outcomes == 2 * (row.requests + row.held_back)
