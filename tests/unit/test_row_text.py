"""Rows as PostgreSQL writes them."""

import csv

import pytest

from tiny_dancer.pg.row_text import row_text


def columns(text):
    """Read a row that has no backslashes the way the manual says."""
    assert (text[0], text[-1]) == ("(", ")")
    return next(csv.reader([text[1:-1]]))


def test_a_row_has_its_columns_in_order():
    assert row_text("a", 1.5, None, True, 7) == '("a",1.5,,True,7)'


@pytest.mark.parametrize("text", ["", "a, b", 'says "so"', "(x)", "é", "two\nlines", '{"a": [1]}'])
def test_texts_are_read_as_they_were(text):
    assert columns(row_text(text, text)) == [text, text]


def test_a_backslash_stands_for_itself():
    assert row_text("\\n") == '("\\\\n")'


@pytest.mark.parametrize("number", [0.1 + 0.2, 1e-300, 5e-324, 1.7976931348623157e308, -0.0])
def test_numbers_are_read_as_they_were(number):
    assert float(columns(row_text(number))[0]) == number
