"""A registry after a change is the registry that would be made anew."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.agents.agent import Agent, AgentType, CostModel
from tiny_dancer.agents.registry import AgentRegistry

VECTORS = [None, *np.eye(4, dtype=np.float32)]


@st.composite
def agents(draw, names="abcdefghij", count=None):
    chosen = draw(st.lists(st.sampled_from(names), unique=True, min_size=count or 0))
    return [
        Agent(
            name,
            capabilities=tuple(draw(st.lists(st.sampled_from("xyz"), unique=True))),
            cost=CostModel(per_1k_tokens=draw(st.none() | st.floats(0, 1))),
            avg_latency_ms=draw(st.none() | st.floats(0, 1000)),
            quality_score=draw(st.none() | st.floats(0, 1)),
            active=draw(st.booleans()),
            pool=draw(st.sampled_from([None, "p"])),
            embedding=VECTORS[draw(st.integers(0, 4))],
            id=ord(name),
        )
        for name in chosen
    ]


def assert_same(found, wanted):
    for name, value in vars(wanted).items():
        other = getattr(found, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(other, value, err_msg=name)
        elif name == "capabilities":
            assert other.keys() == value.keys()
            for key, column in value.items():
                np.testing.assert_array_equal(other[key], column, err_msg=key)
        elif name != "agents":
            assert other == value, name
    assert [a.name for a in found.agents] == [a.name for a in wanted.agents]


@given(agents(count=8), agents())
def test_with_agents_is_the_registry_made_anew(before, changed):
    registry = AgentRegistry(before, dimension=4)
    newer = {agent.name: agent for agent in [*before, *changed]}
    wanted = AgentRegistry(list(newer.values()), dimension=4)
    assert_same(registry.with_agents(changed), wanted)
    # What was kept until now is what it was.
    assert_same(registry, AgentRegistry(before, dimension=4))


@given(agents(count=8), st.data())
def test_one_that_changes_among_many_is_patched(before, data):
    registry = AgentRegistry(before, dimension=4)
    known = data.draw(st.sampled_from(before))
    [other] = data.draw(agents(names=known.name, count=1))
    changed = dataclasses.replace(other, pool=known.pool)
    wanted = AgentRegistry([changed if a is known else a for a in before], dimension=4)
    assert not registry._differs_in_shape([changed])
    assert_same(registry.with_agents([changed]), wanted)


def test_the_first_capability_of_a_fleet_is_patched_in():
    fleet = [Agent(name, id=ord(name)) for name in "abcdefgh"]
    changed = dataclasses.replace(fleet[0], capabilities=("x",))
    registry = AgentRegistry(fleet).with_agents([changed])
    assert registry.capabilities["x"].tolist() == [True] + [False] * 7


def test_an_agent_that_changes_its_name_leaves_the_old_one():
    registry = AgentRegistry([Agent("a", id=1), Agent("b", id=2)])
    assert registry.with_agents([Agent("c", id=1)]).names == ["b", "c"]
    swapped = registry.with_agents([Agent("b", id=1), Agent("a", id=2)])
    assert swapped.ids == [2, 1]


def test_an_ensemble_follows_its_member():
    team = Agent("team", AgentType.ENSEMBLE, metadata={"members": ["a"]}, id=2)
    registry = AgentRegistry([Agent("a", avg_latency_ms=5.0, id=1), team])
    changed = registry.with_agents([Agent("a", avg_latency_ms=9.0, id=1)])
    assert changed.latency_ms.tolist() == [9.0, 9.0]


@pytest.mark.parametrize("ids", [set(), {ord("b")}, {ord("a"), ord("b"), 99}])
def test_without_leaves_out_agents_by_id(ids):
    fleet = [Agent(name, id=ord(name)) for name in "abc"]
    left = AgentRegistry(fleet, dimension=4).without(ids)
    assert left.ids == [ord(name) for name in "abc" if ord(name) not in ids]
    assert left.dimension == 4
