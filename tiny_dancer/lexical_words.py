"""What single words, numbers and lines of a request say about how hard it is.

How many quantities stand in a request and how they relate, how rare and how varied its words are,
and how long the lines that follow the first. Words are English, and chosen by what they mean, not
by what any agent did on them.
"""

from __future__ import annotations

import string
from math import log1p

# Words that are counted, by what they say of a request: that there are quantities beside those in
# digits, how quantities relate, that something is supposed, and what is measured.
_COUNTED = {
    "number_words": """two three four five six seven eight nine ten eleven twelve fifteen twenty
        thirty forty fifty hundred thousand million half third quarter twice double triple thrice
        dozen first second""",
    "relation_words": """each per every than total altogether left remaining times twice half more
        less fewer rest both another additional combined average""",
    "condition_words": """if when then would could should assuming suppose given unless after
        before while""",
    "unit_words": """hour hours minute minutes day days week weeks month months year years mile
        miles feet inches gram grams pounds dollars cents percent""",
}

NAMES = (
    "decimals",
    "hundreds",
    "percent_signs",
    "backslashes",
    "capitalised_words",
    "long_words",
    "sentence_length",
    "distinct_words",
    *_COUNTED,
    "first_line",
    "later_lines",
    "longest_later_line",
    "later_digit_share",
)

# What words are made of is kept, in lower case; all else parts them.
_LETTERS = bytes(
    byte if byte >= 0x80 or chr(byte) in string.ascii_lowercase + "'" else
    byte + 0x20 if chr(byte) in string.ascii_uppercase else 0x20
    for byte in range(256)
)  # fmt: skip
# A digit is 0, a capital A, another letter x, what ends a sentence a point; what stands between
# words is blank, and signs that are counted stay.
_SHAPES = bytes(
    ord("0") if chr(byte) in string.digits else
    ord("A") if chr(byte) in string.ascii_uppercase else
    ord("x") if chr(byte) in string.ascii_lowercase or byte >= 0x80 else
    ord(" ") if chr(byte) in string.whitespace else
    ord(".") if chr(byte) in ".!?" else
    byte if chr(byte) in "%\\" else ord(",")
    for byte in range(256)
)  # fmt: skip
_LONG_WORD = b"x" * 8
_FIELD_BITS = 8
_FIELD = (1 << _FIELD_BITS) - 1


def _counters() -> dict[bytes, int]:
    """For each counted word a number; their sum holds all counts side by side."""
    counters: dict[bytes, int] = {}
    for place, words in enumerate(_COUNTED.values()):
        for word in words.encode().split():
            counters[word] = counters.get(word, 0) + (1 << _FIELD_BITS * place)
    return counters


_COUNTERS = _counters()
_KNOWN = frozenset(_COUNTERS)
_NONE_KNOWN = (0.0,) * len(_COUNTED)


def words_and_lines(raw: bytes) -> list[float]:
    """Read the features of a text in UTF-8, one per name in ``NAMES``."""
    shapes, words = raw.translate(_SHAPES), raw.translate(_LETTERS).split()
    count, distinct = shapes.count, set(words)
    known = distinct & _KNOWN
    return [
        *((log1p(count(b"0.0")), log1p(count(b"000"))) if b"0" in shapes else (0.0, 0.0)),
        log1p(count(b"%")),
        log1p(count(b"\\")),
        log1p(count(b" A")),
        log1p(count(_LONG_WORD)),
        log1p(len(words) / (count(b".") + 1)),
        len(distinct) / (len(words) or 1),
        *(_kinds(known) if known else _NONE_KNOWN),
        *(_lines(raw) if b"\n" in raw else (log1p(len(raw)), 0.0, 0.0, 0.0)),
    ]


def _kinds(known: set[bytes]) -> tuple[float, ...]:
    """How many words there are of each kind."""
    found = sum(map(_COUNTERS.__getitem__, known))
    return (
        log1p(found & _FIELD),
        log1p(found >> _FIELD_BITS & _FIELD),
        log1p(found >> 2 * _FIELD_BITS & _FIELD),
        log1p(found >> 3 * _FIELD_BITS),
    )


def _lines(raw: bytes) -> tuple[float, float, float, float]:
    """The first line's length, mean and greatest of the others', and how much of them is digits."""
    first, _, later = raw.lstrip().partition(b"\n")
    lengths = [len(line) for line in later.split(b"\n") if line]
    if not lengths:
        return log1p(len(first)), 0.0, 0.0, 0.0
    digits = len(later) - len(later.translate(None, string.digits.encode()))
    size = sum(lengths)
    return log1p(len(first)), log1p(size / len(lengths)), log1p(max(lengths)), digits / size
