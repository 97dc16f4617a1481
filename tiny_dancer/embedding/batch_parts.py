"""Cutting a batch of texts into parts that each take a bounded time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def batch_parts(
    texts: Sequence[str], *, most_texts: int, most_characters: int
) -> Iterator[list[str]]:
    """Cut a batch.

    Args:
        texts: of any length.
        most_texts: in one part, at least 1.
        most_characters: of all texts of a part; a longer text is a part by itself.

    Yields:
        The texts in order, none of the parts empty.
    """
    part: list[str] = []
    room = most_characters
    for text in texts:
        if part and (len(part) == most_texts or len(text) > room):
            yield part
            part, room = [], most_characters
        part.append(text)
        room -= len(text)
    if part:
        yield part
