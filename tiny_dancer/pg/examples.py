"""Training examples, read from any query that the caller may run.

The query runs as the caller and on the caller's search path, as one read-only cursor: the SQL
function that calls ``read_examples`` is STABLE, so PostgreSQL refuses whatever would write, and
wrapping it in a FROM clause leaves no room for a second statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tiny_dancer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

ROWS_AT_ONCE = 1000
MAX_EXAMPLES = 1_000_000


def read_examples(
    backend: Backend, query: str | None, columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return the rows of a query.

    Args:
        backend: of this process.
        query: one SELECT, with or without a semicolon at its end.
        columns: ``name type`` of what the query must return, in order.

    Raises:
        InvalidArgumentError: the query is empty, or returns more rows than can be trained on.
    """
    if query is None or not query.strip():
        raise InvalidArgumentError(
            "query must not be empty",
            hint=f"Give a SELECT that returns {len(columns)} columns: {', '.join(columns)}.",
        )
    names = [column.split()[0] for column in columns]
    wanted = ", ".join(f"example.{column.replace(' ', '::', 1)}" for column in columns)
    # The line breaks end a comment that the query may end with.
    wrapped = (
        f"SELECT {wanted} FROM (\n{query.strip().rstrip(';')}\n) AS example ({', '.join(names)})"
    )
    examples: list[tuple[Any, ...]] = []
    cursor = backend.plpy.cursor(wrapped)
    while rows := cursor.fetch(ROWS_AT_ONCE):
        examples += [tuple(row[name] for name in names) for row in rows]
        if len(examples) > MAX_EXAMPLES:
            raise InvalidArgumentError(
                f"the query returns more than {MAX_EXAMPLES} rows",
                hint="Train on a sample of them.",
            )
    return examples
