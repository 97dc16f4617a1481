"""Exploration in a database: what is drawn, what is recorded, and what stays certain."""

from __future__ import annotations

from collections import Counter

import pytest
from refusal import refused
from registration import call, register_four, route
from routes import create

RECORDED = """
SELECT d.*, (SELECT a.name FROM tiny_dancer.agents a WHERE a.id = d.agent_id) AS agent_name,
       ARRAY(SELECT a.name FROM unnest(d.candidates) WITH ORDINALITY c (id, place)
             JOIN tiny_dancer.agents a USING (id) ORDER BY place) AS names
FROM tiny_dancer.decisions d ORDER BY decided_at
"""


@pytest.fixture
def agents(registry):
    registry.execute("TRUNCATE tiny_dancer.decisions, tiny_dancer.request_vectors")
    register_four(registry)
    yield registry
    registry.execute("TRUNCATE tiny_dancer.decisions, tiny_dancer.request_vectors")


def explore(session, share="0.5", temperature="100"):
    settings = {"exploration_share": share, "exploration_temperature": temperature}
    for name, value in settings.items():
        call(session, "tiny_dancer.set", name=name, value=value)


def routed(session, times=60, **arguments):
    arguments = {"optimize_for": "quality", "record": True} | arguments
    return [route(session, f"question {n}", **arguments) for n in range(times)]


def test_by_default_nothing_is_explored(agents):
    assert {row.agent_name for row in routed(agents, 10)} == {"gpt-4"}
    recorded = agents.execute(RECORDED).fetchall()
    assert {(row.propensity, row.propensities) for row in recorded} == {(1.0, None)}


def test_what_is_not_recorded_is_not_explored(agents):
    explore(agents)
    rows = routed(agents, record=False)
    assert {(row.agent_name, row.routed_by) for row in rows} == {("gpt-4", "score")}


def test_the_exact_probability_of_every_candidate_is_recorded(agents):
    explore(agents)
    agents.execute("SELECT setseed(0.3)")
    rows = routed(agents)
    recorded = agents.execute(RECORDED).fetchall()
    assert [row.agent_name for row in recorded] == [row.agent_name for row in rows]
    for row in recorded:
        assert len(row.propensities) == len(row.candidates) == 4
        assert sum(row.propensities) == pytest.approx(1, abs=1e-6)
        by_name = dict(zip(row.names, row.propensities, strict=True))
        # An even draw among four takes half of the decisions.
        expected = {"gpt-4": 0.625, "claude-3": 0.125, "gpt-3.5": 0.125, "llama-2": 0.125}
        assert by_name == pytest.approx(expected, abs=0.001)
        assert row.propensity == by_name[row.agent_name]


@pytest.mark.parametrize("optimize_for", ["cost", "latency", "quality_per_dollar", "balanced"])
@pytest.mark.parametrize(("share", "temperature"), [("0.5", "0.05"), ("0.001", "100")])
def test_at_the_extremes_everybody_can_be_drawn_and_the_sum_is_1(
    agents, share, temperature, optimize_for
):
    explore(agents, share, temperature)
    routed(agents, 1, optimize_for=optimize_for)
    [row] = agents.execute(RECORDED).fetchall()
    assert len(row.propensities) == 4
    assert min(row.propensities) > 0
    assert sum(row.propensities) == pytest.approx(1, abs=1e-7)


def test_draws_are_as_often_as_they_are_likely(agents):
    explore(agents)
    agents.execute("SELECT setseed(0.7)")
    drawn = Counter(row.agent_name for row in routed(agents, 400))
    assert set(drawn) == {"gpt-4", "claude-3", "gpt-3.5", "llama-2"}
    # 250 are expected; four standard deviations are 39.
    assert abs(drawn["gpt-4"] - 250) < 39


def test_the_answer_says_that_it_was_drawn(agents):
    explore(agents)
    agents.execute("SELECT setseed(0.3)")
    rows = routed(agents)
    by_chance = [row for row in rows if row.agent_name != "gpt-4"]
    assert by_chance
    assert {row.routed_by for row in by_chance} == {"exploration"}
    for row in by_chance:
        assert row.reasoning.startswith(f"{row.agent_name} was drawn by chance (probability 0.12")
        assert row.alternatives[0]["agent_name"] == "gpt-4"
    others = [row for row in rows if row.agent_name == "gpt-4"]
    assert {row.routed_by for row in others} == {"score"}
    recorded = {row.routed_by for row in agents.execute(RECORDED)}
    assert recorded == {"exploration", "score"}


def test_setseed_makes_it_repeatable(agents):
    explore(agents)
    runs = []
    for _ in range(2):
        agents.execute("SELECT setseed(0.42)")
        runs.append([row.agent_name for row in routed(agents, 30)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 1


def test_no_agent_is_drawn_that_fails_a_constraint(agents):
    explore(agents)
    rows = routed(agents, min_quality=0.9)
    assert {row.agent_name for row in rows} == {"gpt-4", "claude-3"}
    agents.execute("TRUNCATE tiny_dancer.decisions")
    rows = routed(agents, 30, max_cost=0.0)
    assert {row.agent_name for row in rows} == {"llama-2"}
    # One candidate leaves nothing to chance.
    assert {row.propensities for row in agents.execute(RECORDED)} == {None}


def test_a_semantic_route_is_not_explored(agents):
    create(agents, "greeting", "llama-2", "question", threshold=-1.0)
    explore(agents)
    rows = routed(agents, use_semantic_routes=True)
    assert {(r.agent_name, r.routed_by) for r in rows} == {("llama-2", "semantic_route")}
    assert {row.propensities for row in agents.execute(RECORDED)} == {None}
    agents.execute("SELECT ruvector_drop_route('greeting')")


def test_a_low_temperature_draws_the_better_ones(agents):
    explore(agents, temperature="0.05")
    routed(agents, 1, optimize_for="latency")
    [row] = agents.execute(RECORDED).fetchall()
    likely = dict(zip(row.names, row.propensities, strict=True))
    assert likely["gpt-3.5"] > 0.99
    assert 0 < likely["llama-2"] < likely["gpt-4"] < likely["claude-3"] < 0.01


@pytest.mark.parametrize("share", ["0.51", "-0.1", "nan", "much"])
def test_the_share_is_bounded(agents, share):
    with refused("22023", "exploration_share", hint="from 0 to 0.5"):
        explore(agents, share)


def test_a_decision_that_can_not_be_written_is_refused_as_without_exploration(agents):
    explore(agents)
    with refused("25006"), agents.transaction():
        agents.execute("SET TRANSACTION READ ONLY")
        route(agents, record=True)
    with agents.transaction(force_rollback=True):
        route(agents, record=True)
    assert agents.execute(RECORDED).fetchall() == []
