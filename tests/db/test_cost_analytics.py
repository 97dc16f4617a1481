"""Analytics, statistics and the optimizer, against sums worked out by hand."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import call, register
from test_cost_recording import decide, record

GROUPS = ("agent", "type", "route", "capability", "tag", "hour", "day")


@pytest.fixture
def agents(db):
    register(
        db,
        "gpt-4",
        ["Code", "law"],
        cost_per_1k_tokens=0.03,
        avg_latency_ms=2500,
        quality_score=0.95,
    )
    register(
        db,
        "haiku",
        ["code"],
        "api",
        cost_per_1k_tokens=0.001,
        avg_latency_ms=400,
        quality_score=0.8,
    )
    return db


def analytics(session, **arguments):
    rows = call(session, "ruvector_routing_analytics", **arguments)
    return {row.group_key: row for row in rows}


def test_an_empty_database_has_no_rows_and_totals_of_nothing(db):
    for group in GROUPS:
        assert analytics(db, group_by=group) == {}
    [row] = call(db, "ruvector_routing_stats")
    assert (row.agents, row.total_requests, row.total_cost, row.savings) == (0, 0, 0, None)


def test_the_plans_call_runs_as_written(agents):
    record(agents)
    rows = agents.execute(
        "SELECT * FROM ruvector_routing_analytics(\n"
        "time_range := '7 days',\ngroup_by := 'agent'\n);"
    ).fetchall()
    assert [row.agent for row in rows] == ["gpt-4"]


def test_sums_means_and_percentiles_by_agent(agents):
    for latency in range(1, 101):
        record(agents, actual_cost=0.5, latency_ms=float(latency), success=latency > 10)
    record(agents, "haiku")
    row = analytics(agents)["gpt-4"]
    assert (row.agent, row.total_requests, row.total_cost) == ("gpt-4", 100, 50.0)
    assert (row.avg_latency_ms, row.success_rate) == (50.5, 0.9)
    assert (row.p50_latency_ms, row.p95_latency_ms) == (50.5, pytest.approx(95.05))
    assert row.p99_latency_ms == pytest.approx(99.01)
    assert analytics(agents)["haiku"].p50_latency_ms is None


def test_groups(agents):
    decision = decide(agents, "gpt-4", "support", ["t"])
    record(agents, actual_cost=1, decision_id=decision)
    record(agents, "haiku", actual_cost=2, tags=["t", "u", "t"])
    costs = {
        group: {key: row.total_cost for key, row in analytics(agents, group_by=group).items()}
        for group in GROUPS
    }
    assert costs["type"] == {"llm": 1, "api": 2}
    assert costs["route"] == {"support": 1, None: 2}
    assert costs["capability"] == {"code": 3, "law": 1}
    assert costs["tag"] == {"t": 3, "u": 2}
    assert list(costs["hour"].values()) == list(costs["day"].values()) == [3]


def test_hours_and_days_are_those_of_the_time_zone(agents):
    agents.execute("SET timezone = 'Asia/Tokyo'")
    agents.execute(
        "INSERT INTO tiny_dancer.usage (recorded_at, agent_id, cost, success)"
        " VALUES ('2026-01-01 23:30Z', 1, 1, true)"
    )
    long = {"time_range": "100 years"}
    assert list(analytics(agents, group_by="hour", **long)) == ["2026-01-01 23:00"]
    assert list(analytics(agents, group_by="day", **long)) == ["2026-01-01"]
    berlin = analytics(agents, group_by="day", time_zone="Europe/Berlin", **long)
    assert list(berlin) == ["2026-01-02"]


def test_only_the_time_range_counts(agents):
    agents.execute(
        "INSERT INTO tiny_dancer.usage (recorded_at, agent_id, cost, success)"
        " SELECT now() - age, 1, 1, true FROM unnest('{1 hour,3 days,8 days}'::interval[]) AS age"
    )
    assert analytics(agents)["gpt-4"].total_requests == 2
    assert analytics(agents, time_range="2 days")["gpt-4"].total_requests == 1
    assert call(agents, "ruvector_routing_stats")[0].total_requests == 3
    assert call(agents, "ruvector_routing_stats", time_range="2 days")[0].total_requests == 1


def test_savings_compare_the_same_tokens_at_the_best_agents_prices(agents):
    record(agents, "haiku", actual_cost=0.002, input_tokens=1000, output_tokens=500)
    record(agents, "haiku", actual_cost=7)
    row = analytics(agents)["haiku"]
    assert (row.compared_requests, row.total_requests) == (1, 2)
    assert row.baseline_cost == pytest.approx(0.045)
    assert row.savings == pytest.approx(0.043)
    [stats] = call(agents, "ruvector_routing_stats")
    assert (stats.baseline_agent, stats.compared_requests) == ("gpt-4", 1)
    assert stats.savings == pytest.approx(0.043)


def test_a_removed_agent_stays_in_the_figures_apart_from_its_namesake(agents):
    record(agents, actual_cost=1)
    agents.execute("SELECT ruvector_remove_agent('gpt-4')")
    register(agents, "gpt-4")
    record(agents, actual_cost=2)
    rows = analytics(agents)
    assert (rows["gpt-4 (removed)"].total_cost, rows["gpt-4"].total_cost) == (1, 2)


@pytest.mark.parametrize("group", ["agents", "", None, "Agent"])
def test_an_unknown_group_is_refused(agents, group):
    with refused("22023", "unknown group_by", hint=", ".join(GROUPS)):
        analytics(agents, group_by=group)


@pytest.mark.parametrize("interval", [None, "0", "-1 day"])
def test_a_time_range_must_reach_back(agents, interval):
    with refused("22023", "time_range", hint="."):
        analytics(agents, time_range=interval)


def test_analytics_use_the_index_on_time(agents):
    agents.execute(
        "INSERT INTO tiny_dancer.usage (recorded_at, agent_id, cost, success)"
        " SELECT now() - n * interval '1 hour', 1, 0, true FROM generate_series(1, 20000) n"
    )
    agents.execute("ANALYZE tiny_dancer.usage")
    with agents.transaction():
        hours = analytics(agents, time_range="25 hours", group_by="hour")
        [scans] = agents.execute(
            "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'usage_default'"
        ).fetchone()
    assert (len(hours), scans) == (24, 0)
    assert analytics(agents, time_range="25 hours")["gpt-4"].total_requests == 24


def optimize(session, **arguments):
    return {row.agent: row for row in call(session, "ruvector_optimize_budget", **arguments)}


def test_optimize_budget_shares_it_out(agents):
    rows = optimize(agents, monthly_budget=100.0)
    assert sum(row.allocated_budget for row in rows.values()) == pytest.approx(100)
    assert sum(row.share for row in rows.values()) == pytest.approx(1)
    assert rows["haiku"].allocated_budget > rows["gpt-4"].allocated_budget > 0
    assert {row.unallocated for row in rows.values()} == {0.0}


def test_the_plans_optimize_call_runs_as_written(agents):
    rows = agents.execute(
        "SELECT * FROM ruvector_optimize_budget(\nmonthly_budget := 100.00,\n"
        "quality_threshold := 0.85,\nlatency_threshold_ms := 2000\n);"
    ).fetchall()
    assert [row.allocated_budget for row in rows] == [0.0, 0.0]
    assert {row.unallocated for row in rows} == {100.0}


def test_optimize_budget_without_agents_has_no_rows(db):
    assert optimize(db, monthly_budget=100.0) == {}


def test_a_free_agent_needs_no_budget(agents):
    register(agents, "free", cost_per_1k_tokens=0.0, avg_latency_ms=1, quality_score=0.9)
    optimize(agents, monthly_budget=10.0, apply=True)
    budgets = {row.agent: row for row in call(agents, "ruvector_budget_status")}
    assert set(budgets) == {"gpt-4", "haiku"}
    assert {row.period for row in budgets.values()} == {"month"}


def test_observed_demand_moves_the_shares(agents):
    before = optimize(agents, monthly_budget=100.0)["gpt-4"].share
    for _ in range(50):
        record(agents, actual_cost=0.0154, latency_ms=2500.0)
    assert optimize(agents, monthly_budget=100.0)["gpt-4"].share > before


def test_caps_and_minimums_in_json(agents):
    rows = optimize(agents, monthly_budget=100.0, caps='{"haiku": 20}', minimums='{"gpt-4": 5}')
    assert rows["haiku"].allocated_budget == pytest.approx(20)
    assert rows["gpt-4"].allocated_budget == pytest.approx(80)
    with refused("22023", "minimums need 200", hint="."):
        optimize(agents, monthly_budget=100.0, minimums='{"gpt-4": 200}')
    with refused("42704", "'nobody'"):
        optimize(agents, monthly_budget=100.0, caps='{"nobody": 1}')
    with refused("22023", "not a JSON object"):
        optimize(agents, monthly_budget=100.0, caps="[1]")


def test_applying_needs_the_rights_of_an_administrator(new_role, agents, connect):
    role = new_role("app")
    agents.execute(f"SELECT tiny_dancer.grant_usage('{role}')")
    record(agents)
    session = connect(user=role)
    assert analytics(session)["gpt-4"].total_requests == 1
    assert call(session, "ruvector_routing_stats")[0].total_requests == 1
    optimize(session, monthly_budget=10.0)
    with refused("42501"):
        optimize(session, monthly_budget=10.0, apply=True)


def test_applying_needs_a_transaction_that_may_write(agents):
    agents.execute("SET default_transaction_read_only = on")
    optimize(agents, monthly_budget=10.0)
    with refused("25006", "read-only"):
        optimize(agents, monthly_budget=10.0, apply=True)
