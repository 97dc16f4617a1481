"""What a request is estimated to cost: all price parts, of this request."""

from __future__ import annotations

import pytest
from registration import call, register, route


def cost(session, characters=4000):
    return route(session, "x" * characters).estimated_cost


@pytest.mark.parametrize(
    ("prices", "dollars"),
    [
        ({"cost_per_1k_tokens": 0.01}, 0.01 * 1.256),
        ({"cost_per_1k_tokens": 0.01, "cost_per_1k_output_tokens": 0.05}, 0.01 + 0.05 * 0.256),
        ({"cost_per_1k_output_tokens": 0.05}, 0.05 * 0.256),
        ({"cost_per_1k_tokens": 0.01, "cost_per_1k_output_tokens": 0.0}, 0.01),
        ({"cost_per_call": 0.25}, 0.25),
        ({"cost_per_second": 0.02}, 0.02 * 1.5),
        ({"cost_per_1k_tokens": 0.01, "cost_per_call": 0.25, "cost_per_second": 0.02}, 0.29256),
        ({"cost_per_call": 0.0}, 0.0),
    ],
    ids=str,
)
def test_all_price_parts_count(registry, prices, dollars):
    register(registry, "a", avg_latency_ms=1500, **prices)
    assert cost(registry) == pytest.approx(dollars, rel=1e-12)


@pytest.mark.parametrize(
    ("characters", "tokens"), [(1, 1), (3, 1), (7, 1), (8, 2), (401, 100), (100_000, 25_000)]
)
def test_four_characters_are_a_token_and_there_is_at_least_one(registry, characters, tokens):
    register(registry, "a", cost_per_1k_tokens=1.0, cost_per_1k_output_tokens=0.0)
    assert cost(registry, characters) == pytest.approx(tokens / 1000)


def test_characters_count_and_not_bytes(registry):
    register(registry, "a", cost_per_1k_tokens=1.0, cost_per_1k_output_tokens=0.0)
    assert route(registry, "é€😀字" * 2).estimated_cost == pytest.approx(2 / 1000)


def test_expected_output_tokens_are_a_setting(registry):
    register(registry, "a", cost_per_1k_output_tokens=1.0)
    call(registry, "tiny_dancer.set", name="expected_output_tokens", value="1000")
    assert cost(registry) == pytest.approx(1.0)


def test_no_price_at_all_is_unknown_and_not_free(registry):
    register(registry, "a")
    assert cost(registry) is None
