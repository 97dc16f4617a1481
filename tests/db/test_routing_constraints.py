"""What an agent must fulfil to be chosen, and what the error says when nobody does."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import call, chosen, explain, register, register_four, route


@pytest.fixture
def four(registry):
    register_four(registry)
    return registry


def kept(session, **arguments):
    return {name for name, row in explain(session, **arguments).items() if row.kept}


def test_max_cost_compares_the_estimate_of_this_request(four):
    # 1 input and 256 output tokens.
    gpt_35 = 0.002 * 257 / 1000
    assert kept(four, request="x", max_cost=gpt_35) == {"gpt-3.5", "llama-2"}
    assert kept(four, request="x", max_cost=gpt_35 * 0.999) == {"llama-2"}
    assert kept(four, request="x" * 4000, max_cost=gpt_35) == {"llama-2"}


def test_max_cost_of_zero_leaves_what_is_free(four):
    assert kept(four, max_cost=0) == {"llama-2"}


def test_budget_remaining_compares_the_same_estimate(four):
    assert kept(four, request="x", budget_remaining=0.002 * 257 / 1000) == {"gpt-3.5", "llama-2"}


def test_max_latency(four):
    assert kept(four, max_latency_ms=400) == {"claude-3", "gpt-3.5"}
    assert kept(four, max_latency_ms=399.9) == {"gpt-3.5"}


def test_min_quality_compares_the_agents_own_quality(four):
    assert kept(four, min_quality=0.75) == {"gpt-4", "claude-3", "gpt-3.5"}
    assert kept(four, min_quality=0.9500001) == set()


def test_excluded_agents(four):
    assert kept(four, excluded_agents=["gpt-4", "nobody"]) == {"claude-3", "gpt-3.5", "llama-2"}
    assert kept(four, excluded_agents=[]) == set(explain(four))
    assert "gpt-4" in kept(four, excluded_agents=["GPT-4"])


def test_required_capabilities_are_all_needed_and_ignore_case(registry):
    register(registry, "both", ["Code", "law"])
    register(registry, "coder", ["code"])
    assert kept(registry, required_capabilities=["CODE", " law "]) == {"both"}
    assert kept(registry, required_capabilities=["code"]) == {"both", "coder"}
    assert kept(registry, required_capabilities=[]) == {"both", "coder"}


def test_a_capability_is_never_met_by_meaning_alone(meaning_db):
    register(meaning_db, "coder", ["programming"])
    with refused("TD001", detail="required_capabilities removed 1"):
        route(meaning_db, "Write code", required_capabilities=["coding"])


def test_an_alias_stands_for_the_capability_on_either_side(registry):
    register(registry, "a", ["coding"])
    register(registry, "b", ["code"])
    registry.execute("INSERT INTO tiny_dancer.capability_aliases VALUES ('coding', 'Code')")
    assert kept(registry, required_capabilities=["CODING"]) == {"a", "b"}
    assert kept(registry, required_capabilities=["code"]) == {"a", "b"}


def test_aliases_of_aliases_lead_to_the_same_capability(registry):
    register(registry, "a", ["a"])
    register(registry, "b", ["b"])
    register(registry, "c", ["c"])
    registry.execute("INSERT INTO tiny_dancer.capability_aliases VALUES ('a', 'b'), ('b', 'c')")
    for wanted in "abc":
        assert kept(registry, required_capabilities=[wanted]) == {"a", "b", "c"}, wanted


def test_aliases_that_name_each_other_mean_the_same(registry):
    register(registry, "a", ["a"])
    register(registry, "b", ["b"])
    registry.execute("INSERT INTO tiny_dancer.capability_aliases VALUES ('a', 'b'), ('b', 'a')")
    for wanted in "ab":
        assert kept(registry, required_capabilities=[wanted]) == {"a", "b"}, wanted


def test_inactive_agents_are_never_chosen(four):
    four.execute("SELECT ruvector_set_agent_active('llama-2', false)")
    assert chosen(four, optimize_for="cost") == "gpt-3.5"
    assert explain(four)["llama-2"].removed_by == ["active"]
    four.execute("SELECT ruvector_set_agent_active('llama-2', true)")
    assert chosen(four, optimize_for="cost") == "llama-2"


@pytest.mark.parametrize("limit", ["max_cost", "budget_remaining"])
def test_an_unknown_price_does_not_pass_a_cost_limit(registry, limit):
    register(registry, "unpriced", quality_score=0.9)
    assert chosen(registry) == "unpriced"
    assert route(registry).estimated_cost is None
    with refused("TD001", detail=f"{limit} removed 1"):
        route(registry, **{limit: 1e6})


def test_the_price_by_the_second_of_an_agent_of_unknown_latency_is_unknown(registry):
    register(registry, "human", cost_per_second=0.01)
    assert route(registry).estimated_cost is None
    with refused("TD001", detail="max_cost removed 1"):
        route(registry, max_cost=1e6)


def test_an_unknown_latency_does_not_pass_max_latency_ms(registry):
    register(registry, "untimed", cost_per_call=1)
    assert route(registry).estimated_latency_ms is None
    with refused("TD001", detail="max_latency_ms removed 1"):
        route(registry, max_latency_ms=1e9)


def test_an_unknown_quality_does_not_pass_min_quality(registry):
    register(registry, "unrated", cost_per_call=1)
    assert chosen(registry) == "unrated"
    with refused("TD001", detail="min_quality removed 1"):
        route(registry, min_quality=0.0)


def test_context_window_must_hold_input_and_expected_output(registry):
    register(registry, "small", metadata='{"context_window": 300}')
    register(registry, "unstated", quality_score=0.1)
    fits = "x" * (4 * 44)  # 44 tokens and the 256 expected make 300
    assert kept(registry, request=fits) == {"small", "unstated"}
    assert kept(registry, request=fits + "xxxx") == {"unstated"}
    assert explain(registry, fits + "xxxx")["small"].removed_by == ["context_window"]


def test_quality_floor_looks_at_the_request_and_min_quality_does_not(meaning_db):
    same = {"quality_score": 0.8, "avg_latency_ms": 300}
    register(meaning_db, "coder", ["programming", "code"], cost_per_call=0.01, **same)
    register(meaning_db, "cook", ["recipes", "cooking"], cost_per_call=0.001, **same)
    request = "Write a quicksort in Python"
    rows = explain(meaning_db, request)
    assert rows["coder"].expected_quality > 0.8 > rows["cook"].expected_quality
    assert kept(meaning_db, request=request, min_quality=0.8) == {"coder", "cook"}
    assert kept(meaning_db, request=request, quality_floor=0.8) == {"coder"}


def test_with_a_quality_floor_cost_means_the_cheapest_that_reaches_it(meaning_db):
    register(meaning_db, "apt", ["programming"], cost_per_call=0.02, quality_score=0.9)
    register(meaning_db, "cheap", ["cooking"], cost_per_call=0.01, quality_score=0.9)
    request = "Write a quicksort in Python"
    floor = explain(meaning_db, request)["cheap"].expected_quality
    assert chosen(meaning_db, request, optimize_for="cost", quality_floor=floor) == "cheap"


def test_the_error_counts_what_each_constraint_removed(four):
    register(four, "idle", ["chat"])
    four.execute("SELECT ruvector_set_agent_active('idle', false)")
    with refused(
        "TD001",
        "no agent fits the request",
        detail=r"^Of 5 agents: active removed 1, excluded_agents removed 1, max_cost removed 1, "
        r"max_latency_ms removed 1, min_quality removed 1\.$",
        hint="ruvector_explain_route",
    ):
        route(
            four,
            "x",
            excluded_agents=["gpt-4"],
            max_cost=0.006,
            max_latency_ms=700,
            min_quality=0.9,
        )


def test_the_error_says_when_nobody_is_registered(registry):
    with refused("TD001", detail="^No agent is registered.$"):
        route(registry)


def test_explain_names_every_constraint_that_an_agent_fails(four):
    rows = explain(four, max_cost=0, max_latency_ms=100, min_quality=0.99, quality_floor=1.0)
    assert rows["gpt-4"].removed_by == [
        "max_cost",
        "max_latency_ms",
        "min_quality",
        "quality_floor",
    ]
    assert rows["llama-2"].removed_by == ["max_latency_ms", "min_quality", "quality_floor"]
    assert not any(row.kept for row in rows.values())


def test_explain_of_an_empty_registry_is_empty(registry):
    assert call(registry, "ruvector_explain_route", request="hello") == []
