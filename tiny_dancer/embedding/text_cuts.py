"""Cutting a long text where no token can lie across, so that its parts can be tokenised alone."""

from __future__ import annotations

from collections.abc import Iterator

# BERT's words end at white space, and each of these marks is a word of its own. Brackets are not
# among them: a text may hold the name of a special token, such as [SEP].
_ENDS = (" ", "\n", "\t", ".", ",", ";", ":", "!", "?")


def cut_between_words(text: str, most: int) -> Iterator[str]:
    """Cut a text for a tokenizer that splits words as BERT's does.

    Args:
        text: of any length.
        most: characters of a part, at least 1; a longer part is one without a place to cut.

    Yields:
        Parts that make up the text.
    """
    start = 0
    while len(text) - start > most:
        end = 1 + max(text.rfind(c, start, start + most) for c in _ENDS)
        if not end:
            further = [place for c in _ENDS if (place := text.find(c, start + most)) >= 0]
            end = 1 + min(further, default=len(text) - 1)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
