"""Text to the tokens of a BERT vocabulary, in plain Python: no native library to load.

The steps are those of BERT's own tokenizer (Devlin et al., 2019, ``tokenization.py``): control
characters are dropped, ideographs stand alone, accents are stripped and letters lowered, words
end at white space and punctuation, and a word is cut into the longest pieces that the vocabulary
has (Wu et al., 2016). Special tokens have no meaning in a text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN = "[UNK]"
PIECE_PREFIX = "##"
MOST_CHARACTERS_OF_WORD = 100
_MOST_REMEMBERED = 8192

# ASCII only: what most text is, and what can be done in one pass.
_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")
_CONTROLS = {code: " " if chr(code) in "\t\n\r" else None for code in (*range(0x20), 0x7F)}
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_FIRST_IDEOGRAPH = 0x3400
# Not the unassigned ones: what they are is for a later Unicode to say.
_CONTROL_CATEGORIES = ("Cc", "Cf", "Co", "Cs")


@dataclass(frozen=True, slots=True)
class Spelling:
    """How text is brought into the form that a vocabulary is written in.

    Attributes:
        lowercase: whether letters are lowered.
        strip_accents: whether accents are dropped.
        split_ideographs: whether each Chinese character is a word.
    """

    lowercase: bool = True
    strip_accents: bool = True
    split_ideographs: bool = True


class WordPiece:
    """Cuts text into tokens and returns their rows.

    Args:
        rows: from token to row, with a row for ``[UNK]``.
        spelling: of the vocabulary.
    """

    def __init__(self, rows: Mapping[str, int], spelling: Spelling) -> None:
        self._rows = rows
        self._spelling = spelling
        self._unknown = (rows[UNKNOWN],)
        self._known: dict[str, tuple[int, ...]] = {}

    def rows(self, text: str) -> list[int]:
        """Return the rows of a text's tokens, in order.

        Args:
            text: of any length.

        Returns:
            One row a token; ``[UNK]`` for a word that has no pieces. Empty where the text holds
            nothing but white space and control characters.
        """
        found: list[int] = []
        known = self._known
        for word in self._words(text):
            rows = known.get(word)
            found += self._learn(word) if rows is None else rows
        return found

    def _words(self, text: str) -> list[str]:
        if not text.isascii():
            return _split(_normalise(text, self._spelling))
        if not text.isprintable():
            text = text.translate(_CONTROLS)
        return _WORDS.findall(text.lower() if self._spelling.lowercase else text)

    def _learn(self, word: str) -> tuple[int, ...]:
        if len(word) > MOST_CHARACTERS_OF_WORD:
            # Not remembered: it may be as long as the text.
            return self._unknown
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        rows = self._known[word] = self._pieces(word)
        return rows

    def _pieces(self, word: str) -> tuple[int, ...]:
        rows: list[int] = []
        start, prefix = 0, ""
        while start < len(word):
            for end in range(len(word), start, -1):
                row = self._rows.get(prefix + word[start:end])
                if row is not None:
                    break
            else:
                return self._unknown
            rows.append(row)
            start, prefix = end, PIECE_PREFIX
        return tuple(rows)


def _normalise(text: str, spelling: Spelling) -> str:
    kept = [" " if c.isspace() else c for c in text if not _is_control(c)]
    if spelling.split_ideographs:
        kept = [f" {c} " if _is_ideograph(c) else c for c in kept]
    text = "".join(kept)
    if spelling.strip_accents:
        decomposed = unicodedata.normalize("NFD", text)
        text = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
    # Letter by letter: a final sigma is spelled as any other.
    return "".join(map(str.lower, text)) if spelling.lowercase else text


def _split(text: str) -> list[str]:
    words: list[str] = []
    for run in text.split():
        start = 0
        for i, c in enumerate(run):
            if _is_punctuation(c):
                words += (run[start:i], c) if i > start else (c,)
                start = i + 1
        if start < len(run):
            words.append(run[start:])
    return words


def _is_control(c: str) -> bool:
    if c in "\t\n\r":
        return False
    return c == "\ufffd" or unicodedata.category(c) in _CONTROL_CATEGORIES


def _is_punctuation(c: str) -> bool:
    if c.isascii():
        return c.isprintable() and not c.isalnum() and c != " "
    return unicodedata.category(c)[0] == "P"


def _is_ideograph(c: str) -> bool:
    code = ord(c)
    return code >= _FIRST_IDEOGRAPH and any(low <= code <= high for low, high in _IDEOGRAPHS)
