"""A request: its length, its text, its vector."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.request import check_text, estimate_tokens, unit_vector


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("abc", 1), ("x" * 7, 1), ("é" * 8, 2)])
def test_four_characters_are_a_token(text, tokens):
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize("text", [None, "", " ", "\n\t\u2003", ["a"]])
def test_a_text_must_say_something(text):
    with pytest.raises(InvalidArgumentError, match="request"):
        check_text(text, what="request", most=10)


def test_a_text_has_a_greatest_length():
    assert check_text("x" * 10, what="request", most=10) == "x" * 10
    with pytest.raises(InvalidArgumentError, match="request has 11 characters"):
        check_text("x" * 11, what="request", most=10)


@given(
    st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=8).filter(
        lambda elements: any(abs(element) > 1e-30 for element in elements)
    )
)
def test_a_vector_keeps_its_direction_and_gets_length_1(elements):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they would go to the log of the server
        vector = unit_vector(elements, dimension=len(elements), what="embedding")
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(1.0, abs=1e-5)
    exact = np.array(elements) / np.linalg.norm(elements)
    assert vector == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "flat array"),
        ([[1.0, 2.0]], "flat array"),
        (3.0, "flat array"),
        ("text", "flat array"),
        ([1.0], "has 1 dimensions"),
        ([0.0, 0.0], "all zeros"),
        ([float("nan"), 1.0], "not a finite number"),
        ([float("inf"), 1.0], "not a finite number"),
        ([None, 1.0], "flat array"),
        ([["a"], 1.0], "flat array"),
    ],
    ids=str,
)
def test_what_is_no_vector_is_refused(values, message):
    with pytest.raises(InvalidArgumentError, match=message):
        unit_vector(values, dimension=2, what="embedding")


def test_any_dimension_will_do_where_none_is_asked():
    assert len(unit_vector([1, 2, 3], dimension=None, what="embedding")) == 3
