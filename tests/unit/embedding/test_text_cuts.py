"""Long text in parts: the tokens of the parts are those of the whole."""

import random

import numpy as np
import pytest

from tiny_dancer.embedding.onnx import load_tokenizer
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.embedding.text_cuts import cut_between_words

WORDS = [
    "a",
    "reset",
    "password",
    "été",
    "naïve",
    "北京",
    "[SEP]",
    "[MASK]",
    "don't",
    "x" * 130,
    "😀",
]
GAPS = [
    " ",
    "  ",
    "\n",
    "\t",
    ". ",
    ", ",
    ";",
    ":",
    "!",
    "?!",
    "...",
    "\u0301 ",
    ".\u0301",
    "\xa0",
    "\r",
]


def made_up(seed, words):
    choice = random.Random(seed)
    return "".join(choice.choice(WORDS) + choice.choice(GAPS) for _ in range(words))


@pytest.mark.parametrize("most", [1, 7, 50, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_the_parts_make_up_the_text_and_have_its_tokens(small_models, seed, most):
    text = made_up(seed, 400)
    parts = list(cut_between_words(text, most))
    assert "".join(parts) == text
    assert all(parts)
    tokenizer = load_tokenizer(open_provider(small_models / "small-int8")._folder)
    ids = [i for part in parts for i in tokenizer.encode(part, add_special_tokens=False).ids]
    assert ids == tokenizer.encode(text, add_special_tokens=False).ids


def test_text_without_a_place_to_cut_is_one_part():
    assert list(cut_between_words("x" * 100, 10)) == ["x" * 100]
    assert list(cut_between_words("x" * 100 + " y", 10)) == ["x" * 100 + " ", "y"]
    assert list(cut_between_words("", 10)) == []


def test_a_long_text_has_the_vector_of_all_its_tokens(small_models):
    provider = open_provider(small_models / "small-int8", max_windows=4)
    text = made_up(5, 9000)
    assert len(text) > 50_000
    in_parts = provider.embed(text)
    provider._is_cuttable = False
    np.testing.assert_array_equal(in_parts, provider.embed(text))
