"""Cheap facts about the wording of a request: what an embedding of meaning leaves out.

Length, digits, code marks or a list of choices say much about how hard a request is, and the
unit vector of a sentence model says little about them. All of them are read from one histogram
of the bytes of the text and a few searches for words, so that a request of 500 characters costs
some ten microseconds.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.weights import Float32Array

Floats = NDArray[np.float64]

# Groups of bytes whose numbers are features, as log(1 + count).
_COUNTED = {
    "digits": string.digits,
    "capitals": string.ascii_uppercase,
    "newlines": "\n",
    "sentence_marks": ".!?",
    "commas": ",;:",
    "question_marks": "?",
    "operators": "+-*/=<>^%",
    "brackets": "(){}[]",
    "code_marks": "_`#@\\|~&",
    "quotes": "\"'",
    "money": "$",
}
# Words that are looked for in lower case; the feature is whether any occurs.
_WORDS = {
    "asks_quantity": ("how many", "how much", "how long", "calculate", "compute"),
    "asks_fact": ("what ", "which ", "who ", "when ", "where "),
    "asks_reason": ("why ", "explain", "how does", "how do"),
    "negates": (" not ", "except", "n't "),
    "asks_code": ("function", "python", "return ", "code", "sql"),
    "compares": ("more than", "less than", "twice", " half", " times ", " each "),
}
_LETTERS = string.ascii_letters.encode()
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
    *_COUNTED,
    "digit_share",
    "capital_share",
    "beyond_ascii",
    "last_question",
    *_WORDS,
    "offers_choices",
    "fills_blank",
)
"""The features, in the order of a vector."""

COUNT = len(NAMES)

_LIMIT = 6.0
"""Standardised features are cut off here: a freak request must not drown its embedding."""


def _byte_groups() -> Float32Array:
    """A matrix [256, groups + 3]: which byte counts for what."""
    groups = [characters.encode() for characters in _COUNTED.values()]
    groups += [b" \n\t\r", _LETTERS, bytes(range(0x80, 0x100))]
    matrix = np.zeros((256, len(groups)), dtype=np.float32)
    for column, members in enumerate(groups):
        matrix[list(members), column] = 1.0
    return matrix


_GROUPS = _byte_groups()
_DIGIT_OR_NOT = bytes(byte in string.digits.encode() for byte in range(256))
_DIGITS, _CAPITALS = list(_COUNTED).index("digits"), list(_COUNTED).index("capitals")
_SPACES, _LETTER_COUNT, _HIGH = (len(_COUNTED) + i for i in range(3))


def lexical_features(text: str) -> Float32Array:
    """Read the features of one request.

    Args:
        text: the request; may be empty.

    Returns:
        One number per name in ``NAMES``, shape [COUNT], not standardised: counts as
        log(1 + count), shares and yes-or-no features in [0, 1].
    """
    raw = text.encode("utf-8", "replace")
    size = len(raw) + 1
    histogram = np.bincount(np.frombuffer(raw, dtype=np.uint8), minlength=256)
    counts = histogram.astype(np.float32).dot(_GROUPS).tolist()
    words = counts[_SPACES] + 1
    numbers = (b" " + raw).translate(_DIGIT_OR_NOT).count(b"\0\1")
    lower = text.lower()
    last = text.rfind("?")
    log1p = math.log1p
    values = [log1p(len(text)), log1p(words), counts[_LETTER_COUNT] / words, log1p(numbers)]
    values += map(log1p, counts[: len(_COUNTED)])
    values += (
        counts[_DIGITS] / size,
        counts[_CAPITALS] / size,
        counts[_HIGH] / size,
        0.0 if last < 0 else log1p(len(text) - last),
    )
    values += [_any_of(phrases, lower) for phrases in _WORDS.values()]
    values += (_offers_choices(text), float("__" in text or "..." in text))
    return np.array(values, dtype=np.float32)


def lexical_matrix(texts: Sequence[str]) -> Float32Array:
    """Read the features of several requests, shape [len(texts), COUNT]."""
    matrix = np.empty((len(texts), COUNT), dtype=np.float32)
    for row, text in enumerate(texts):
        matrix[row] = lexical_features(text)
    return matrix


def _any_of(phrases: tuple[str, ...], text: str) -> float:
    for phrase in phrases:
        if phrase in text:
            return 1.0
    return 0.0


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
