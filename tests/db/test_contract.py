"""Where the plan contradicts itself, and what holds here: one brief test for each point.

The order is that of the design, section 4. The tests of each area go further.
"""

import math

import numpy as np
import pytest
from outcomes import settings
from psycopg.types.json import Jsonb
from refusal import refused
from registration import call, chosen, explain, register, register_four, route
from routes import create, matched, semantic_route

from tiny_dancer.agents.capabilities import capability_match
from tiny_dancer.errors import NotReadyError
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm, FastGRNNWeights


@pytest.fixture
def four(registry):
    """Four agents that can all do the same; live state is read with every decision."""
    settings(registry, live_state_seconds="0")
    register_four(registry)
    return registry


def record(session, agent, **columns):
    """Record a success that cost nothing."""
    call(session, "ruvector_record_usage", agent=agent, actual_cost=0.0, success=True, **columns)


def test_everything_after_capabilities_has_a_default(registry):
    query = "SELECT ruvector_register_agent('bare', 'llm', ARRAY['chat'])"
    assert registry.execute(query).fetchall() == [(True,)]
    assert chosen(registry) == "bare"


@pytest.mark.parametrize(
    ("statement", "valid"),
    [
        ("ruvector_route('x', 'fame')", "cost, latency, quality, balanced, quality_per_dollar"),
        ("ruvector_route('x', 'total_cost')", "quality_per_dollar"),
        ("ruvector_batch_route('{x}', 'fame')", "total_cost"),
        ("ruvector_route_multi('x', strategy := 'swarm')", "pipeline, parallel, ensemble"),
        ("ruvector_register_agent('x', 'robot', '{a}')", "llm, tool, api, human, ensemble"),
        ("ruvector_routing_analytics(group_by := 'star')", "agent, type, route"),
    ],
)
def test_an_unknown_choice_is_an_error_that_lists_the_valid_ones(four, statement, valid):
    with refused("22023", hint=valid):
        four.execute(f"SELECT * FROM {statement}")


def test_quality_per_dollar_and_total_cost_are_valid(four):
    assert chosen(four, optimize_for="quality_per_dollar") == "llama-2"
    [row] = call(four, "ruvector_batch_route", requests=["x"], optimize_for="total_cost")
    assert row.agent_name == "llama-2"


def test_agent_types_ignore_case_and_an_ensemble_follows_its_members(four):
    members = Jsonb({"members": ["gpt-4", "gpt-3.5"]})
    register(four, "both", agent_type="ENSEMBLE", metadata=members)
    shown = explain(four)
    costs = [shown[name].estimated_cost for name in ("gpt-4", "gpt-3.5")]
    assert shown["both"].estimated_cost == pytest.approx(sum(costs))
    assert shown["both"].estimated_latency_ms == 500
    call(four, "ruvector_set_agent_active", name="gpt-4", is_active=False)
    assert explain(four)["both"].removed_by == ["active"]


def test_no_agent_fits_is_td001_and_counts_and_a_batch_says_so_in_its_row(four):
    with refused("TD001", detail="max_cost removed 3, max_latency_ms removed 1"):
        route(four, max_cost=0.0001, max_latency_ms=700)
    [row] = call(four, "ruvector_batch_route", requests=["x"], max_cost=0.0001, max_latency_ms=700)
    assert (row.agent_name, "max_cost removed 3" in row.error) == (None, True)


def test_limits_of_cost_compare_all_price_parts_and_unknown_is_no_price(registry):
    prices = {
        "cost_per_1k_tokens": 1.0,
        "cost_per_1k_output_tokens": 2.0,
        "cost_per_call": 0.25,
        "cost_per_second": 0.5,
    }
    register(registry, "all", avg_latency_ms=2000, **prices)
    register(registry, "unknown")
    expected = 2 * 1.0 / 1000 + 256 * 2.0 / 1000 + 0.25 + 0.5 * 2
    for limit in ("max_cost", "budget_remaining"):
        row = route(registry, "12345678", **{limit: expected * 1.0001})
        assert row.agent_name == "all"
        assert row.estimated_cost == pytest.approx(expected)
        with refused("TD001"):
            route(registry, "12345678", **{limit: expected * 0.9999})


def test_tokens_are_characters_by_four_and_output_is_a_setting_and_learned(registry):
    settings(registry, live_state_seconds="0", expected_output_tokens="1000", prior_strength="10")
    register(registry, "a", cost_per_1k_tokens=1.0)
    assert route(registry, "x").estimated_cost == pytest.approx(1.001)
    for _ in range(10):
        record(registry, "a", output_tokens=200)
    # As many outcomes as the setting counts for: half way.
    assert route(registry, "x" * 40).estimated_cost == pytest.approx(0.01 + 0.6)


def test_a_small_context_window_is_filtered_and_explained(registry):
    register(registry, "small", metadata=Jsonb({"context_window": 300}))
    assert chosen(registry, "x" * 4 * 44) == "small"
    assert explain(registry, "x" * 4 * 45)["small"].removed_by == ["context_window"]


