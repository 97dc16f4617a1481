"""Sentences: money, time, ties and counts as people read them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.reasoning import (
    Standing,
    dollars,
    explain_choice,
    explain_removals,
    milliseconds,
    standings_json,
)


def standing(name="a", score=0.5, quality=0.9, cost=0.01, latency=100.0, similarity=0.4):
    return Standing(name, score, quality, similarity, cost, latency)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "cost unknown"),
        (0.0, "$0.00"),
        (0.00005, "$0.00005"),
        (1.23456e-7, "$0.000000123"),
        (0.0123456, "$0.0123"),
        (1.5, "$1.5"),
        (99.99, "$100"),
        (123.456, "$123.46"),
        (1e12, "$1000000000000.00"),
    ],
)
def test_dollars(amount, text):
    assert dollars(amount) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (None, "latency unknown"),
        (0.0, "0 ms"),
        (0.00012344, "0.0001234 ms"),
        (12.5, "12.5 ms"),
        (999.96, "1000 ms"),
        (86_400_000.0, "86400000 ms"),
    ],
)
def test_milliseconds(duration, text):
    assert milliseconds(duration) == text


@given(st.floats(0, 1e12))
def test_no_amount_has_an_exponent(value):
    assert "e" not in dollars(value).removeprefix("$")
    assert "e" not in milliseconds(value).removesuffix(" ms")


def test_the_only_candidate():
    assert explain_choice([standing()], "cost", 1) == (
        "a ($0.01, 100 ms, expected quality 0.900) is the only agent that meets the constraints."
    )


def test_the_runner_up_is_named_with_its_numbers():
    sentence = explain_choice([standing(), standing("b", 0.25, cost=None)], "latency", 7)
    assert sentence == (
        "a ($0.01, 100 ms, expected quality 0.900) ranks first of 7 candidates for low latency "
        "with a score of 0.5, ahead of b (cost unknown, 100 ms, expected quality 0.900) with 0.25."
    )


def test_without_runners_up_the_score_is_named():
    assert explain_choice([standing()], "quality", 3).endswith("with a score of 0.5.")


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"cost": 0.02}, "but costs $0.02"),
        ({"cost": None}, "but its cost is unknown"),
        ({"latency": 200.0}, "but takes 200 ms"),
        ({"latency": None}, "but its latency is unknown"),
        ({}, "and comes later in the alphabet"),
    ],
)
def test_a_tie_is_called_a_tie(second, reason):
    sentence = explain_choice([standing(), standing("b", **second)], "quality", 2)
    assert sentence.endswith(f"b has the same score of 0.5 {reason}.")


def test_removals_leave_out_what_removed_nobody():
    assert explain_removals(3, {"active": 0, "max_cost": 2, "min_quality": 1}) == (
        "Of 3 agents: max_cost removed 2, min_quality removed 1."
    )
    assert explain_removals(1, {"active": 1}) == "Of 1 agent: active removed 1."
    assert explain_removals(0, {}) == "No agent is registered."


@given(
    st.lists(
        st.builds(
            Standing,
            st.text(),
            st.floats(0, 1),
            st.floats(0, 1),
            st.none() | st.floats(-1, 1),
            st.none() | st.floats(0, 1e300),
            st.none() | st.floats(0, 1e300),
        ),
        max_size=4,
    )
)
def test_standings_are_json_of_nine_digits(standings):
    decoded = json.loads(standings_json(standings))
    for row, standing_given in zip(decoded, standings, strict=True):
        assert list(row) == sorted(Standing._fields, key=lambda name: (len(name), name))
        assert row.pop("agent_name") == standing_given.agent_name
        for field, read in row.items():
            number = getattr(standing_given, field)
            assert read == number if number is None else read == pytest.approx(number, rel=1e-8)
