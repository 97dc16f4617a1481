"""Ensembles: cost, latency and availability follow from the members."""

from __future__ import annotations

import json

import pytest
from refusal import refused
from registration import agent_names, call, explain, register, route


def register_ensemble(session, name, members, **columns):
    metadata = json.dumps({"members": members})
    return register(session, name, agent_type="ensemble", metadata=metadata, **columns)


@pytest.fixture
def pair(registry):
    register(registry, "a", cost_per_call=0.01, avg_latency_ms=100, quality_score=0.6)
    register(registry, "b", cost_per_1k_tokens=0.1, avg_latency_ms=900, quality_score=0.8)
    register_ensemble(registry, "both", ["a", "b"])
    return registry


def test_members_are_all_paid(pair):
    rows = explain(pair, "x" * 40)
    assert rows["both"].estimated_cost == pytest.approx(
        rows["a"].estimated_cost + rows["b"].estimated_cost
    )


def test_an_ensemble_may_charge_for_itself(pair):
    register_ensemble(pair, "both", ["a", "b"], cost_per_call=1.0)
    rows = explain(pair, "x" * 40)
    assert rows["both"].estimated_cost == pytest.approx(
        1.0 + rows["a"].estimated_cost + rows["b"].estimated_cost
    )


def test_members_paid_by_the_second_are_paid_for_their_own_time(registry):
    register(registry, "a", cost_per_second=0.1, avg_latency_ms=1000)
    register(registry, "b", cost_per_second=0.1, avg_latency_ms=3000)
    register_ensemble(registry, "both", ["a", "b"])
    assert explain(registry)["both"].estimated_cost == pytest.approx(0.1 + 0.3)


def test_the_slowest_member_decides_the_latency(pair):
    assert explain(pair)["both"].estimated_latency_ms == 900


def test_one_member_of_unknown_latency_makes_it_unknown(pair):
    register(pair, "c", cost_per_call=1)
    register_ensemble(pair, "three", ["a", "b", "c"])
    assert explain(pair)["three"].estimated_latency_ms is None


def test_one_member_of_unknown_price_makes_it_unknown(pair):
    register(pair, "c", avg_latency_ms=1)
    register_ensemble(pair, "three", ["a", "b", "c"])
    assert explain(pair)["three"].estimated_cost is None
    assert "max_cost" in explain(pair, max_cost=1e9)["three"].removed_by


def test_its_own_quality_counts_or_else_the_mean_of_the_members(pair):
    assert explain(pair)["both"].quality_score == pytest.approx(0.7)
    register_ensemble(pair, "both", ["a", "b"], quality_score=0.95)
    assert explain(pair)["both"].quality_score == 0.95


def test_the_least_context_window_of_the_members_holds(pair):
    register(pair, "narrow", metadata='{"context_window": 260}')
    register_ensemble(pair, "both", ["a", "narrow"])
    rows = explain(pair, "x" * 400)
    assert rows["both"].removed_by == ["context_window"]
    assert rows["a"].removed_by == []


@pytest.mark.parametrize(
    "change",
    [
        "SELECT ruvector_set_agent_active('b', false)",
        "SELECT ruvector_remove_agent('b')",
        "UPDATE tiny_dancer.agents SET agent_type = 'ensemble',"
        """ metadata = '{"members": ["a"]}' WHERE name = 'b'""",
    ],
)
def test_an_ensemble_is_available_only_with_all_members(pair, change):
    assert explain(pair)["both"].kept
    pair.execute(change)
    assert explain(pair)["both"].removed_by == ["active"]


def test_a_member_registered_again_makes_it_available_again(pair):
    call(pair, "ruvector_remove_agent", name="b")
    register(pair, "b", cost_per_call=0.5)
    assert explain(pair)["both"].kept


@pytest.fixture
def of_this_moment(pair):
    call(pair, "tiny_dancer.set", name="live_state_seconds", value="0")
    register(pair, "a", max_concurrent=1)
    return pair


def removed_by(session):
    """What removes the ensemble, by explanation, and whether a batch chooses it."""
    others = ["a", "b"]
    batch = call(session, "ruvector_batch_route", requests=["hello"], excluded_agents=others)
    removed = explain(session)["both"].removed_by
    assert (batch[0].agent_name is None) == bool(removed)
    return removed