def test_min_quality_is_of_the_agent_and_moves_with_outcomes(four):
    assert "gpt-3.5" not in kept(four, min_quality=0.8)
    for _ in range(20):
        record(four, "gpt-3.5", quality=0.95)
    assert explain(four)["gpt-3.5"].quality_score == pytest.approx(0.85)
    assert "gpt-3.5" in kept(four, min_quality=0.8)


def kept(session, **arguments):
    return {name for name, row in explain(session, **arguments).items() if row.kept}


def test_quality_floor_is_of_the_request_and_makes_cost_the_cheapest_that_reaches_it(meaning_db):
    register(meaning_db, "cook", ["cooking"], cost_per_call=1, quality_score=0.9)
    register(meaning_db, "jurist", ["law"], cost_per_call=2, quality_score=0.9)
    asked = {"request": "Review this legal contract", "optimize_for": "cost"}
    assert chosen(meaning_db, min_quality=0.9, **asked) == "cook"
    shown = explain(meaning_db, **asked)
    floor = (shown["cook"].expected_quality + shown["jurist"].expected_quality) / 2
    assert chosen(meaning_db, quality_floor=floor, **asked) == "jurist"
    assert chosen(meaning_db, quality_floor=0.01, **asked) == "cook"


def test_without_a_floor_cost_is_normalised_cost_by_capability_match(meaning_db):
    register(meaning_db, "cook", ["cooking"], cost_per_call=1)
    register(meaning_db, "jurist", ["law"], cost_per_call=2)
    for row in explain(meaning_db, "Review this contract", optimize_for="cost").values():
        assert row.score == pytest.approx(row.cost_score * row.capability_match, abs=1e-6)


def test_cost_and_latency_are_normalised_on_a_log_scale(registry):
    for name, amount in (("a", 0.001), ("b", 0.1), ("c", 10.0)):
        register(registry, name, cost_per_call=amount, avg_latency_ms=1000 * amount)
    shown = explain(registry)
    assert [shown[n].cost_score for n in "abc"] == pytest.approx([1.0, 0.5, 0.0])
    assert [shown[n].latency_score for n in "abc"] == pytest.approx([1.0, 0.5, 0.0])


def test_a_negative_cosine_does_not_turn_the_ranking_round(registry):
    assert capability_match(np.array([-1.0, -0.5, 1.0])).tolist() == [0.0, 0.25, 1.0]
    vector = [0.0] * 384
    vector[0] = -1.0
    for name, quality in (("good", 0.9), ("poor", 0.3)):
        register(
            registry,
            name,
            capability_embedding=vector,
            quality_score=quality,
            cost_per_call=1,
            avg_latency_ms=100,
        )
    vector = [1.0, *vector[1:]]
    opposite = route(registry, embedding=vector, excluded_agents=["poor"])
    assert opposite.similarity == pytest.approx(-1.0)
    assert chosen(registry, embedding=vector, optimize_for="quality") == "good"


def test_balanced_weights_are_those_of_the_plan_and_can_be_given(four):
    for row in explain(four).values():
        whole = 0.3 * row.cost_score + 0.3 * row.latency_score + 0.4 * row.expected_quality
        assert row.score == pytest.approx(whole * row.capability_match, abs=1e-6)
    assert chosen(four, cost_weight=0.0) == "gpt-4"
    assert chosen(four, cost_weight=1.0) == "llama-2"


def test_required_capabilities_are_exact_and_similarity_is_a_soft_score_only(meaning_db):
    register(meaning_db, "coder", ["Code"])
    call(meaning_db, "ruvector_set_capability_alias", alias="programming", capability="code")
    for required in ("code", "CODE", "Programming"):
        assert chosen(meaning_db, required_capabilities=[required]) == "coder"
    with refused("TD001", detail="required_capabilities removed 1"):
        route(meaning_db, required_capabilities=["coding"])
    # What it can do is far from the request, and it is a candidate all the same.
    assert chosen(meaning_db, "Bake a cake") == "coder"


def test_confidence_is_the_shaded_prior_before_any_outcome_and_says_so(four):
    row = route(four)
    assert (row.confidence, row.confidence_basis) == (row.expected_quality, "prior")
    score = explain(four)[row.agent_name].score
    assert row.confidence != pytest.approx(score, abs=0.01)
    record(four, row.agent_name)
    assert route(four).confidence_basis == "prior and 1 outcome"


def test_a_routes_priority_breaks_near_ties_and_nothing_else(meaning_db):
    register(meaning_db, "helper")
    create(meaning_db, "password", utterances=["I forgot my password"], priority=0)
    create(meaning_db, "login", utterances=["I forgot my password"], priority=5)
    create(meaning_db, "anything", utterances=["Tell me about passwords"], priority=1000)
    best = semantic_route(meaning_db, "I forgot my password", top_k=3)
    assert best[0].route_name == "login"
    assert best[-1].route_name == "anything"
    assert all(0.0 <= row.confidence <= 1.0 for row in best)


