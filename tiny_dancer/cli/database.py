"""Asking a database, and reporting what it says as this package reports errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from tiny_dancer.errors import MissingFileError, TinyDancerError

_HINTS = {
    "42P01": "Connect to a database in which CREATE EXTENSION tiny_dancer was run.",
    "42501": "Connect as a role that has the rights; tiny_dancer.grant_admin(role) gives most.",
}
"""Where the server itself gives none."""


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
        hint = error.diag.message_hint or _HINTS.get(error.sqlstate or "")
        raise DatabaseError(said, detail=error.diag.message_detail, hint=hint) from error
