import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.request_parts import split_request


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Build and deploy a web application", ["Build", "deploy a web application"]),
        (
            "Translate the letter, then summarise it; send the result to Ada.",
            ["Translate the letter", "summarise it", "send the result to Ada"],
        ),
        ("- extract the totals\n- check them\n", ["extract the totals", "check them"]),
        ("1. Read it. 2. Answer it.", ["1", "Read it", "2", "Answer it"]),
        ("Summarise this", ["Summarise this"]),
        ("???", ["???"]),
    ],
)
def test_parts_come_in_order(text, parts):
    assert split_request(text, 10) == parts


def test_surplus_parts_are_put_together_and_none_is_lost():
    parts = split_request("one, two, three, four, five", 2)
    assert parts == ["one, two, three", "four, five"]


@given(st.text(min_size=1).filter(str.strip), st.integers(1, 8))
def test_there_is_always_a_part_and_never_too_many(text, most):
    parts = split_request(text, most)
    assert 1 <= len(parts) <= most
    assert all(part.strip() for part in parts)