def test_an_ensemble_waits_for_a_member_that_has_no_free_slot(of_this_moment):
    assert removed_by(of_this_moment) == []
    [lease] = call(of_this_moment, "ruvector_acquire", pool_or_agent="a")
    assert removed_by(of_this_moment) == ["health"]
    call(of_this_moment, "ruvector_release", lease=lease.lease)
    assert removed_by(of_this_moment) == []


def test_an_ensemble_needs_members_that_are_within_their_budgets(of_this_moment):
    """Each member pays its own part, so what the ensemble costs as a whole is not asked of it."""
    cost = explain(of_this_moment)["a"].estimated_cost
    call(of_this_moment, "ruvector_set_budget", limit_amount=cost, period="day", agent="a")
    assert removed_by(of_this_moment) == []
    call(of_this_moment, "ruvector_set_budget", limit_amount=cost / 2, period="day", agent="a")
    assert removed_by(of_this_moment) == ["budget"]
    of_this_moment.execute("DELETE FROM tiny_dancer.budgets")


def test_an_ensemble_can_be_chosen(pair):
    assert route(pair, excluded_agents=["a", "b"]).agent_name == "both"


@pytest.mark.parametrize(
    ("members", "sqlstate", "message"),
    [
        ([], "22023", "an ensemble needs its members"),
        (None, "22023", "an ensemble needs its members"),
        ("a", "22023", "an ensemble needs its members"),
        ({"a": 1}, "22023", "an ensemble needs its members"),
        (["a", 1], "22023", "an ensemble needs its members"),
        (["a", None], "22023", "an ensemble needs its members"),
        (["a", "a"], "22023", "names a member twice"),
        (["a", "nobody"], "42704", "unknown member 'nobody'"),
        (["a", "both"], "22023", "another ensemble, 'both'"),
        (["wrong"], "22023", "another ensemble, 'wrong'"),
    ],
    ids=str,
)
def test_bad_members_are_refused(pair, members, sqlstate, message):
    with refused(sqlstate, message):
        register_ensemble(pair, "wrong", members)
    assert "wrong" not in agent_names(pair)


def test_an_ensemble_without_metadata_is_refused(registry):
    with refused("22023", "an ensemble needs its members"):
        register(registry, "alone", agent_type="ensemble")
    assert agent_names(registry) == []


def test_an_ensemble_may_not_name_itself(pair):
    with refused("22023", "another ensemble, 'both'"):
        register_ensemble(pair, "both", ["a", "both"])
    assert explain(pair)["both"].kept


def test_a_removed_agent_is_no_member(pair):
    call(pair, "ruvector_remove_agent", name="a")
    with refused("42704", "unknown member 'a'"):
        register_ensemble(pair, "new", ["a", "b"])


def test_updating_an_ensemble_keeps_its_members(pair):
    register(pair, "both", agent_type="ensemble", quality_score=0.9)
    assert explain(pair)["both"].kept


def shared_out(session):
    arguments = {"monthly_budget": 90.0, "quality_threshold": 0.5}
    return {row.agent: row for row in call(session, "ruvector_optimize_budget", **arguments)}


def test_a_budget_is_shared_out_by_what_follows_from_the_members(pair):
    shares = shared_out(pair)
    assert (shares["both"].quality, shares["both"].latency_ms) == (pytest.approx(0.7), 900)
    price = {name: row.allocated_budget / row.expected_requests for name, row in shares.items()}
    assert price["both"] == pytest.approx(price["a"] + price["b"])


def test_an_ensemble_with_a_member_that_takes_nothing_gets_nothing(pair):
    call(pair, "ruvector_set_agent_active", name="a", is_active=False)
    row = shared_out(pair)["both"]
    assert (row.allocated_budget, row.reason) == (
        0.0,
        "nothing: one of its members takes no requests",
    )


def test_no_budget_outlasts_the_absence_of_a_member(pair):
    register_ensemble(pair, "both", ["a", "b"], cost_per_call=1.0, quality_score=0.9)
    call(pair, "ruvector_set_agent_active", name="a", is_active=False)
    call(pair, "ruvector_optimize_budget", monthly_budget=90.0, quality_threshold=0.5, apply=True)
    budgets = pair.execute("SELECT agent_name, limit_amount FROM tiny_dancer.budgets").fetchall()
    assert [(name, limit > 0.0) for name, limit in budgets] == [("b", True)]
