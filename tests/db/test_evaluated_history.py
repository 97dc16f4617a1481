"""``tiny-dancer evaluate --url`` reads what a database recorded, as whoever connects."""

import pytest
from databases import url_of
from registration import call
from router_training import register_two

from tiny_dancer.cli.database import DatabaseError
from tiny_dancer.cli.evaluate_history import read_history
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.router_comparison import foresight, out_of_fold_predictions
from tiny_dancer.predictors.ridge_heads import RidgeHeads


def record(session, agent, quality, **request):
    call(
        session,
        "ruvector_record_usage",
        agent=agent,
        actual_cost=0.25,
        success=True,
        quality=quality,
        **request,
    )


@pytest.fixture
def recorded(db):
    register_two(db)
    for n in range(30):
        text = f"{'Add up the numbers' if n % 2 else 'Write a poem about item'} {n}"
        for agent in ("adder", "poet"):
            right = (agent == "adder") == (n % 2 == 1)
            record(db, agent, 0.9 if right else 0.1, request=text)
    record(db, "poet", 1.0)
    return db


def test_requests_that_several_agents_answered_are_one_row(recorded):
    requests, left_out = read_history(url_of(recorded.info.dbname), 1000)
    benchmark = requests.benchmark
    assert (len(benchmark.prompts), benchmark.agents) == (30, ["adder", "poet"])
    assert left_out == 1
    assert benchmark.mask.all()
    assert set(benchmark.costs.ravel()) == {0.25}
    assert benchmark.quality.mean(axis=0) == pytest.approx([0.5, 0.5])
    assert requests.embeddings.shape[0] == 30
    predictions = out_of_fold_predictions(
        requests, {"ridge": lambda seed: RidgeHeads()}, seeds=1, parts=3
    )
    assert foresight(predictions["ridge"], benchmark).loss < 0.6


def test_feedback_counts_and_the_latest_come_first(recorded):
    recorded.execute(
        "SELECT ruvector_record_feedback(id::bigint, 0.3) FROM tiny_dancer.usage WHERE id = 60"
    )
    requests, _ = read_history(url_of(recorded.info.dbname), 2)
    assert requests.benchmark.quality.max() == pytest.approx(0.3)


def test_nothing_recorded(db):
    with pytest.raises(InvalidArgumentError, match="no outcome is recorded"):
        read_history(url_of(db.info.dbname), 1000)


def test_who_may_not_read_is_told_so(new_role, recorded):
    role = new_role("stranger")
    url = f"{url_of(recorded.info.dbname)}&user={role}"
    with pytest.raises(DatabaseError, match="permission denied") as caught:
        read_history(url, 1000)
    assert "grant_admin" in caught.value.hint


def test_a_database_without_the_extension_is_told_what_it_lacks(new_database):
    with pytest.raises(DatabaseError, match="does not exist") as caught:
        read_history(url_of(new_database()), 1000)
    assert "CREATE EXTENSION tiny_dancer" in caught.value.hint
