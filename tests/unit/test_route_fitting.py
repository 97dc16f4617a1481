"""Fitting the head of semantic routes on made-up clusters."""

from __future__ import annotations

import numpy as np
import pytest
from route_examples import (
    DIMENSION,
    anywhere,
    clusters,
    fitted,
    no_examples,
    without_text,
    wordless,
)

from tiny_dancer import route_fitting
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.fitted_routes import FittedRoutes
from tiny_dancer.route_evidence import FLOOR, density, of_sums
from tiny_dancer.route_fitting import OUT_OF_SCOPE, Utterances, fit_route_head
from tiny_dancer.route_head import RouteHead, probabilities
from tiny_dancer.semantic_routes import SemanticRoute, SemanticRoutes
from tiny_dancer.weights import DamagedWeightsError, from_blob, to_blob


def matcher(fit, utterances, names=None, extra=()):
    """The fitted routes, named so that their order is that of the fit."""
    ends = np.cumsum(utterances.counts)
    routes = [
        SemanticRoute(
            names[i] if names else f"route {i}",
            "agent",
            utterances.vectors[end - count : end],
            has_utterances=True,
        )
        for i, (end, count) in enumerate(zip(ends, utterances.counts, strict=True))
    ]
    present = SemanticRoutes.from_routes([*routes, *extra])
    places = np.array([present.columns.names.index(route.name) for route in routes], np.intp)
    return FittedRoutes(present, fit.head, places)


def test_new_requests_get_their_route_and_strangers_get_none():
    fit, utterances = fitted()
    routes = matcher(fit, utterances)
    vectors, owners = clusters(6, 20, seed=5)
    found = [routes.match_route(vector, 1) for vector in vectors]
    right = [f"route {o}" == m[0].name for o, m in zip(owners, found, strict=True) if m]
    assert len(right) > 0.85 * len(vectors)
    assert np.mean(right) > 0.95
    strangers = [routes.match_route(vector, 1) for vector in anywhere(60, seed=9)]
    assert np.mean([not matches for matches in strangers]) > 0.7


def test_what_is_measured_is_of_examples_held_back():
    fit, _ = fitted()
    inside = fit.routes != OUT_OF_SCOPE
    assert inside.sum() == 72
    assert (~inside).sum() == 40
    assert (fit.margins[inside] >= 0).mean() == pytest.approx(0.95, abs=0.03)
    # Clusters without any structure: whoever judged them by themselves would find them all.
    noise = anywhere(60, seed=3)
    utterances = Utterances(noise, np.full(6, 10), np.ones(60, bool), wordless(60))
    examples = without_text(noise, np.repeat(np.arange(6), 10))
    blind = fit_route_head(
        utterances, examples, no_examples(), acceptance=0.9, seed=0, progress=lambda m: None
    )
    assert (blind.guesses == blind.routes).mean() < 0.4
    assert blind.confidences.mean() < 0.6


def test_the_order_of_the_examples_does_not_matter():
    fit, utterances = fitted()
    vectors, owners = clusters(6, 12)
    order = np.random.default_rng(3).permutation(len(vectors))
    outside = anywhere(40)[::-1]
    again = fit_route_head(
        utterances,
        without_text(outside, np.full(40, OUT_OF_SCOPE, np.intp)).joined(
            without_text(vectors[order], owners[order])
        ),
        no_examples(),
        acceptance=0.95,
        seed=0,
        progress=lambda message: None,
    )
    assert again.head.to_bytes() == fit.head.to_bytes()


def test_a_higher_acceptance_has_lower_thresholds():
    strict, _ = fitted(acceptance=0.8)
    lenient, _ = fitted(acceptance=0.99)
    assert (lenient.head.thresholds < strict.head.thresholds).all()


@pytest.mark.parametrize("routes", [1, 2, 20])
@pytest.mark.parametrize("each", [1, 2, 3])
@pytest.mark.parametrize("outside", [0, 1])
def test_few_examples_give_finite_weights(routes, each, outside):
    fit, utterances = fitted(routes=routes, each=each, outside=outside)
    head = fit.head
    for values in (head.heads, head.thresholds, head.evidence, head.scope, head.estimate):
        assert np.isfinite(values).all()
    own = utterances.vectors[0]
    [match, *_] = matcher(fit, utterances).match_route(own, 3) or [None]
    assert match is None or 0.0 <= match.confidence <= 1.0
    assert match is None or match.similarity > 0.9 or routes == 20


