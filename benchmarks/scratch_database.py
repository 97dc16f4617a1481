"""A database of its own for a benchmark, on the server it is pointed at."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

_NUMBERS = itertools.count(1)


@contextmanager
def new_database(url: str) -> Iterator[str]:
    """Yield the connection string of a new database, and drop it afterwards."""
    name = f"tiny_dancer_bench_{os.getpid()}_{next(_NUMBERS)}"
    quoted = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
    try:
        yield make_conninfo(url, dbname=name)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))
