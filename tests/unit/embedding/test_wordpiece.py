"""Our word pieces against those of the library that every BERT is trained with."""

import random
import string
import tracemalloc

import pytest
from small_bert import VOCABULARY
from tokenizers import Tokenizer

from tiny_dancer.embedding.importing.vocabulary import read_vocabulary
from tiny_dancer.embedding.wordpiece import Spelling, WordPiece

ROWS = {token: row for row, token in enumerate(VOCABULARY)}
ODD = [
    "",
    " \t\n\r",
    "reset my PASSWORD, please!",
    "don't--stop...(now)",
    "Grüße aus Zürich, ÉCOLE, naïve, İstanbul, ΣΊΣΥΦΟΣ",
    "a\x00b\x07c\x7fd\u200be\u00adf\ufeffg\ufffdh",
    "a\u00a0b\u2003c\u3000d\x85e\u2028f",
    "中文text混排 日本語 한국어 ไทย",
    "5€ ¥3 £2 ©2024 ™ № ½ ²",
    "😀👍🏽 family 👨‍👩‍👧",
    "“quoted” – dash — ellipsis… ¿qué?",
    "x" * 100,
    "x" * 101,
    "a_b-c/d\\e|f~g`h^i",
    "e\u0301 vs \u00e9 and o\u0308\u0323",
    "ﬁ ligature Ⅷ roman ﷺ",
    "١٢٣ ४५६",
    "tab\tnew\nline\rreturn\x0bvertical\x0cfeed\x1cfs",
]


@pytest.fixture(scope="module")
def library(small_bert):
    tokenizer = Tokenizer.from_file(str(small_bert / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def same(word_pieces, library, text):
    expected = library.encode(text, add_special_tokens=False).ids
    assert word_pieces.rows(text) == expected, ascii(text)


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_texts(library, text):
    same(WordPiece(ROWS, Spelling()), library, text)


def test_made_up_texts(library):
    word_pieces = WordPiece(ROWS, Spelling())
    choice = random.Random(3)
    letters = string.printable + "äÖßéñ中文Σσς€–“” \u00a0\u200b😀"
    for _ in range(4000):
        same(word_pieces, library, "".join(choice.choices(letters, k=choice.randint(1, 30))))


def test_the_default_models_vocabulary(default_model):
    library = Tokenizer.from_file(str(default_model / "tokenizer.json"))
    vocabulary = read_vocabulary(default_model)
    word_pieces = vocabulary.word_pieces()
    assert 29_000 < len(vocabulary.tokens) < 30_522
    for text in [*ODD, "Transcribe the onomatopoeia of antidisestablishmentarianism."]:
        ids = [vocabulary.ids[row] for row in word_pieces.rows(text)]
        assert ids == library.encode(text, add_special_tokens=False).ids, ascii(text)


def test_cased_spelling_keeps_letters_and_accents():
    rows = {"[UNK]": 0, "Zürich": 1, "Ab": 2, "##c": 3}
    word_pieces = WordPiece(rows, Spelling(lowercase=False, strip_accents=False))
    assert word_pieces.rows("Zürich Abc abc") == [1, 2, 3, 0]


def test_words_seen_again_and_a_full_memory_change_nothing():
    word_pieces = WordPiece(ROWS, Spelling())
    text = "reset reset my my password"
    first = word_pieces.rows(text)
    for i in range(20_000):
        word_pieces.rows(f"w{i}")
    assert word_pieces.rows(text) == first


def test_special_tokens_mean_nothing_in_a_text():
    word_pieces = WordPiece(ROWS, Spelling())
    assert ROWS["[SEP]"] not in word_pieces.rows("[SEP] [CLS]")


def test_words_too_long_for_the_vocabulary_are_not_remembered():
    word_pieces = WordPiece(ROWS, Spelling())
    tracemalloc.start()
    try:
        for i in range(50):
            assert word_pieces.rows(f"reset {i}" + "x" * 100_000)[-1] == ROWS["[UNK]"]
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
