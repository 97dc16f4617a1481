"""Asking a database, and reporting what it says as this package reports errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from tiny_dancer.errors import MissingFileError, TinyDancerError


class DatabaseError(TinyDancerError):
    """A database refused, or cannot be reached."""


def fetch_all(
    url: str, query: LiteralString, parameters: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    """Run one statement in a transaction of its own.

    Args:
        url: of the database, as libpq takes it.
        query: the statement, with ``%s`` for each parameter.
        parameters: its values.

    Returns:
        The rows.

    Raises:
        DatabaseError: the database cannot be reached or refused; its detail and hint are kept.
        MissingFileError: psycopg is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingFileError(
            'python package "psycopg" is not installed for this python',
            hint='Install the extra "cli": pip install "tiny-dancer[cli]".',
        ) from error
    try:
        with psycopg.connect(url) as connection:
            return connection.execute(query, parameters).fetchall()
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip()
        raise DatabaseError(
            said, detail=error.diag.message_detail, hint=error.diag.message_hint
        ) from error
