"""A predictor is judged by what is held back, and learns from it afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.learning.judged_fit import JudgedFit
from tiny_dancer.learning.outcome_table import OutcomeTable
from tiny_dancer.predictors.default_predictor import NAMES, predictor_by_name
from tiny_dancer.predictors.predictor import QualityPredictor

AGENTS = 3


def table_of(rows):
    """Requests of three kinds, each of which another agent is good at."""
    rng = np.random.default_rng(5)
    kinds = rng.integers(AGENTS, size=rows)
    embeddings = rng.standard_normal((rows, 16)) + 3.0 * np.eye(16)[kinds]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    lexical = rng.random((rows, 4)).astype(np.float32)
    request, agent = np.divmod(np.arange(rows * AGENTS), AGENTS)
    quality = (rng.random(len(agent)) < np.where(kinds[request] == agent, 0.9, 0.3)).astype(float)
    return OutcomeTable.of(embeddings.astype(np.float32), lexical, request, agent + 1, quality)


@pytest.fixture(scope="module")
def table():
    return table_of(120)


@pytest.mark.parametrize("name", NAMES)
def test_the_serving_one_learns_what_was_held_back(table, name):
    fit = JudgedFit.of(predictor_by_name(name, 3), table)
    rest, held_back = fit.training, fit.held_back
    assert len(rest) + len(held_back) == len(table)
    assert len(held_back) > 0
    alone = predictor_by_name(name, 3).learn(rest)
    np.testing.assert_allclose(
        fit.predictions, alone.predict_batch(held_back.embeddings, held_back.lexical), atol=1e-6
    )
    again = fit.serving.predict_batch(held_back.embeddings, held_back.lexical)
    assert np.isfinite(again).all()
    assert not np.array_equal(again, fit.predictions)
    # What is served has seen these rows, so it is nearer to them.
    targets = held_back.targets
    assert ((again - targets) ** 2).mean() < ((fit.predictions - targets) ** 2).mean()
    assert fit.serving.kind == fit.judged.kind
    assert (fit.serving.agents_, fit.serving.embedding_dim_) == (
        fit.judged.agents_,
        fit.judged.embedding_dim_,
    )
    stored = QualityPredictor.from_blob(fit.serving.to_blob())
    np.testing.assert_allclose(
        stored.predict_batch(held_back.embeddings, held_back.lexical), again, atol=1e-6
    )


def test_learning_from_all_leaves_the_judged_one_as_it_was(table):
    fit = JudgedFit.of(predictor_by_name("mean"), table)
    assert fit.judged.to_blob() == predictor_by_name("mean").learn(fit.training).to_blob()


def test_the_weights_of_the_members_are_those_that_were_chosen(table):
    fit = JudgedFit.of(predictor_by_name("mean"), table)
    assert [m.kind for m in fit.serving.members_] == [m.kind for m in fit.judged.members_]
    np.testing.assert_array_equal(fit.serving.pool_.weights, fit.judged.pool_.weights)
    assert fit.serving.losses_ == fit.judged.losses_


def test_the_same_outcomes_and_seed_give_the_same_weights(table):
    first, second = (JudgedFit.of(predictor_by_name("mean", 7), table) for _ in range(2))
    assert first.serving.to_blob() == second.serving.to_blob()


def test_progress_of_both_ends_and_either_can_be_cancelled(table):
    heard = {"part": [], "all": []}
    JudgedFit.of(
        predictor_by_name("mean"),
        table,
        lambda *told: heard["part"].append(told),
        lambda *told: heard["all"].append(told),
    )
    for told in heard.values():
        assert all(done <= of for done, of, _ in told)
        assert told[-1][:2] == (1000, 1000)

    def cancel(*told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        JudgedFit.of(predictor_by_name("mean"), table, cancel)
    with pytest.raises(KeyboardInterrupt):
        JudgedFit.of(predictor_by_name("mean"), table, progress_with_all=cancel)


def test_where_nothing_can_be_held_back_one_is_both():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((5, 4)).astype(np.float32)
    words = np.zeros((5, 0), np.float32)
    # Each agent acted once: none may lose its only outcome.
    table = OutcomeTable.of(embeddings, words, np.arange(5), np.arange(5), rng.random(5))
    fit = JudgedFit.of(predictor_by_name("mean"), table)
    assert fit.serving is fit.judged
    assert fit.predictions.shape == (0, 5)
