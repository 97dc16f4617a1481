"""Expected quality with a router model: prior, level, head and what came in since."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.agents.agent import Agent
from tiny_dancer.agents.performance import AgentPerformance, Outcomes
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.agents.robust_prior import RobustPrior
from tiny_dancer.learning.learned_quality import LearnedQuality, NewOutcomes
from tiny_dancer.learning.router_model import RouterModel
from tiny_dancer.predictors.prior_blend import PriorBlend
from tiny_dancer.settings import Settings

NOTHING_NEAR = np.zeros(3)
HERE = np.array([1.0, 0.0], np.float32)
WORDS = np.zeros(0, np.float32)


class Fixed:
    """Predicts the same, whatever the request."""

    lexical_dim_ = 0

    def __init__(self, *quality):
        self.quality = np.array(quality)

    def predict_checked(self, embedding, lexical):
        return self.quality.copy()

    def log_odds_checked(self, embedding, lexical):
        return np.log(self.quality / (1.0 - self.quality))

    def log_odds_checked_batch(self, embeddings, lexical):
        return np.repeat(self.log_odds_checked(None, None)[None], len(embeddings), axis=0)


def registry(*ids, quality=(0.8, 0.6, 0.7)):
    names = "abc"
    return AgentRegistry(
        [Agent(names[i], quality_score=quality[i], id=agent_id) for i, agent_id in enumerate(ids)],
        dimension=2,
    )


def model(ids=(1, 2, 3), said=(0.9, 0.2, 0.5), means=(0.7, 0.6, 0.5), requests=(1e6,) * 3):
    counts = np.array(requests)
    return RouterModel(Fixed(*said), ids, counts, counts, np.array(means), 1)


# Deviations that are believed as a whole, so that what is expected is what the head says.
WHOLE = PriorBlend(most_trust=1.0)


def learned(router_model, agents=None, news=None, similarity_weight=6.0, blending=WHOLE, **options):
    agents = agents or registry(1, 2, 3)
    performance = AgentPerformance(agents, Settings(), options.get("outcomes"))
    return LearnedQuality(router_model, agents, performance, similarity_weight, blending, news)


def expected(found, nearness=NOTHING_NEAR):
    return found.expected(found.head_log_odds(HERE, WORDS), nearness.copy())


def news(count, quality, foreseen=0.0, foreseen_quality=0.0):
    def first(value):
        return np.array([value, 0.0, 0.0], dtype=np.float64)

    return NewOutcomes(*map(first, (count, quality, foreseen, foreseen_quality)))


def test_after_many_outcomes_the_heads_decide():
    np.testing.assert_allclose(expected(learned(model())), [0.9, 0.2, 0.5], atol=2e-3)


def test_similarity_no_longer_shades_what_was_learned():
    near = np.array([0.3, -0.3, 0.0])
    np.testing.assert_allclose(expected(learned(model()), near), [0.9, 0.2, 0.5], atol=3e-3)


def test_deviations_from_the_usual_are_not_believed_as_a_whole():
    near = np.array([0.3, -0.3, 0.0])
    cautious = PriorBlend(most_trust=0.5)
    # Half way between the mean and what the head says, in log-odds; similarity plays no part.
    odds = np.log([0.7 / 0.3 * 0.9 / 0.1, 0.6 / 0.4 * 0.2 / 0.8, 1.0]) / 2.0
    np.testing.assert_allclose(
        expected(learned(model(), blending=cautious), near), 1.0 / (1.0 + np.exp(-odds)), atol=2e-3
    )


def test_without_outcomes_the_shaded_prior_decides():
    near = np.array([0.1, -0.1, 0.0])
    found = learned(model(requests=(0, 0, 0)))
    odds = np.log([0.8 / 0.2, 0.6 / 0.4, 0.7 / 0.3]) + 6.0 * near
    np.testing.assert_allclose(expected(found, near), 1.0 / (1.0 + np.exp(-odds)))
    assert not found.learned.any()


def test_few_outcomes_move_little():
    quality = expected(learned(model(requests=(5, 5, 5))))
    np.testing.assert_allclose(quality, [0.8, 0.6, 0.7], atol=0.03)
    assert quality[0] != 0.8


def test_heads_belong_to_agents_by_their_ids():
    turned = model(ids=(1, 2, 3), said=(0.9, 0.2, 0.5))
    np.testing.assert_allclose(
        expected(learned(turned, registry(3, 1, 2))), [0.5, 0.9, 0.2], atol=3e-3
    )


def test_an_agent_without_a_head_keeps_its_prior():
    found = learned(model(), registry(1, 9, 3))
    quality = expected(found)
    np.testing.assert_allclose(quality, [0.9, 0.6, 0.5], atol=3e-3)
    assert found.learned.tolist() == [True, False, True]
    assert np.isnan(found.foreseen(found.head_log_odds(HERE, WORDS), np.zeros(3))).tolist() == [
        False,
        True,
        False,
    ]


def test_heads_of_removed_agents_count_for_nothing():
    found = learned(model(), registry(1, 3))
    np.testing.assert_allclose(
        found.expected(found.head_log_odds(HERE, WORDS), np.zeros(2)), [0.9, 0.5], atol=3e-3
    )


def test_one_bad_outcome_since_does_not_sink_an_agent():
    quality = expected(learned(model(), news=news(1, 0.0)))
    assert 0.87 < quality[0] < 0.9
    np.testing.assert_allclose(quality[1:], [0.2, 0.5], atol=2e-3)


def test_many_failures_since_do():
    assert expected(learned(model(), news=news(300, 0.0)))[0] < 0.6


def test_outcomes_as_foreseen_change_nothing():
    # Harder requests than those of the training, and just as good as expected on them.
    quality = expected(learned(model(), news=news(300, 0.3, 300, 0.3)))
    np.testing.assert_allclose(quality, expected(learned(model())), atol=1e-9)


def test_outcomes_better_than_foreseen_raise_an_agent():
    assert expected(learned(model(), news=news(300, 0.5, 300, 0.3)))[0] > 0.92


def test_what_is_foreseen_leaves_out_what_came_in_since():
    found = learned(model(), news=news(300, 0.0))
    alone = found.foreseen(found.head_log_odds(HERE, WORDS), np.zeros(3))
    np.testing.assert_allclose(alone, expected(learned(model())))


def test_observations_are_those_trained_on_and_those_since():
    found = learned(model(requests=(10, 20, 0)), news=news(5, 1.0))
    assert found.observations.tolist() == [15, 20, 0]


def test_observations_of_an_agent_without_a_head_are_its_own():
    seen = Outcomes.none(3)
    seen.requests[:] = [7, 8, 9]
    found = learned(model(ids=(1, 2, 99)), outcomes=seen)
    assert found.observations[2] == 9


def test_a_batch_expects_what_single_requests_do():
    found = learned(model(ids=(3, 2, 1), requests=(50, 400, 0)))
    near = np.array([[0.1, 0.0, -0.1], [0.0, 0.2, 0.0]])
    heads = found.head_log_odds_batch(np.stack([HERE, HERE]), np.zeros((2, 0), np.float32))
    together = found.expected(heads, near.copy())
    alone = [expected(found, row) for row in near]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("said", [(0.998, 0.002, 0.5)])
@pytest.mark.parametrize("means", [(0.0, 1.0, 0.5)])
def test_extremes_stay_probabilities(said, means):
    quality = expected(learned(model(said=said, means=means)))
    assert ((quality > 0.0) & (quality < 1.0)).all()


def test_uncertainty_falls_with_the_number_of_outcomes():
    few, many = (learned(model(requests=(n,) * 3)) for n in (10.0, 10_000.0))
    at = np.full(3, 0.5)
    assert (many.uncertainty(at) < few.uncertainty(at)).all()


def test_an_unknown_prior_is_what_was_observed():
    agents = registry(1, 2, 3, quality=(None, None, None))
    found = learned(model(said=(0.7, 0.6, 0.5), requests=(100,) * 3), agents)
    np.testing.assert_allclose(expected(found), [0.7, 0.6, 0.5], atol=1e-6)


def test_the_strengths_are_those_of_the_blend():
    agents = registry(1, 2, 3)
    performance = AgentPerformance(agents, Settings())
    quick = LearnedQuality(
        model(requests=(50,) * 3), agents, performance, 6.0, PriorBlend(RobustPrior(1.0), 1.0, 1.0)
    )
    np.testing.assert_allclose(expected(quick), [0.9, 0.2, 0.5], atol=0.02)
