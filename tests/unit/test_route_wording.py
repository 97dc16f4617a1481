"""What the spelling of requests says for routes."""

from __future__ import annotations

import numpy as np
import pytest
from route_examples import DIMENSION, clusters, no_examples

from tiny_dancer.fitted_routes import FittedRoutes
from tiny_dancer.route_fitting import Examples, Utterances, fit_route_head
from tiny_dancer.route_head import RouteHead
from tiny_dancer.route_wording import (
    BUCKETS,
    MOST_ROUTES,
    NO_WORDS,
    word_buckets,
    wording_evidence,
    wording_weights,
)
from tiny_dancer.semantic_routes import SemanticRoute, SemanticRoutes
from tiny_dancer.weights import DamagedWeightsError, from_blob, to_blob

TEXTS = ("pay the invoice", "invoice of May", "reset my password", "password forgotten")
ROUTES = np.array([0, 0, 1, 1])


def test_buckets_are_of_runs_whatever_case_and_white_space():
    found = word_buckets("Pay  the\nINVOICE ")
    assert found.tolist() == word_buckets("pay the invoice").tolist() == sorted(set(found.tolist()))
    # 17 characters with the marks at both ends: 15 runs of three and 14 of four.
    assert 25 <= len(found) <= 29
    assert found.max() < BUCKETS
    for empty in ("", "  \n"):
        assert not len(word_buckets(empty))


def test_what_is_spelled_like_the_examples_of_a_route_speaks_for_it():
    weights = wording_weights([word_buckets(text) for text in TEXTS], ROUTES, 3)
    assert weights.shape == (3, BUCKETS)
    both = np.array([0, 1, 2])
    first, second, unknown = wording_evidence(weights, both, word_buckets("invoices"))
    assert first > 0.0 > second
    assert unknown == pytest.approx(0.0, abs=1e-5)
    assert not wording_evidence(weights, both, NO_WORDS).any()


def test_without_text_or_with_very_many_routes_there_are_no_weights():
    assert wording_weights([NO_WORDS, NO_WORDS], np.array([0, 1]), 2).shape == (2, 0)
    many = MOST_ROUTES + 1
    words = [word_buckets("something")]
    assert wording_weights(words, np.array([0]), many).shape == (many, 0)
    nothing = np.zeros((2, 0), np.float32)
    assert not wording_evidence(nothing, np.array([1]), words[0]).any()


def misleading(words_of):
    """A fit of two routes whose embeddings are all alike."""
    vectors, owners = clusters(1, 60)
    owners = owners.copy()
    owners[30:] = 1
    generator = np.random.default_rng(0)
    texts = [f"{words_of[owner]} {generator.integers(1000)}" for owner in owners]
    words = tuple(word_buckets(text) for text in texts)
    utterances = Utterances(vectors, np.array([30, 30]), np.ones(60, bool), words)
    fit = fit_route_head(
        utterances,
        Examples(vectors, owners, words),
        no_examples(),
        acceptance=1.0,
        seed=0,
        progress=lambda message: None,
    )
    routes = [
        SemanticRoute(f"route {i}", "agent", vectors[30 * i : 30 * i + 30], has_utterances=True)
        for i in range(2)
    ]
    return fit, FittedRoutes(SemanticRoutes.from_routes(routes), fit.head, np.arange(2))


def test_a_fit_learns_how_much_the_wording_says():
    told, routes = misleading(("the invoice number", "a new password for"))
    blind, _ = misleading(("request number", "request number"))
    assert (told.guesses == told.routes).mean() > 0.95
    assert (blind.guesses == blind.routes).mean() < 0.8
    [vector], _ = clusters(1, 1, seed=4)
    for text, name in (("which invoice", "route 0"), ("new password", "route 1")):
        match = routes.match_route(vector, 1, text=text)[0]
        assert match.name == name
        assert match.confidence > 0.8
        assert routes.judge(vector, text).position == int(name[-1])
    # Without the text the embedding decides alone, and is not sure.
    assert routes.match_route(vector, 1)[0].confidence < 0.9


def test_a_head_of_version_0_1_does_not_look_at_the_wording():
    fit, present = misleading(("the invoice number", "a new password for"))
    tensors, description = from_blob(fit.head.to_bytes())
    del tensors["wording"], tensors["wording_estimate"]
    tensors["evidence"] = tensors["evidence"][:3]
    old = RouteHead.from_bytes(to_blob(tensors, description))
    routes = FittedRoutes(present._routes, old, np.arange(2))
    vector = np.eye(1, DIMENSION, dtype=np.float32)[0]
    assert routes.judge(vector, "which invoice") == routes.judge(vector)


def test_a_head_with_other_buckets_is_damaged():
    fit, _ = misleading(("the invoice number", "a new password for"))
    tensors, description = from_blob(fit.head.to_bytes())
    tensors["wording"] = tensors["wording"][:, :100]
    with pytest.raises(DamagedWeightsError, match="route fit 3 is damaged"):
        RouteHead.from_bytes(to_blob(tensors, description), where="route fit 3")
