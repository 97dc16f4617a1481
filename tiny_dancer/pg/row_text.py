"""Rows as PostgreSQL writes them: one text, which it reads in a fraction of the time of columns.

PL/Python turns each column of a row into a text by itself, and PostgreSQL reads each of these; see
"Composite Type Input and Output Syntax" in its manual.
"""

from __future__ import annotations


def row_text(*values: str | float | bool | None) -> str:
    """Return a row of these values; a number's repr is the shortest text read as that number."""
    columns = [
        "" if value is None else quoted(value) if isinstance(value, str) else repr(value)
        for value in values
    ]
    return f"({','.join(columns)})"


def quoted(text: str) -> str:
    """Return a text as a column of a row."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    escaped = text.replace('"', '""')
    return f'"{escaped}"'
