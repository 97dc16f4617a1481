"""Rows as PostgreSQL writes them: one text, which it reads in a fraction of the time of columns.

PL/Python turns each column of a row into a text by itself, and PostgreSQL reads each of these; see
"Composite Type Input and Output Syntax" in its manual.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any


def quoted(text: str) -> str:
    """Return a text as a column of a row."""
    escaped = text.replace("\\", "\\\\").replace('"', '""')
    return f'"{escaped}"'


# A number's repr is the shortest text that is read as the same number.
COLUMNS: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: "",
    bool: repr,
    float: repr,
    int: repr,
    str: quoted,
}


def row_text(*values: str | float | bool | None) -> str:
    """Return a row of these values, which are of the builtin types."""
    return f"({','.join([COLUMNS[type(value)](value) for value in values])})"