def test_ties_go_by_cost_then_latency_then_name(registry):
    for name, price, latency in (("d", 2, 1), ("c", 1, 2), ("b", 1, 1), ("a", 1, 1)):
        register(registry, name, cost_per_call=price, avg_latency_ms=latency, quality_score=0.9)
    ranked = list(explain(registry, optimize_for="quality"))
    assert ranked == ["a", "b", "c", "d"]


def test_every_backend_gives_the_same_answer(db, connect):
    register_four(db)
    asked = {"request": "Say hello", "optimize_for": "balanced"}
    answers = {tuple(map(str, route(session, **asked))) for session in (db, connect(), connect())}
    assert len(answers) == 1


def test_a_route_to_an_unknown_agent_warns_and_is_never_picked_by_route(meaning_db):
    warnings = []
    meaning_db.add_notice_handler(lambda notice: warnings.append(notice.severity_nonlocalized))
    register(meaning_db, "somebody")
    assert create(meaning_db, "refund", target_agent="nobody", utterances=["refund my order"])
    assert warnings == ["WARNING"]
    [row] = semantic_route(meaning_db, "refund my order")
    assert (row.target_agent, row.target_active) == ("nobody", False)
    row = route(meaning_db, "refund my order", use_semantic_routes=True)
    assert (row.agent_name, row.routed_by) == ("somebody", "score")


def test_conditions_are_judged_by_context_and_only_consume_counts(meaning_db):
    register(meaning_db, "helper")
    create(
        meaning_db,
        "vip",
        utterances=["help me"],
        conditions={"user_tier": "gold", "rate_limit": 1, "time_range": ["00:00", "24:00"]},
    )
    gold = {"context": {"user_tier": "gold"}}
    assert matched(meaning_db, "help me", context={"user_tier": "free"}) == []
    for _ in range(3):
        assert matched(meaning_db, "help me", **gold) == ["vip"]
    assert matched(meaning_db, "help me", consume=True, **gold) == ["vip"]
    assert matched(meaning_db, "help me", **gold) == []


def test_sharing_a_budget_out_gives_numbers_or_no_rows(registry):
    assert call(registry, "ruvector_optimize_budget", monthly_budget=100.0) == []
    register(registry, "free", cost_per_call=0, quality_score=0.9, avg_latency_ms=1)
    register(registry, "unknown")
    for budget in (0.0, 100.0):
        for row in call(registry, "ruvector_optimize_budget", monthly_budget=budget):
            assert all(
                math.isfinite(value) for value in (row.allocated_budget, row.share, row.unallocated)
            )


def test_figures_come_from_outcomes_blended_with_what_was_registered(registry):
    settings(registry, prior_strength="3")
    register(registry, "known", avg_latency_ms=1000, quality_score=0.8)
    register(registry, "bare")
    assert listed(registry, "known")[:5] == (1000, None, 0.8, None, 0)
    assert listed(registry, "bare") == (None, None, None, None, 0)
    for name in ("known", "bare"):
        record(registry, name, latency_ms=200.0, quality=0.4)
    assert listed(registry, "known") == pytest.approx((800, 200, 0.7, 1.0, 1))
    assert listed(registry, "bare") == pytest.approx((200, 200, 0.4, 1.0, 1))


def listed(session, name):
    rows = {row.name: row for row in call(session, "ruvector_list_agents")}
    row = rows[name]
    return (
        row.avg_latency_ms,
        row.p99_latency_ms,
        row.quality_score,
        row.success_rate,
        row.total_requests,
    )


def test_fastgrnn_follows_the_equations_of_the_plan():
    weights = FastGRNNWeights.initial(FastGRNNForm(5, 3), seed=1)
    assert (weights.zeta, weights.nu) == (1.0, 1.0)
    cell = FastGRNN(weights)
    state = np.zeros(3, np.float32)
    for step in range(1, 20):
        state = cell.step(np.full(5, 10.0, np.float32), state)
        assert np.abs(state).max() <= step * (weights.zeta + weights.nu) + 1e-5
    trained = FastGRNNForm(5, 3, learn_zeta_nu=True)
    started = FastGRNNWeights.initial(trained, seed=1)
    expected = (1 / (1 + math.exp(-1)), 1 / (1 + math.exp(4)))
    assert (started.zeta, started.nu) == pytest.approx(expected, rel=1e-5)


def test_weights_of_one_step_take_no_sequence():
    initial = FastGRNNWeights.initial(FastGRNNForm(5, 3), seed=1)
    one_step = FastGRNNWeights(initial.form, initial.tensors, "one-step")
    with pytest.raises(NotReadyError, match="trained on one step"):
        FastGRNN(one_step).forward(np.zeros((2, 5), np.float32))


def test_a_dozen_agents_are_scanned_and_no_index_is_asked_for(meaning_db):
    for name in ("chess", "law", "cooking"):
        register(meaning_db, name, [name])
    indexes = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'agent_embeddings_hnsw%%'"
    assert meaning_db.execute(indexes).fetchone()[0] == 0
    [found, _] = call(
        meaning_db, "ruvector_find_agents_by_capability", capability="playing chess", k=2
    )
    assert found.name == "chess"
    assert all(row.ok for row in call(meaning_db, "tiny_dancer.doctor") if "index" in row.subject)
