import numpy as np
import pytest

from tiny_dancer.lexical_features import NAMES, lexical_features


def named(text):
    return dict(zip(NAMES, lexical_features(text).tolist(), strict=True))


def counts(text, *names):
    found = named(text)
    return [round(float(np.expm1(found[name])), 3) for name in names]


def test_each_word_of_a_kind_counts_once():
    text = "If each of two, and TWO more, had half an hour, then what?"
    kinds = ("number_words", "relation_words", "condition_words", "unit_words")
    assert counts(text, *kinds) == [2.0, 3.0, 2.0, 1.0]


def test_a_counted_word_within_another_does_not_count():
    assert counts("weekend tent iffy perform", "number_words", "unit_words") == [0.0, 0.0]
    assert counts("caffè deux élan", "number_words", "condition_words") == [0.0, 0.0]


def test_numbers_are_told_apart_by_their_kind():
    signs = ("decimals", "hundreds", "percent_signs")
    assert counts("3.5 and 12 of 1000, 200 are 7 %", *signs) == [1.0, 2.0, 1.0]
    assert counts("no digits. None!", *signs) == [0.0, 0.0, 0.0]


def test_words_and_sentences():
    found = named("The cat saw the cat. The extraordinarily old cat ran.")
    assert found["distinct_words"] == pytest.approx(6 / 10)
    assert found["sentence_length"] == pytest.approx(np.log1p(10 / 3))
    assert counts("Ask Alan about \\frac and \\sqrt in Rome", "backslashes") == [2.0]
    assert counts("Ask Alan about Rome", "capitalised_words") == [2.0]
    assert counts("a complicated extraordinary matter", "long_words") == [2.0]


def test_lines_after_the_first_are_the_choices():
    lines = ("first_line", "later_lines", "longest_later_line")
    assert counts("\n Which?\nA. 12\n\nB. 3456", *lines) == [6.0, 6.0, 7.0]
    assert named("Which?\nA. 12\n\nB. 3456")["later_digit_share"] == pytest.approx(6 / 12)
    assert counts("Which?\n", *lines) == [6.0, 0.0, 0.0]
    assert counts("Which?", *lines) == [6.0, 0.0, 0.0]


def test_a_feature_keeps_its_place():
    # What was recorded and learned before goes by the first features.
    assert NAMES[0] == "characters"
    assert NAMES[26] == "fills_blank"
    assert NAMES[27] == "decimals"
    assert len(NAMES) == len(set(NAMES)) == 43
