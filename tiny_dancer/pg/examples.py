"""Training examples, read from any query that the caller may run.

The query runs as the caller and on the caller's search path, as one read-only cursor: the SQL
function that calls ``read_examples`` is STABLE, so PostgreSQL refuses a query that writes, and
wrapping it in a FROM clause leaves no room for a second statement. Functions that the query calls
could still write; ``READING_ONLY`` keeps them from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tiny_dancer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

ROWS_AT_ONCE = 1000
MAX_EXAMPLES = 1_000_000

# To select from before such a SQL function is called. PL/Python runs a query in a subtransaction,
# which may write again when the query is done.
READING_ONLY = """
(SELECT pg_catalog.set_config('transaction_read_only', 'on', true) AS value OFFSET 0) AS read_only
"""


def read_examples(
    backend: Backend, query: str | None, columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return the rows of a query.

    Args:
        backend: of this process.
        query: one SELECT, with or without a semicolon at its end.
        columns: ``name type`` of what the query must return, in order.

    Raises:
        InvalidArgumentError: the query is empty, or returns other columns or more rows than can be
            trained on.
    """
    if query is None or not query.strip():
        raise InvalidArgumentError(
            "query must not be empty",
            hint=f"Give a SELECT that returns {len(columns)} columns: {', '.join(columns)}.",
        )
    _check_columns(backend, query, columns)
    examples: list[tuple[Any, ...]] = []
    cursor = backend.plpy.cursor(_wrapped(query, columns))
    while rows := cursor.fetch(ROWS_AT_ONCE):
        examples += [tuple(row.values()) for row in rows]
        if len(examples) > MAX_EXAMPLES:
            raise InvalidArgumentError(
                f"the query returns more than {MAX_EXAMPLES} rows",
                hint="Train on a sample of them.",
            )
    return examples


def _relation(query: str) -> str:
    # The line breaks end a comment that the query may end with.
    return f"(\n{query.strip().rstrip(';')}\n) AS example"


def _wrapped(query: str, columns: Sequence[str]) -> str:
    names = ", ".join(column.split()[0] for column in columns)
    wanted = ", ".join(f"example.{column.replace(' ', '::pg_catalog.', 1)}" for column in columns)
    return f"SELECT {wanted} FROM {_relation(query)} ({names})"


def _check_columns(backend: Backend, query: str, columns: Sequence[str]) -> None:
    no_rows = f"SELECT * FROM {_relation(query)} LIMIT 0"
    # A cursor takes one statement and no more, and execute() would take several.
    backend.plpy.cursor(no_rows).close()
    found = backend.plpy.execute(no_rows).colnames()
    if len(found) != len(columns):
        raise InvalidArgumentError(
            f"the query returns {len(found)} columns",
            hint=f"It must return {len(columns)}: {', '.join(columns)}.",
        )
