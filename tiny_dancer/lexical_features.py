"""Cheap facts about the wording of a request: what an embedding of meaning leaves out.

Length, digits, code marks or a list of choices say much about how hard a request is, and the
unit vector of a sentence model says little about them. They are read from one histogram of the
bytes of the text, a few searches for words, and one look at each word and line, so that a request
of 500 characters costs some twelve microseconds.

Features are only ever added behind the others: who learned from the first of them goes on reading
those.
"""

from __future__ import annotations

import math
import string
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer import lexical_words
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.lexical_words import words_and_lines
from tiny_dancer.weights import Float32Array

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

# Classes of bytes; each byte is of one, or of none.
_CLASSES = {
    "digit": string.digits,
    "capital": string.ascii_uppercase,
    "small letter": string.ascii_lowercase,
    "newline": "\n",
    "blank": " \t\r",
    "stop": ".!",
    "question mark": "?",
    "comma": ",;:",
    "operator": "+-*/=<>^%",
    "bracket": "(){}[]",
    "code mark": "_`#@\\|~&",
    "quote": "\"'",
    "money": "$",
}
_CLASSED = len(_CLASSES) + 2
"""Beside them there are the bytes of characters beyond ASCII, and the rest."""

# The features that say whether a group of words occurs; see ``_which_occur``.
_WORDS = ("asks_quantity", "asks_fact", "asks_reason", "negates", "asks_code", "compares")
_CHOICE_MARKS = (
    ("A.", "B.", "C."),
    ("A)", "B)", "C)"),
    ("a)", "b)", "c)"),
    ("- ", "- ", "- "),
)

NAMES: tuple[str, ...] = (
    "characters",
    "words",
    "word_length",
    "numbers",
    "digits",
    "capitals",
    "newlines",
    "sentence_marks",
    "commas",
    "question_marks",
    "operators",
    "brackets",
    "code_marks",
    "quotes",
    "money",
    "digit_share",
    "capital_share",
    "beyond_ascii",
    "last_question",
    *_WORDS,
    "offers_choices",
    "fills_blank",
    *lexical_words.NAMES,
)
"""The features, in the order of a vector."""

COUNT = len(NAMES)
EARLIER_COUNTS = (27,)
"""How many there were in earlier versions: the first ones."""
RECORDED_COUNTS = (*EARLIER_COUNTS, COUNT)
"""So many may have been recorded of a request."""
_PACK = struct.Struct(f"{COUNT}f").pack

_LIMIT = 6.0
"""Standardised features are cut off here: a freak request must not drown its embedding."""


def _class_of_bytes() -> bytes:
    """For each byte the number of its class."""
    table = bytearray([_CLASSED - 1]) * 0x80 + bytearray([_CLASSED - 2]) * 0x80
    for number, members in enumerate(_CLASSES.values()):
        for byte in members.encode():
            table[byte] = number
    return bytes(table)


_CLASS_OF_BYTE = _class_of_bytes()
_DIGIT = list(_CLASSES).index("digit")
# Of so many texts the bytes are counted at once.
_TOGETHER = 1000
_DIGIT_OR_NOT = bytes(byte in string.digits.encode() for byte in range(256))


def lexical_features(text: str) -> Float32Array:
    """Read the features of one request.

    Args:
        text: the request; may be empty.

    Returns:
        One number per name in ``NAMES``, shape [COUNT], not standardised: counts as
        log(1 + count), shares and yes-or-no features in [0, 1].
    """
    raw = text.encode("utf-8", "replace")
    classes = np.frombuffer(raw.translate(_CLASS_OF_BYTE), dtype=np.uint8)
    counts = np.bincount(classes, minlength=_CLASSED).tolist()
    numbers = (b" " + raw).translate(_DIGIT_OR_NOT).count(b"\0\1") if counts[_DIGIT] else 0
    values = _measured(math.log1p, len(text), len(raw), counts, numbers, _after_question(text))
    values += _spelled(text)
    values += words_and_lines(raw)
    # In a third of the time that NumPy takes to look at each number.
    return np.frombuffer(_PACK(*values), np.float32)


def lexical_matrix(texts: Sequence[str]) -> Float32Array:
    """Read the features of several requests, shape [len(texts), COUNT].

    They are those of single requests but for the last bits of their logarithms; the bytes of many
    texts are counted at once.
    """
    chunks = [_features_of(texts[i : i + _TOGETHER]) for i in range(0, len(texts), _TOGETHER)]
    return np.concatenate(chunks) if chunks else np.empty((0, COUNT), dtype=np.float32)


def _features_of(texts: Sequence[str]) -> Float32Array:
    raws = [text.encode("utf-8", "replace") for text in texts]
    lengths = np.array([len(raw) for raw in raws], dtype=np.int64)
    owners = np.repeat(np.arange(len(texts)), lengths)
    joined = b"".join(raws)
    classes = np.frombuffer(joined.translate(_CLASS_OF_BYTE), dtype=np.uint8)
    counts = np.bincount(owners * _CLASSED + classes, minlength=len(texts) * _CLASSED)
    columns = _measured(
        np.log1p,
        np.array([len(text) for text in texts], dtype=np.float64),
        lengths,
        counts.reshape(len(texts), _CLASSED).T.astype(np.float64),
        _numbers(classes, owners, lengths),
        np.array([_after_question(text) for text in texts], dtype=np.float64),
    )
    spelled = np.array(
        [[*_spelled(text), *words_and_lines(raw)] for text, raw in zip(texts, raws, strict=True)]
    )
    return np.column_stack([*columns, spelled]).astype(np.float32)


