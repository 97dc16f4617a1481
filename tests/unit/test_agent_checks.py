"""What may be registered of an agent."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.agents.agent import (
    MAX_AMOUNT,
    MAX_METADATA_CHARACTERS,
    MAX_METADATA_LEVELS,
    MAX_NAME_LENGTH,
    AgentType,
    CostModel,
    check_amount,
    check_fraction,
    check_labels,
    check_metadata,
    check_name,
    check_registered_amount,
    parse_metadata,
)
from tiny_dancer.errors import InvalidArgumentError


@pytest.mark.parametrize("text", ["llm", "LLM", " Tool\n", "api", "HUMAN", "ensemble"])
def test_agent_types_ignore_case_and_white_space(text):
    assert AgentType.parse(text).value == text.strip().lower()


@pytest.mark.parametrize("text", [None, "", "robot", "l lm"])
def test_unknown_agent_types_are_refused(text):
    with pytest.raises(InvalidArgumentError, match="unknown agent type") as caught:
        AgentType.parse(text)
    assert "llm, tool, api, human, ensemble" in caught.value.hint


@pytest.mark.parametrize("value", [None, 0.0, -0.0, 5e-324, 1.0, 1e300])
def test_limits_may_be_any_finite_amount(value):
    assert check_amount(value, what="max_cost") == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -5e-324])
def test_other_limits_are_refused_by_name(value):
    with pytest.raises(InvalidArgumentError, match="max_cost is"):
        check_amount(value, what="max_cost")


def test_registered_amounts_have_a_bound_that_keeps_sums_finite():
    assert check_registered_amount(MAX_AMOUNT, what="cost") == MAX_AMOUNT
    for value in (math.nextafter(MAX_AMOUNT, math.inf), math.nan, -1.0, math.inf):
        with pytest.raises(InvalidArgumentError, match="cost is"):
            check_registered_amount(value, what="cost")
    assert math.isfinite(MAX_AMOUNT * MAX_AMOUNT * 1000)


@given(st.floats())
def test_fractions_lie_between_0_and_1(value):
    if 0 <= value <= 1:
        assert check_fraction(value, what="quality_score") == value
    else:
        with pytest.raises(InvalidArgumentError, match="quality_score is"):
            check_fraction(value, what="quality_score")


@given(st.text(max_size=300))
def test_a_name_is_taken_as_it_is_or_refused(text):
    is_name = text and text == text.strip() and len(text) <= MAX_NAME_LENGTH and text.isprintable()
    if is_name:
        assert check_name(text, what="agent name") == text
    else:
        with pytest.raises(InvalidArgumentError, match="agent name") as caught:
            check_name(text, what="agent name")
        assert len(caught.value.message) < 250


def test_labels_are_trimmed_and_named_once_ignoring_case():
    labels = [" Code ", "code", "STRASSE", "straße", "law"]
    assert check_labels(labels, what="capabilities", most=5) == ("Code", "STRASSE", "law")
    assert check_labels([], what="tags", most=5) == ()
    assert check_labels(None, what="tags", most=5) is None


@pytest.mark.parametrize("labels", [["a"] * 6, [None], [" "], ["x" * 201], [["a"]], ["a\tb"]])
def test_bad_labels_are_refused(labels):
    with pytest.raises(InvalidArgumentError, match="tags"):
        check_labels(labels, what="tags", most=5)


@pytest.mark.parametrize("value", [[], "x", 1, 1.5, True, None])
def test_metadata_must_be_an_object(value):
    with pytest.raises(InvalidArgumentError, match="metadata is a JSON"):
        check_metadata(value)


@pytest.mark.parametrize("tokens", [1, 0.5, 128_000, 1e12, None])
def test_context_windows_are_positive_numbers(tokens):
    assert check_metadata({"context_window": tokens}) == {"context_window": tokens}


@pytest.mark.parametrize("tokens", [0, -1, True, "8k", [1], 10**400, math.nan, math.inf])
def test_other_context_windows_are_refused(tokens):
    with pytest.raises(InvalidArgumentError, match="context_window"):
        check_metadata({"context_window": tokens})


@pytest.mark.parametrize("members", [None, [], "a", {"a": 1}, ["a", 1], ["a", "a"], [None]])
def test_bad_members_matter_to_ensembles_alone(members):
    assert check_metadata({"members": members}) == {"members": members}
    with pytest.raises(InvalidArgumentError, match="ensemble"):
        check_metadata({"members": members}, is_ensemble=True)


def test_metadata_is_parsed_within_bounds():
    assert parse_metadata('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    longest = json.dumps("x" * (MAX_METADATA_CHARACTERS - 2))
    assert len(parse_metadata(longest)) == MAX_METADATA_CHARACTERS - 2
    for text in (longest + " ", "[" * 20_000 + "]" * 20_000, "9" * 5000):
        with pytest.raises(InvalidArgumentError, match="metadata"):
            parse_metadata(text)


@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"x": ', "}")])
def test_metadata_nests_within_bounds(before, after):
    def nested(levels):
        return before * levels + "1" + after * levels

    assert parse_metadata(nested(MAX_METADATA_LEVELS))
    for levels in (MAX_METADATA_LEVELS + 1, 3_000, 14_000):
        with pytest.raises(InvalidArgumentError, match="nests too deeply") as caught:
            parse_metadata(nested(levels))
        assert str(MAX_METADATA_LEVELS) in caught.value.hint


def test_a_price_of_zero_is_known():
    assert CostModel(per_call=0.0).is_known
    assert not CostModel().is_known
