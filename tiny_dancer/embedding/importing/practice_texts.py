"""Text without labels to fit a token table on: the project's own requests, and made from them.

No corpus is downloaded. The starting corpus shows how people word requests; the words that carry
their subject are replaced by others of the vocabulary, so that each of those is met several times
among function words that are used as they are used.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from tiny_dancer.starting_corpus import corpus

_PARTS = re.compile(r"\w+|[^\w\s]|\s+")
_WORD = re.compile(r"[a-z]{2,}")
_PIECE = re.compile(r"##[a-z]+")
# BERT's vocabularies are sorted by frequency: what stands before is how requests are worded.
_FUNCTION_WORDS_END = 2300
_LEAST_SUBJECT_LETTERS = 3
_MOST_CHARACTERS = 200
# Share of the subject words of a text that stay.
_KEPT = (0.2, 0.5, 0.8)
_COMPOUNDS = 0.1


def practice_texts(tokens: Sequence[str], count: int, *, seed: int = 0) -> list[str]:
    """Make texts.

    Args:
        tokens: of the vocabulary, the frequent ones first, pieces marked by ``##``.
        count: how many texts.
        seed: of the choices.

    Returns:
        The training requests of the starting corpus, then variations of them, in lower case.
    """
    requests = [request.text for request in corpus.load(held_out=False)]
    choice = random.Random(seed)
    words = _endless_words(tokens, choice)
    rank = {token: place for place, token in enumerate(tokens)}
    cut = [_PARTS.findall(request.lower()) for request in requests]
    made = (_varied(choice.choice(cut), words, rank, choice) for _ in range(count - len(requests)))
    return [*requests[:count], *made]


def _varied(
    parts: Sequence[str], words: Iterator[str], rank: dict[str, int], choice: random.Random
) -> str:
    kept = choice.choice(_KEPT)
    varied = (
        next(words) if _is_subject(part, rank) and choice.random() > kept else part
        for part in parts
    )
    return "".join(varied)[:_MOST_CHARACTERS]


def _is_subject(part: str, rank: dict[str, int]) -> bool:
    place = rank.get(part, len(rank))
    return part.isalpha() and len(part) >= _LEAST_SUBJECT_LETTERS and place >= _FUNCTION_WORDS_END


def _endless_words(tokens: Sequence[str], choice: random.Random) -> Iterator[str]:
    """Yield every word of the vocabulary once, then all again, some with a piece at the end."""
    words = [token for token in tokens if _WORD.fullmatch(token)]
    pieces = [token.removeprefix("##") for token in tokens if _PIECE.fullmatch(token)]
    while True:
        choice.shuffle(words)
        for word in words:
            compound = pieces and choice.random() < _COMPOUNDS
            yield word + choice.choice(pieces) if compound else word
