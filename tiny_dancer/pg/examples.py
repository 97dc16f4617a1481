"""Training examples, read from any query that the caller may run.

The query runs as the caller and on the caller's search path, as one read-only cursor: the SQL
function that calls ``read_examples`` is STABLE, so PostgreSQL refuses a query that writes, and
wrapping it in a FROM clause leaves no room for a second statement. Functions that the query calls
could still write; ``READING_ONLY`` keeps them from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    backend: Backend,
    query: str | None,
    columns: Sequence[str],
    optional: Mapping[str, str] | None = None,
) -> list[tuple[Any, ...]]:
    """Return the rows of a query.

    Args:
        backend: of this process.
        query: one SELECT, with or without a semicolon at its end.
        columns: ``name type`` of what the query must return, in order.
        optional: further ones that it may return, all or none, and for each the expression over
            ``example`` that is returned in its place.

    Raises:
        InvalidArgumentError: the query is empty, or returns other columns or more rows than can be
            trained on.
    """
    if query is None or not query.strip():
        raise InvalidArgumentError(
            "query must not be empty",
            hint=f"Give a SELECT that returns {_counted(columns)}: {', '.join(columns)}.",
        )
    further = optional or {}
    if not _has_optional(backend, query, columns, list(further)):
        further = {}
    examples: list[tuple[Any, ...]] = []
    cursor = backend.plpy.cursor(_wrapped(query, columns, further))
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


def _wrapped(query: str, columns: Sequence[str], further: Mapping[str, str]) -> str:
    names = [column.split()[0] for column in (*columns, *further)]
    wanted = [f"example.{column.replace(' ', '::pg_catalog.', 1)}" for column in columns]
    wanted += [f"{value} AS {column.split()[0]}" for column, value in further.items()]
    return f"SELECT {', '.join(wanted)} FROM {_relation(query)} ({', '.join(names)})"


def _counted(columns: Sequence[str]) -> str:
    return "1 column" if len(columns) == 1 else f"{len(columns)} columns"


def _has_optional(
    backend: Backend, query: str, columns: Sequence[str], optional: Sequence[str]
) -> bool:
    """Return whether the query returns the optional columns too; refuse any other number."""
    no_rows = f"SELECT * FROM {_relation(query)} LIMIT 0"
    # A cursor takes one statement and no more, and execute() would take several.
    backend.plpy.cursor(no_rows).close()
    found = backend.plpy.execute(no_rows).colnames()
    if len(found) == len(columns):
        return False
    if optional and len(found) == len(columns) + len(optional):
        return True
    may = f", and may return {', '.join(optional)}" if optional else ""
    raise InvalidArgumentError(
        f"the query returns {_counted(found)}",
        hint=f"It must return {len(columns)}: {', '.join(columns)}{may}.",
    )
