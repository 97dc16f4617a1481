"""The SQL blocks of a Markdown page, with the output that the page shows for them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

# A block of SQL, and a block of text right after it: what psql prints for it.
BLOCK = re.compile(
    r"^(?P<sql_fence>```sql\n)(?P<sql>.*?)^```\n(?:\n*^```text\n(?P<output>.*?)^```\n)?",
    re.M | re.S,
)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")
RULE = re.compile(r"[-+]{3,}")
# Embeddings differ a little between processors, and with them everything from 0.01 on that is not
# an integer; sums of money are exact.
TOLERANCE = 0.03
LEAST = 0.01


@dataclass(frozen=True)
class SqlBlock:
    """One block: its place in the page, its statements, and the output shown, if any."""

    line: int
    sql: str
    output: str | None
    start: int
    end: int


def sql_blocks(page: str) -> list[SqlBlock]:
    return [
        SqlBlock(
            page.count("\n", 0, found.start()) + 1,
            found["sql"],
            found["output"],
            *found.span(),
        )
        for found in BLOCK.finditer(page)
    ]


def difference(shown: str, printed: str) -> str | None:
    """Say where two outputs differ beyond the last digits; None where they do not."""
    shown_lines, printed_lines = lines(shown), lines(printed)
    for expected, actual in zip(shown_lines, printed_lines, strict=False):
        if not same_line(expected, actual):
            return f"shown:   {expected}\nprinted: {actual}"
    if len(shown_lines) != len(printed_lines):
        return f"{len(shown_lines)} lines are shown, {len(printed_lines)} printed"
    return None


def lines(output: str) -> list[str]:
    """Return the lines without what depends on the width of columns."""
    flat = (" ".join(RULE.sub("---", line).split()) for line in output.splitlines())
    return [line for line in flat if line]


def same_line(expected: str, actual: str) -> bool:
    if NUMBER.split(expected) != NUMBER.split(actual):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(actual), strict=True)
    return all(same_number(*pair) for pair in pairs)


def same_number(expected: str, actual: str) -> bool:
    if expected == actual:
        return True
    if expected.lstrip("-").isdigit() and actual.lstrip("-").isdigit():
        return False
    one, other = float(expected), float(actual)
    if min(abs(one), abs(other)) >= LEAST:
        return abs(one - other) <= TOLERANCE
    return math.isclose(one, other, rel_tol=1e-6)
