"""Sharing a budget out: shares by value, caps, minimums, and what can not be placed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.cost_optimizer import (
    AgentHistory,
    CostOptimizer,
    agent_value,
    following_members,
)
from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError

GOOD = AgentHistory("good", 0.95, 2000.0, 0.01, 100)
CHEAP = AgentHistory("cheap", 0.85, 400.0, 0.0005, 1000)


def test_shares_are_in_proportion_to_quality_price_and_demand():
    shared = CostOptimizer([GOOD, CHEAP]).optimize_budget(100.0)
    ratio = shared.agent_budgets["good"] / shared.agent_budgets["cheap"]
    assert ratio == pytest.approx(agent_value(GOOD) / agent_value(CHEAP))
    assert math.fsum(shared.agent_budgets.values()) == pytest.approx(100.0)
    assert shared.unallocated == 0.0


def test_value_is_that_of_the_plan_with_a_demand_that_is_never_zero():
    assert agent_value(AgentHistory("a", 0.5, 1.0, 0.009, 0)) == pytest.approx(0.5 / 0.01)
    more = AgentHistory("a", 0.5, 1.0, 0.009, 9)
    assert agent_value(more) == pytest.approx(0.5 / 0.01 * (1 + math.log(10)))


def test_no_agents_leave_all_of_it():
    shared = CostOptimizer([]).optimize_budget(5.0)
    assert (shared.shares, shared.unallocated) == ((), 5.0)


def test_expected_requests_are_what_the_share_pays_for():
    [share] = CostOptimizer([GOOD]).optimize_budget(100.0).shares
    assert share.expected_requests == pytest.approx(10_000)


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (AgentHistory("a", None, 1.0, 0.1), "quality is unknown"),
        (AgentHistory("a", 0.5, 1.0, 0.1), "quality 0.5 is below 0.8"),
        (AgentHistory("a", 0.9, None, 0.1), "latency is unknown"),
        (AgentHistory("a", 0.9, 9000.0, 0.1), "latency 9000 ms is above 5000 ms"),
        (AgentHistory("a", 0.9, 1.0, None), "price is unknown"),
        (AgentHistory("a", 0.9, 1.0, 0.0), "it is free"),
    ],
)
def test_who_gets_nothing_is_told_why(agent, reason):
    shared = CostOptimizer([agent, CHEAP]).optimize_budget(10.0)
    assert shared.agent_budgets == {"a": 0.0, "cheap": 10.0}
    assert reason in shared.shares[0].reason


def test_a_cap_holds_and_the_rest_goes_to_others():
    shared = CostOptimizer([GOOD, CHEAP]).optimize_budget(100.0, caps={"cheap": 20.0})
    assert shared.agent_budgets == pytest.approx({"good": 80.0, "cheap": 20.0})
    assert shared.shares[1].reason == "its cap"


def test_an_agent_that_nobody_could_pay_takes_nothing_from_the_others():
    dear = AgentHistory("dear", 0.9, 1.0, 1e300, 10)
    shared = CostOptimizer([GOOD, dear]).optimize_budget(1e15).agent_budgets
    assert shared["good"] == pytest.approx(1e15)
    capped = CostOptimizer([GOOD, dear]).optimize_budget(100.0, caps={"good": 40.0}).agent_budgets
    assert capped == {"good": 40.0, "dear": pytest.approx(60.0)}


def test_what_caps_keep_out_stays_unallocated():
    caps = {"good": 30.0, "cheap": 20.0}
    shared = CostOptimizer([GOOD, CHEAP]).optimize_budget(100.0, caps=caps)
    assert shared.agent_budgets == caps
    assert shared.unallocated == pytest.approx(50.0)


def test_a_minimum_holds_even_for_an_agent_below_the_threshold():
    shared = CostOptimizer([GOOD, CHEAP]).optimize_budget(
        100.0, quality_threshold=0.9, minimums={"cheap": 15.0}
    )
    assert shared.agent_budgets == pytest.approx({"good": 85.0, "cheap": 15.0})
    assert "its minimum only" in shared.shares[1].reason


@pytest.mark.parametrize(
    "limits",
    [
        {"minimums": {"good": 60.0, "cheap": 60.0}},
        {"minimums": {"good": 60.0}, "caps": {"good": 50.0}},
        {"caps": {"good": -1.0}},
        {"caps": {"good": math.nan}},
        {"minimums": {"good": "much"}},
        {"minimums": {"good": True}},
    ],
)
def test_impossible_limits_are_refused(limits):
    with pytest.raises(InvalidArgumentError):
        CostOptimizer([GOOD, CHEAP]).optimize_budget(100.0, **limits)


def test_limits_of_an_unknown_agent_are_refused():
    with pytest.raises(UnknownObjectError, match="'nobody'"):
        CostOptimizer([GOOD]).optimize_budget(100.0, caps={"nobody": 1.0})


@pytest.mark.parametrize("budget", [None, -1.0, math.nan, math.inf, 1.7e308])
def test_a_budget_that_is_no_amount_is_refused(budget):
    with pytest.raises(InvalidArgumentError):
        CostOptimizer([GOOD]).optimize_budget(budget)


amounts = st.floats(0.0, 1e6)
histories = st.builds(
    AgentHistory,
    name=st.uuids().map(str),
    quality=st.none() | st.floats(0.0, 1.0),
    latency_ms=st.none() | st.floats(0.0, 1e5),
    cost_per_request=st.none() | st.floats(0.0, 1e3),
    requests=st.integers(0, 10**9),
)


@given(st.lists(histories, max_size=8), amounts, st.data())
def test_shares_are_numbers_within_their_limits_and_sum_to_the_budget(agents, budget, data):
    caps = {agent.name: data.draw(amounts) for agent in agents if data.draw(st.booleans())}
    shared = CostOptimizer(agents).optimize_budget(budget, 0.5, caps=caps)
    total = math.fsum(shared.agent_budgets.values())
    for name, amount in shared.agent_budgets.items():
        assert 0.0 <= amount <= caps.get(name, math.inf)
    assert total <= budget * (1 + 1e-9)
    assert total + shared.unallocated == pytest.approx(budget, rel=1e-6, abs=1e-9)


NEW = AgentHistory("both", None, None, None)


def test_an_ensemble_follows_its_members():
    both = following_members(NEW, [GOOD, CHEAP])
    assert (both.quality, both.latency_ms) == (pytest.approx(0.9), 2000.0)
    assert both.cost_per_request == pytest.approx(0.0105)


def test_what_is_known_of_an_ensemble_itself_counts():
    charging = AgentHistory("both", 0.5, None, 1.0)
    assert following_members(charging, [GOOD, CHEAP]).quality == 0.5
    assert following_members(charging, [GOOD, CHEAP]).cost_per_request == pytest.approx(1.0105)
    recorded = AgentHistory("both", 0.5, 100.0, 0.2, 7)
    assert following_members(recorded, [GOOD, CHEAP]) == recorded


@pytest.mark.parametrize("figure", ["quality", "latency_ms", "cost_per_request"])
def test_what_is_unknown_of_a_member_is_unknown_of_the_ensemble(figure):
    member = AgentHistory(
        "new", **{**dict.fromkeys(("quality", "latency_ms", "cost_per_request"), 0.5), figure: None}
    )
    assert getattr(following_members(NEW, [GOOD, member]), figure) is None


@pytest.mark.parametrize("members", [[], [GOOD, None]])
def test_without_its_members_an_ensemble_gets_nothing(members):
    [share] = CostOptimizer([following_members(NEW, members)]).optimize_budget(10.0).shares
    assert (share.budget, share.reason) == (0.0, "nothing: one of its members takes no requests")
