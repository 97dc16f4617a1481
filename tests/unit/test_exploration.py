"""Exploration: exact probabilities over the candidates, and nothing but candidates."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.agents.agent import Agent, CostModel
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.exploration import Exploration
from tiny_dancer.request import Request
from tiny_dancer.router import Router
from tiny_dancer.settings import Settings, read_setting

EAST = np.array([1, 0], np.float32)
REQUEST = Request(10, EAST)
ANY = RoutingConstraints()
SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
PRICES = {"best": 0.03, "cheap": 0.001, "middling": 0.01}
QUALITIES = {"best": 0.95, "cheap": 0.6, "middling": 0.8}


def never():
    raise AssertionError("nothing is to be drawn")


def explore(share=0.3, temperature=0.25, random=never):
    return Exploration(share, temperature, random)


def agents(**columns):
    return [
        Agent(
            name,
            cost=CostModel(per_call=PRICES[name]),
            avg_latency_ms=100.0,
            quality_score=QUALITIES[name],
            embedding=EAST,
            **{key: value.get(name) for key, value in columns.items()},
        )
        for name in PRICES
    ]


def router(registered=None, **settings):
    return Router(AgentRegistry(registered or agents()), Settings(**settings))


@given(SCORES, st.floats(0.001, 0.5), st.floats(0.05, 100))
def test_probabilities_are_a_mixture_of_the_best_and_a_softmax(scores, share, temperature):
    scores = np.array(scores)
    best = int(scores.argmax())
    found = explore(share, temperature).probabilities(scores, best)
    softmax = np.exp(scores / temperature) / np.exp(scores / temperature).sum()
    expected = share * softmax
    expected[best] += 1 - share
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert found.sum() == pytest.approx(1, abs=1e-15)
    assert (found > 0).all()


def test_a_high_temperature_is_even_and_a_low_one_keeps_to_the_best():
    scores = np.array([1.0, 0.5, 0.0])
    np.testing.assert_allclose(
        explore(0.3, 100.0).probabilities(scores, 0), [0.8, 0.1, 0.1], atol=0.001
    )
    assert explore(0.3, 0.05).probabilities(scores, 0)[0] > 0.9999


@given(SCORES, st.floats(0, 1, exclude_max=True))
def test_a_draw_is_a_candidate_that_can_be_drawn(scores, number):
    exploration = explore(random=lambda: number)
    probabilities = exploration.probabilities(np.array(scores), int(np.argmax(scores)))
    assert probabilities[exploration.draw(probabilities)] > 0


def test_draws_come_as_often_as_their_probabilities_say():
    generator = np.random.default_rng(3)
    exploration = explore(random=generator.random)
    probabilities = exploration.probabilities(np.array([0.2, 0.9, 0.8, 0.1]), 1)
    drawn = np.bincount([exploration.draw(probabilities) for _ in range(20_000)], minlength=4)
    # Four standard deviations.
    margin = 4 * np.sqrt(probabilities * (1 - probabilities) / 20_000)
    assert (np.abs(drawn / 20_000 - probabilities) < margin).all()


def test_what_has_no_chance_is_never_drawn():
    probabilities = np.array([0.0, 0.6, 0.0, 0.4, 0.0])
    numbers = [0.0, 0.3, 0.6 - 1e-12, 0.6, 0.99, 1 - 2**-53]
    drawn = {explore(random=lambda n=n: n).draw(probabilities) for n in numbers}
    assert drawn == {1, 3}


def test_without_exploration_the_best_is_certain():
    decision = router().route(REQUEST, ANY, "quality")
    assert (decision.propensity, decision.propensities) == (1.0, None)


def decide(number, target="quality", constraints=ANY, **columns):
    return router(**columns).route(
        REQUEST, constraints, target, exploration=explore(random=lambda: number)
    )


def test_a_draw_of_another_agent_says_so():
    # Agents are ordered by name: best, cheap, middling.
    decision = decide(0.999)
    assert (decision.agent_name, decision.routed_by) == ("middling", "exploration")
    assert decision.reasoning == (
        f"middling was drawn by chance (probability {decision.propensity:.3g}) so that its outcome "
        "can be learned from; best ranks first of 3 candidates for high quality."
    )
    assert [standing.agent_name for standing in decision.alternatives] == ["best", "cheap"]
    assert decision.expected_quality == pytest.approx(0.8)
    assert decision.propensity == decision.propensities[2]


def test_a_draw_of_the_best_is_the_decision_that_would_have_been():
    drawn, plain = decide(0.0), router().route(REQUEST, ANY, "quality")
    assert drawn.propensities is not None
    assert drawn.propensity == drawn.propensities[0]
    unchanged = ("agent_name", "reasoning", "routed_by", "alternatives", "confidence")
    assert [getattr(drawn, f) for f in unchanged] == [getattr(plain, f) for f in unchanged]


def test_the_sentence_is_true_without_alternatives():
    decision = router(alternatives=0).route(
        REQUEST, ANY, "quality", exploration=explore(random=lambda: 0.999)
    )
    assert decision.alternatives == []
    assert "best ranks first of 3 candidates" in decision.reasoning


@pytest.mark.parametrize("number", np.linspace(0, 0.9999, 23))
def test_no_agent_that_fails_a_constraint_is_drawn(number):
    constraints = RoutingConstraints(max_cost=0.02, quality_floor=0.7)
    assert decide(number, constraints=constraints).agent_name == "middling"
    constraints = RoutingConstraints(excluded_agents=["best"])
    decision = decide(number, constraints=constraints)
    assert decision.agent_name != "best"
    assert len(decision.propensities) == len(decision.candidates) == 2


def test_one_candidate_is_certain_and_nothing_is_drawn():
    decision = router().route(
        REQUEST, RoutingConstraints(max_cost=0.002), "quality", exploration=explore()
    )
    assert (decision.agent_name, decision.propensity) == ("cheap", 1.0)
    assert decision.propensities is None


def test_of_a_pool_only_who_stands_for_it_is_drawn():
    registered = agents(pool={"best": "p", "middling": "p"})
    drawn = {
        Router(AgentRegistry(registered), Settings())
        .route(REQUEST, ANY, "cost", exploration=explore(0.5, 100.0, lambda n=n: n))
        .agent_name
        for n in np.linspace(0, 0.9999, 50)
    }
    assert drawn == {"best", "cheap"}


class Route:
    name, target_agent, similarity = "prices", "cheap", 0.9


def test_a_semantic_route_is_a_rule_and_is_not_explored():
    decision = router().route(
        REQUEST, ANY, "quality", semantic=lambda names: Route, exploration=explore()
    )
    assert (decision.agent_name, decision.routed_by) == ("cheap", "semantic_route")
    assert decision.propensities is None


def test_where_no_semantic_route_is_meant_scores_explore():
    decision = router().route(
        REQUEST, ANY, "quality", semantic=lambda names: None, exploration=explore(0.5, 1, lambda: 0)
    )
    assert decision.propensities is not None


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("exploration_share", 0, 0.5), ("exploration_temperature", 0.05, 100)],
)
def test_the_settings_are_bounded(name, least, most):
    assert [read_setting(name, str(v)) for v in (least, most)] == [least, most]
    for value, sign in itertools.product((least - 0.01, most + 0.01, "nan", "inf"), ("", "-")):
        with pytest.raises(ValueError, match=name):
            read_setting(name, f"{sign}{value}" if isinstance(value, str) else str(value))


def test_it_is_off_by_default():
    assert Settings().exploration_share == 0.0
