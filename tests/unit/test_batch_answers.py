"""The columns that a batch is answered with."""

import numpy as np

from tiny_dancer.agents import Agent, AgentRegistry, CostModel
from tiny_dancer.batch import NOBODY, BatchDecision
from tiny_dancer.pg.batch_answers import Answers, answers, columns
from tiny_dancer.router import Router

ROUTER = Router(
    AgentRegistry(
        [
            Agent(name="cheap", cost=CostModel(per_call=0.01), avg_latency_ms=200.0),
            Agent(name="odd"),
        ],
        dimension=2,
    )
)
UNKNOWN = float("nan")
DECISION = BatchDecision(
    position=np.array([1, NOBODY, 0]),
    candidates=np.array([2, 0, 1]),
    cost=np.array([UNKNOWN, UNKNOWN, 0.01]),
    expected_quality=np.array([0.5, UNKNOWN, 0.75]),
    score=np.zeros(3),
)


def test_each_column_says_what_was_decided_and_none_where_nobody_was_chosen():
    found = answers(ROUTER, DECISION, "cost")
    assert found.agent_names == ["odd", None, "cheap"]
    assert found.confidences == [0.5, None, 0.75]
    assert found.estimated_costs == [None, None, 0.01]
    assert found.estimated_latencies_ms == [None, None, 200.0]
    assert found.reasonings == [
        "odd (cost unknown, latency unknown, expected quality 0.500) ranks first of 2 candidates "
        "for low cost.",
        None,
        "cheap ($0.01, 200 ms, expected quality 0.750) ranks first of 1 candidates for low cost.",
    ]


def test_only_builtins_leave():
    for column in answers(ROUTER, DECISION, "cost"):
        assert {type(value) for value in column} <= {str, float, type(None)}


def test_answers_stand_in_the_places_of_their_requests():
    found = answers(ROUTER, DECISION, "cost")
    spread = found.spread([0, 2, 5], 6)
    assert spread.agent_names == ["odd", None, None, None, None, "cheap"]
    assert spread.confidences == [0.5, None, None, None, None, 0.75]
    assert found.spread([0, 1, 2], 3) is found


def test_errors_are_a_column_only_where_there_are_any():
    found = answers(ROUTER, DECISION, "cost")
    assert columns(found, {}) == (*found, None)
    assert columns(found, {1: "nobody"})[-1] == [None, "nobody", None]
    assert columns(Answers.nothing(0), {}) == ([], [], [], [], [], None)
