"""The parts of a request: what it asks for, one thing after the other."""

from __future__ import annotations

import re

# Where one thing ends and the next begins: sentences, list items, and the words between steps.
BOUNDARY = re.compile(
    r"""
    (?<=[.!?])\s+                       # the end of a sentence
    | \s*[;\n]+\s*                      # a new line or a semicolon
    | \s*,?\s+and\s+then\s+ | \s*,?\s+then\s+ | \s*,?\s+after\s+that,?\s+
    | \s*,?\s+and\s+ | \s*,\s+
    """,
    re.IGNORECASE | re.VERBOSE,
)
LIST_MARK = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+")
CLOSING = " .!?,;:"


def split_request(text: str, most: int) -> list[str]:
    """Return the parts of a request in order, at least one and at most ``most``.

    Where there are more, neighbours are put together, so that nothing asked for is lost.
    """
    pieces = [LIST_MARK.sub("", piece).strip(CLOSING) for piece in BOUNDARY.split(text)]
    parts = [piece for piece in pieces if piece] or [text.strip()]
    if len(parts) <= most:
        return parts
    # The first groups take the surplus, one part each.
    size, surplus = divmod(len(parts), most)
    grouped, start = [], 0
    for group in range(most):
        end = start + size + (1 if group < surplus else 0)
        grouped.append(", ".join(parts[start:end]))
        start = end
    return grouped
