"""The registry as arrays: order, prices, ensembles, embeddings."""

import numpy as np
import pytest

from tiny_dancer.agents.agent import Agent, AgentType, CostModel
from tiny_dancer.agents.performance import AgentPerformance, Outcomes, blend
from tiny_dancer.agents.registry import PRIOR_MARGIN, AgentRegistry, prior_log_odds
from tiny_dancer.settings import Settings


def unit(*elements):
    vector = np.array(elements, np.float32)
    return vector / np.linalg.norm(vector)


def ensemble(name, *members, **columns):
    return Agent(name, AgentType.ENSEMBLE, metadata={"members": list(members)}, **columns)


def test_agents_are_ordered_by_code_points():
    registry = AgentRegistry([Agent(name) for name in ("ä", "b", "a", "B")])
    assert registry.names == ["B", "a", "b", "ä"]
    assert [registry.position[name] for name in registry.names] == [0, 1, 2, 3]


def test_an_empty_registry_has_empty_arrays():
    registry = AgentRegistry([], dimension=4)
    assert len(registry) == 0
    assert registry.embeddings.shape == (0, 4)
    assert AgentPerformance(registry, Settings()).least_room == np.inf


def test_output_costs_what_input_does_unless_told():
    registry = AgentRegistry(
        [
            Agent("a", cost=CostModel(per_1k_tokens=2.0)),
            Agent("b", cost=CostModel(per_1k_tokens=2.0, per_1k_output_tokens=0.0)),
            Agent("c", cost=CostModel(per_1k_output_tokens=3.0)),
        ]
    )
    assert registry.input_price.tolist() == [0.002, 0.002, 0.0]
    assert registry.output_price.tolist() == [0.002, 0.0, 0.003]


def test_what_is_unknown_is_not_a_number():
    registry = AgentRegistry([Agent("a")])
    assert np.isnan([registry.latency_ms[0], registry.quality[0]]).all()
    assert registry.context_window[0] == np.inf
    assert not registry.priced[0]


def test_agents_without_an_embedding_have_a_row_of_zeros():
    registry = AgentRegistry([Agent("a"), Agent("b", embedding=unit(3, 4))])
    assert registry.embeddings.tolist() == [[0, 0], pytest.approx([0.6, 0.8])]
    assert registry.embedded.tolist() == [False, True]
    assert registry.reference_positions.tolist() == [1]


def test_inactive_agents_are_no_reference():
    registry = AgentRegistry([Agent("a", embedding=unit(1, 0), active=False)])
    assert registry.reference_positions.tolist() == []


def test_agents_of_equal_capabilities_have_equal_products():
    generator = np.random.default_rng(0)
    vectors = [unit(*generator.normal(size=384)) for _ in range(3)]
    agents = [Agent(f"{i:02}", embedding=vectors[i % 3]) for i in range(40)]
    registry = AgentRegistry(agents)
    product = registry.distinct_embeddings @ vectors[0]
    similarity = product if registry.distinct_of is None else product[registry.distinct_of]
    assert len({similarity[i] for i in range(0, 40, 3)}) == 1


def test_an_ensemble_follows_its_members():
    registry = AgentRegistry(
        [
            Agent("a", cost=CostModel(per_1k_tokens=1.0), avg_latency_ms=100, quality_score=0.4),
            Agent("b", cost=CostModel(per_call=2.0), avg_latency_ms=300, quality_score=0.8),
            ensemble("both", "a", "b", cost=CostModel(per_call=0.5)),
        ]
    )
    both = registry.position["both"]
    assert registry.input_price[both] == 0.001
    assert registry.call_price[both] == 2.5
    assert registry.latency_ms[both] == 300
    assert registry.quality[both] == pytest.approx(0.6)
    assert registry.available[both]
    assert registry.priced[both]


@pytest.mark.parametrize(
    "agents",
    [
        [ensemble("e")],
        [ensemble("e", "missing")],
        [ensemble("e", "a"), Agent("a", active=False)],
        [ensemble("e", "f"), ensemble("f", "a"), Agent("a")],
        [ensemble("e", "e")],
    ],
    ids=["no members", "missing", "inactive", "nested", "itself"],
)
def test_an_ensemble_without_all_its_members_is_not_available(agents):
    registry = AgentRegistry(agents)
    assert not registry.available[registry.position["e"]]


def test_the_log_odds_of_certain_priors_are_finite():
    odds = prior_log_odds(np.array([0.0, 1.0, 0.5, np.nan]))
    assert odds == pytest.approx(
        [
            np.log(PRIOR_MARGIN / (1 - PRIOR_MARGIN)),
            -np.log(PRIOR_MARGIN / (1 - PRIOR_MARGIN)),
            0,
            0,
        ]
    )


def test_observations_move_what_was_registered_by_their_number():
    nan = np.nan
    blended = blend(
        prior=np.array([0.8, 0.8, 0.8, nan, nan]),
        strength=20.0,
        mean=np.array([0.0, 0.2, 0.2, 0.2, 0.0]),
        count=np.array([0.0, 20.0, 1e9, 3.0, 0.0]),
    )
    assert blended[:4] == pytest.approx([0.8, 0.5, 0.2, 0.2])
    assert np.isnan(blended[4])


def test_time_that_is_paid_follows_the_observed_latency():
    registry = AgentRegistry([Agent("a", cost=CostModel(per_second=1.0), avg_latency_ms=1000.0)])
    outcomes = Outcomes.none(1)
    outcomes.latency_count[0], outcomes.mean_latency_ms[0] = 20.0, 3000.0
    settings = Settings(prior_strength=20.0, expected_output_tokens=0)
    performance = AgentPerformance(registry, settings, outcomes)
    assert performance.latency_ms.tolist() == [2000.0]
    assert performance.constant_cost.tolist() == [2.0]
