"""Matching requests to semantic routes, without a database."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tiny_dancer import near_ties
from tiny_dancer.near_ties import DECIMALS, NEVER, by_priority, descending, rounded
from tiny_dancer.route_conditions import RequestContext, RouteConditions
from tiny_dancer.route_matching import RouteMatching
from tiny_dancer.route_similarity import POOL_TEMPERATURE, confidence, pooled_similarity
from tiny_dancer.semantic_routes import SemanticRoute, SemanticRoutes, two_greatest


def at_similarity(*similarities):
    """Unit rows of so many similarities to the request [1, 0]."""
    cosines = np.array(similarities)
    return np.stack([cosines, np.sqrt(1.0 - cosines**2)], axis=1).astype(np.float32)


REQUEST = np.array([1.0, 0.0], np.float32)


def route(name, *similarities, **properties):
    is_example = len(similarities) > 1
    properties.setdefault("has_utterances", is_example)
    return SemanticRoute(name, f"{name}-agent", at_similarity(*similarities), **properties)


def matched(*routes, k=3, matching=None, **arguments):
    found = SemanticRoutes.from_routes(routes, matching).match_route(REQUEST, k, **arguments)
    return [match.name for match in found]


def test_the_most_similar_comes_first_with_its_similarity():
    routes = SemanticRoutes.from_routes([route("a", 0.5), route("b", 0.9), route("c", 0.7)])
    found = routes.match_route(REQUEST, 2)
    assert [(m.name, m.target_agent) for m in found] == [("b", "b-agent"), ("c", "c-agent")]
    assert [m.similarity for m in found] == pytest.approx([0.9, 0.7], abs=1e-6)
    assert [routes.columns.names[m.position] for m in found] == ["b", "c"]


def test_below_every_threshold_there_is_no_row():
    assert matched(route("a", 0.09), route("b", -0.5)) == []
    assert matched() == []


def test_a_threshold_of_its_own_is_met_exactly():
    assert matched(route("a", 0.5, threshold=0.5)) == ["a"]
    assert matched(route("a", 0.5, threshold=0.5001)) == []
    assert matched(route("a", -0.9, threshold=-1.0)) == ["a"]


def test_default_thresholds_grow_with_the_utterances():
    routes = SemanticRoutes.from_routes(
        [
            route("described", 0.5),
            route("one", 0.5, has_utterances=True),
            route("three", 0.5, 0.5, 0.5),
            route("own", 0.5, 0.5, 0.5, threshold=0.7),
        ],
        RouteMatching(threshold=0.3, description_threshold=0.15),
    )
    thresholds = dict(zip(routes.columns.names, routes.thresholds.tolist(), strict=True))
    assert thresholds["described"] == pytest.approx(0.15)
    assert thresholds["one"] == pytest.approx(0.3)
    assert thresholds["three"] == pytest.approx(0.3 + 0.06 * np.log(3))
    assert thresholds["own"] == 0.7


def test_similarity_pools_the_best_three():
    best = np.array([0.9, 0.8, 0.3])
    weight = np.exp(best / POOL_TEMPERATURE)
    expected = (weight * best).sum() / weight.sum()
    similarity = np.array([0.3, -0.2, 0.9, 0.1, 0.8, 0.4])
    pooled = pooled_similarity(similarity, np.array([5, 1]))
    assert pooled.tolist() == pytest.approx([expected, 0.4])
    # An utterance met exactly counts almost alone.
    assert pooled_similarity(np.array([1.0, 0.1, 0.1]), np.array([3]))[0] > 0.97


def test_priority_decides_among_near_ties_only():
    low, high = route("low", 0.80, priority=1), route("high", 0.79, priority=9)
    assert matched(low, high) == ["high", "low"]
    poor = route("poor", 0.70, priority=100)
    assert matched(low, high, poor) == ["high", "low", "poor"]
    assert matched(low, high, matching=RouteMatching(priority_margin=0.005)) == ["low", "high"]


@pytest.mark.parametrize("first", [0, 1, 5, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_descending_is_the_order_of_rounded_similarities_and_then_of_places(count, first):
    rng = np.random.default_rng(count)
    # Few values, and differences far below the last decimal: many are equal once rounded.
    values = (rng.integers(-3, 4, count) / 4 + rng.uniform(-4e-7, 4e-7, count)).astype(np.float32)
    meant = rng.random(count) < 0.8
    wanted = sorted(
        ((p, round(v, DECIMALS)) for p, v in enumerate(values.tolist()) if meant[p]),
        key=lambda candidate: (-candidate[1], candidate[0]),
    )
    assert list(descending(np.where(meant, values, NEVER), first)) == wanted


def test_routes_below_a_threshold_of_their_own_are_not_put_in_order(monkeypatch):
    """One route that takes nearly anything must not make a match go through all the others."""
    looked_at = []
    monkeypatch.setattr(near_ties, "rounded", lambda v: looked_at.append(v) or round(v, DECIMALS))
    others = [route(f"r{i:03}", 0.2 + i / 10_000, threshold=0.5) for i in range(300)]
    assert matched(*others, route("any", 0.15, threshold=-1.0), route("one", 0.7)) == ["one", "any"]
    assert len(looked_at) == 2


def test_rounded_is_round():
    for value in np.random.default_rng(1).uniform(-1, 1, 10_000).astype(np.float32).tolist():
        assert rounded(value) == round(value, DECIMALS)


def test_the_two_greatest():
    assert two_greatest(np.array([0.5])) == (0.5, 0.0)
    assert two_greatest(np.array([0.1, 0.7, 0.3])) == (0.7, 0.3)
    assert two_greatest(np.array([0.7, 0.7])) == (0.7, 0.7)


def test_chains_of_near_ties_never_lift_a_route_by_more_than_the_margin():
    order = by_priority(iter([(0, 0.80), (1, 0.79), (2, 0.775)]), [0, 0, 5], 0.02)
    assert list(order) == [(0, 0.80), (2, 0.775), (1, 0.79)]
    generator = np.random.default_rng(0)
    for _ in range(50):
        values = np.sort(generator.uniform(0, 0.2, 30))[::-1]
        priorities = generator.integers(0, 5, 30).tolist()
        ordered = list(by_priority(iter(enumerate(values.tolist())), priorities, 0.02))
        assert sorted(position for position, _ in ordered) == list(range(30))
        for place, (_, value) in enumerate(ordered):
            assert max((v for _, v in ordered[place:]), default=0.0) - value <= 0.02


def test_equal_routes_come_by_name_whatever_their_number():
    routes = [route(f"r{i:03}", 0.6) for i in range(300)]
    assert matched(*reversed(routes), k=3) == ["r000", "r001", "r002"]
    best = [*routes[:250], route("zz", 0.6, priority=1)]
    assert matched(*best, k=2) == ["zz", "r000"]


def test_confidence_grows_with_similarity_and_margin():
    assert confidence(0.6, 0.2) > confidence(0.6, 0.1) > confidence(0.6, -0.1)
    assert confidence(0.8, 0.1) > confidence(0.5, 0.1)
    assert 0.0 < confidence(-1.0, -2.0) < 0.01
    assert 0.99 < confidence(1.0, 1.0) < 1.0


def test_confidence_compares_with_routes_that_may_not_be_taken():
    routes = SemanticRoutes.from_routes([route("a", 0.9), route("b", 0.5)])
    [free] = routes.match_route(REQUEST, 1)
    [other] = routes.match_route(REQUEST, 1, closed={0})
    assert (free.name, other.name) == ("a", "b")
    assert free.confidence > 0.95
    assert other.confidence < 0.05


def test_conditions_are_judged_at_the_time_given():
    night = RouteConditions.parse({"time_range": ["22:00", "06:00"]})
    gold = RouteConditions.parse({"user_tier": "gold"})
    routes = [route("night", 0.9, conditions=night), route("gold", 0.8, conditions=gold),
              route("any", 0.7)]  # fmt: skip
    noon = datetime(2025, 1, 8, 12, tzinfo=UTC)
    assert matched(*routes, now=noon) == ["any"]
    assert matched(*routes, now=noon.replace(hour=23)) == ["night", "any"]
    assert matched(*routes, now=noon, context=RequestContext("gold")) == ["gold", "any"]


def test_routes_that_may_not_be_taken_do_not_hide_those_behind_them():
    shut = RouteConditions.parse({"user_tier": "nobody"})
    routes = [route(f"s{i:03}", 0.9, 0.9, conditions=shut) for i in range(200)]
    assert matched(*routes, route("open", 0.5, 0.5)) == ["open"]


def test_best_route_leads_to_one_of_the_agents():
    routes = SemanticRoutes.from_routes([route("a", 0.9), route("b", 0.8), route("c", 0.05)])
    assert routes.best_route(REQUEST, ["a-agent", "b-agent"]).name == "a"
    assert routes.best_route(REQUEST, {"b-agent", "c-agent"}).name == "b"
    assert routes.best_route(REQUEST, ["c-agent"]) is None
    assert routes.best_route(REQUEST, []) is None


def clustered(count, dimension=32, seed=3):
    """Directions with structure, as embeddings have."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(40, dimension))
    vectors = centres[generator.integers(0, 40, count)]
    vectors = vectors + 0.5 * generator.normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def many_routes(routes=400, utterances=5):
    vectors = clustered(routes * utterances)
    return [
        SemanticRoute(f"r{i:04}", "agent", vectors[i * utterances : (i + 1) * utterances], True)
        for i in range(routes)
    ]


def test_the_shortlist_loses_nothing():
    """Every route worked out in full gives the same similarities as the shortlist."""
    by_similarity = RouteMatching(threshold=-1.0, priority_margin=0.0)
    routes = SemanticRoutes.from_routes(many_routes(), by_similarity)
    for request in clustered(30, seed=9):
        everything = pooled_similarity(routes.vectors @ request, routes.columns.vector_counts)
        expected = np.sort(everything)[::-1][:5]
        found = [match.similarity for match in routes.match_route(request, 5)]
        assert found == pytest.approx(expected.tolist(), abs=1e-5)