def test_contradictory_and_constant_examples_give_finite_weights():
    vectors, owners = clusters(3, 6)
    same = np.repeat(vectors[:1], 18, axis=0)
    for rows in (same, np.zeros((18, DIMENSION), np.float32)):
        utterances = Utterances(rows, np.full(3, 6), np.ones(18, bool), wordless(18))
        fit = fit_route_head(
            utterances,
            without_text(rows, owners).joined(without_text(rows[:1], np.array([OUT_OF_SCOPE]))),
            no_examples(),
            acceptance=0.99,
            seed=0,
            progress=lambda message: None,
        )
        assert np.isfinite(fit.head.heads).all()
        assert np.isfinite(fit.margins).all()


def test_without_an_example_in_scope_there_is_nothing_to_fit():
    vectors, _ = clusters(2, 3)
    utterances = Utterances(vectors, np.array([3, 3]), np.ones(6, bool), wordless(6))
    outside = without_text(anywhere(5), np.full(5, OUT_OF_SCOPE, np.intp))
    with pytest.raises(InvalidArgumentError, match="no example names a route"):
        fit_route_head(
            utterances, outside, no_examples(), acceptance=0.9, seed=0, progress=lambda m: None
        )


def test_progress_can_end_the_fit():
    def stop(message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(progress=stop)


def test_a_route_that_the_head_does_not_know_takes_its_place():
    fit, utterances = fitted()
    new = anywhere(1, seed=77)
    extra = SemanticRoute("new", "agent", np.concatenate([new, new]), has_utterances=True)
    routes = matcher(fit, utterances, extra=[extra])
    first = routes.match_route(new[0], 2)[0]
    assert first.name == "new"
    assert first.confidence > 0.5
    assert first.similarity == pytest.approx(1.0, abs=1e-5)
    # The others are matched as before, and those that are gone or changed by their similarity.
    own = utterances.vectors[0]
    assert routes.match_route(own, 1)[0].name == "route 0"
    present = matcher(fit, utterances)._routes
    partly = FittedRoutes(present, fit.head, np.array([0, -1, 2, -1, -1, 5]))
    for place in range(6):
        vector = utterances.vectors[12 * place]
        assert partly.match_route(vector, 1)[0].name == f"route {place}"


def test_a_stated_threshold_holds_beside_the_fitted_one():
    fit, utterances = fitted()
    routes = matcher(fit, utterances)
    own = utterances.vectors[0]
    assert routes.match_route(own, 1)[0].similarity < 0.999
    routes.columns.thresholds[0] = 0.999
    stated = SemanticRoutes(routes.columns, utterances.vectors)
    strict = FittedRoutes(stated, fit.head, np.arange(6))
    assert "route 0" not in [match.name for match in strict.match_route(own, 6)]


def test_closed_routes_give_way_and_are_looked_beyond():
    fit, utterances = fitted(routes=40, each=4, outside=0, acceptance=1.0)
    routes = matcher(fit, utterances, names=[f"{i:02}" for i in range(40)])
    own = utterances.vectors[0]
    assert routes.match_route(own, 1)[0].name == "00"
    assert "00" not in [match.name for match in routes.match_route(own, 5, closed={0})]
    everything = routes.match_route(own, 40)
    few = routes.match_route(own, 1, closed=set(range(39)))
    assert [m.name for m in few] == [m.name for m in everything if m.name == "39"]


def test_verdicts_agree_with_matches():
    fit, utterances = fitted()
    routes = matcher(fit, utterances)
    vectors = np.concatenate([clusters(6, 5, seed=8)[0], anywhere(30, seed=8)])
    for vector in vectors:
        verdict, matches = routes.judge(vector), routes.match_route(vector, 1)
        assert (verdict.margin >= 0) == bool(matches)
        if matches:
            assert (verdict.position, verdict.confidence) == (
                matches[0].position, matches[0].confidence)  # fmt: skip
    plain = routes._routes
    for vector in vectors:
        verdict, matches = plain.judge(vector), plain.match_route(vector, 1)
        assert (verdict.margin >= 0) == bool(matches)
        if matches:
            assert verdict.position == matches[0].position


def test_weights_come_back_as_they_were_and_damage_is_named():
    head = fitted()[0].head
    blob = head.to_bytes()
    again = RouteHead.from_bytes(blob)
    assert again.to_bytes() == blob
    assert again.sharpness == head.sharpness
    with pytest.raises(DamagedWeightsError, match=r"fit 7.* is damaged"):
        RouteHead.from_bytes(blob[:-5] + b"xxxxx", where="fit 7")
    tensors, description = from_blob(blob)
    tensors.pop("scope")
    with pytest.raises(DamagedWeightsError, match="tensors are not those"):
        RouteHead.from_bytes(to_blob(tensors, description))


def test_with_enough_examples_nearness_is_learned(monkeypatch):
    assert not fitted()[0].head.has_metric
    monkeypatch.setattr(route_fitting, "FEWEST_FOR_METRIC", 10)
    fit, utterances = fitted()
    assert fit.head.metric.shape == (DIMENSION, DIMENSION)
    routes = matcher(fit, utterances)
    vectors, owners = clusters(6, 20, seed=5)
    found = [routes.match_route(vector, 1) for vector in vectors]
    assert (
        np.mean([f"route {o}" == m[0].name for o, m in zip(owners, found, strict=True) if m]) > 0.95
    )
    # The similarity means what it did.
    own = routes.match_route(utterances.vectors[0], 1)[0]
    plain = routes._routes.match_route(utterances.vectors[0], 1)[0]
    assert (own.name, own.similarity) == (plain.name, plain.similarity)


def test_with_one_vector_each_nearness_is_still_learned(monkeypatch):
    monkeypatch.setattr(route_fitting, "FEWEST_FOR_METRIC", 10)
    vectors, owners = clusters(6, 12)
    one = Utterances(vectors[::12], np.ones(6, np.int64), np.zeros(6, bool), wordless(6))
    fit = fit_route_head(
        one,
        without_text(vectors, owners),
        no_examples(),
        acceptance=1.0,
        seed=0,
        progress=lambda message: None,
    )
    assert fit.head.has_metric
    routes = matcher(fit, one)
    new, of_new = clusters(6, 20, seed=5)
    found = [routes.judge(vector).position for vector in new]
    assert (np.array(found) == of_new).mean() > 0.9


def test_a_head_from_before_nearness_was_learned_matches_as_it_did():
    fit, utterances = fitted()
    tensors, description = from_blob(fit.head.to_bytes())
    del tensors["metric"]
    old = RouteHead.from_bytes(to_blob(tensors, description))
    assert not old.has_metric
    present = matcher(fit, utterances)
    routes = FittedRoutes(present._routes, old, np.arange(6))
    for vector in clusters(6, 4, seed=5)[0]:
        assert routes.match_route(vector, 6) == present.match_route(vector, 6)


def test_a_map_of_other_vectors_is_damaged():
    tensors, description = from_blob(fitted()[0].head.to_bytes())
    for shape in ((3, DIMENSION - 1), (3,), (3, DIMENSION, 1)):
        tensors["metric"] = np.zeros(shape, np.float32)
        with pytest.raises(DamagedWeightsError, match="fit 9 is damaged"):
            RouteHead.from_bytes(to_blob(tensors, description), where="fit 9")


def test_density_is_that_of_its_definition():
    similarity = np.array([[0.9, 0.5, -0.2]], np.float32)
    found = density(similarity, np.array([0, 2]), np.array([2, 1]), 20.0)
    expected = (np.log(np.exp(18.0) + np.exp(10.0)) - 0.5 * np.log(2)) / 20.0
    assert found[0] == pytest.approx([expected, -0.2], abs=1e-4)
    assert of_sums(np.array([0.0]), np.array([0]), 20.0).tolist() == [FLOOR]


def test_probabilities_of_huge_log_odds_sum_to_one():
    shares = probabilities(np.array([[1e6, 0.0, -1e6]], np.float32))
    assert shares.tolist() == [[1.0, 0.0, 0.0]]
