"""The demo's own database: made anew each time, so that it disturbs nobody's agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from tiny_dancer.cli.database import DatabaseError

Connection = psycopg.Connection[dict[str, Any]]

# Noted on the database; one of that name without the note is somebody's own.
_NOTE = "made by tiny-dancer demo"

_NOTED = "SELECT shobj_description(oid, 'pg_database') AS note FROM pg_database WHERE datname = %s"


@contextmanager
def new_database(url: str, name: str) -> Iterator[Connection]:
    """Make the demo's database anew and connect to it, with the extension set up.

    Args:
        url: of any database of the server; its role must be a superuser.
        name: of the demo's database.

    Yields:
        A connection in autocommit mode whose rows are dicts. The database stays.

    Raises:
        DatabaseError: the server cannot be reached or refused, or a database of the name is not
            the demo's.
    """
    with _reported():
        with psycopg.connect(url, autocommit=True) as connection:
            _recreate(connection, name)
        with psycopg.connect(
            url, dbname=name, autocommit=True, row_factory=psycopg.rows.dict_row
        ) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute("CREATE EXTENSION tiny_dancer CASCADE")
            connection.execute("SELECT tiny_dancer.setup()")
            yield connection


def _recreate(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    found = connection.execute(_NOTED, (name,)).fetchone()
    if found is not None and found[0] != _NOTE:
        raise DatabaseError(
            f"the server has a database {name!r} that the demo did not make",
            hint="The demo makes its database anew: rename this one, or pass --database NAME.",
        )
    quoted = sql.Identifier(name)
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
    connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(quoted, sql.Literal(_NOTE)))


@contextmanager
def _reported() -> Iterator[None]:
    """Report what the server says as this package reports errors."""
    try:
        yield
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip()
        raise DatabaseError(
            said, detail=error.diag.message_detail, hint=error.diag.message_hint
        ) from error