def _measured(
    log1p: Callable[[Any], Any],
    characters: Any,
    length: Any,
    counts: Iterable[Any],
    numbers: Any,
    after_question: Any,
) -> list[Any]:
    """The features that measure a text, or columns of them of several texts.

    Args:
        log1p: log(1 + x), of numbers or of columns.
        characters: of the text.
        length: in bytes.
        counts: how many of these are of each class.
        numbers: runs of digits.
        after_question: see ``_after_question``.
    """
    (
        digits, capitals, small, newlines, blanks, stops, questions, commas,
        operators, brackets, code_marks, quotes, money, beyond_ascii, _
    ) = counts  # fmt: skip
    words, size = newlines + blanks + 1, length + 1
    return [
        log1p(characters),
        log1p(words),
        (capitals + small) / words,
        log1p(numbers),
        log1p(digits),
        log1p(capitals),
        log1p(newlines),
        log1p(stops + questions),
        log1p(commas),
        log1p(questions),
        log1p(operators),
        log1p(brackets),
        log1p(code_marks),
        log1p(quotes),
        log1p(money),
        digits / size,
        capitals / size,
        beyond_ascii / size,
        log1p(after_question),
    ]


def _spelled(text: str) -> list[float]:
    """The features that say whether something stands in a text."""
    return [*_which_occur(text.lower()), _offers_choices(text), _fills_blank(text)]


def _after_question(text: str) -> int:
    """How many characters follow from the last question mark on, 0 without one."""
    last = text.rfind("?")
    return 0 if last < 0 else len(text) - last


def _numbers(classes: Bytes, owners: NDArray[np.int64], lengths: NDArray[np.int64]) -> Floats:
    """How many runs of digits there are in each of the texts that lie behind one another."""
    is_digit = classes == _DIGIT
    begins = is_digit.copy()
    begins[1:] &= ~is_digit[:-1]
    firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
    begins[firsts] = is_digit[firsts]
    return np.bincount(owners[begins], minlength=len(lengths)).astype(np.float64)


def _which_occur(text: str) -> list[bool]:
    """For each of ``_WORDS`` whether one of its words is in a text in lower case."""
    # Written out, for a loop over the words takes twice as long.
    return [
        "how many" in text or "how much" in text or "how long" in text
        or "calculate" in text or "compute" in text,
        "what " in text or "which " in text or "who " in text
        or "when " in text or "where " in text,
        "why " in text or "explain" in text or "how does" in text or "how do" in text,
        " not " in text or "except" in text or "n't " in text,
        "function" in text or "python" in text or "return " in text
        or "code" in text or "sql" in text,
        "more than" in text or "less than" in text or "twice" in text
        or " half" in text or " times " in text or " each " in text,
    ]  # fmt: skip


def _fills_blank(text: str) -> float:
    return float("__" in text or "..." in text)


def _offers_choices(text: str) -> float:
    """Whether three lines in a row are marked as choices."""
    if "\n" not in text:
        return 0.0
    for first, second, third in _CHOICE_MARKS:
        at = text.find("\n" + first)
        if at >= 0:
            at = text.find("\n" + second, at + 1)
            if at >= 0 and text.find("\n" + third, at + 1) >= 0:
                return 1.0
    return 0.0


@dataclass(frozen=True, slots=True)
class Standardisation:
    """Brings features to mean 0 and deviation 1, as learned from training rows.

    Attributes:
        mean: of each feature, float32 [l].
        scale: what each is divided by, float32 [l]; 1 for a feature that never varied.
    """

    mean: Float32Array
    scale: Float32Array

    @classmethod
    def fit(cls, features: Float32Array) -> Self:
        """Learn mean and deviation.

        Args:
            features: raw features, [n, l] with n ≥ 1.

        Raises:
            InvalidArgumentError: there are no rows.
        """
        if len(features) == 0:
            raise InvalidArgumentError("there are no rows to standardise features by")
        rows = np.asarray(features, dtype=np.float64)
        deviation = rows.std(axis=0)
        # A constant column has a deviation of rounding errors, by which nothing may be divided.
        constant = deviation <= 1e-6 * (1.0 + np.abs(rows).max(axis=0))
        scale = np.where(constant, 1.0, deviation)
        return cls(rows.mean(axis=0).astype(np.float32), scale.astype(np.float32))

    def transform(self, features: Float32Array) -> Float32Array:
        """Standardise raw features, [l] or [n, l], cut off at ± 6 deviations."""
        standard: Float32Array = (features - self.mean) / self.scale
        return np.clip(standard, -_LIMIT, _LIMIT, out=standard)
