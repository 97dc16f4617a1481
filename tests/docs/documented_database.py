"""A fresh database for a page, and psql to run its blocks in as a reader would."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sql_blocks import SqlBlock, sql_blocks

URL = os.environ.get("TINY_DANCER_TEST_URL", "")
PSQL = Path(os.environ.get("TINY_DANCER_PG_BINDIR", "")) / "psql"
NEW_ROLE = re.compile(r"\bCREATE ROLE (\w+)", re.I)
# A page that shows how the extension comes into a database needs one without it.
INSTALLS = "CREATE EXTENSION"
SECONDS = 120
# A session serves all blocks of a page: what one of them sets for itself ends with it. The mark
# goes to stderr, which is not buffered, behind results that psql has flushed.
MARK = "----- end of block -----"
END_OF_BLOCK = f"""
\\warn {MARK}
\\set QUIET on
\\x off
\\set VERBOSITY default
RESET ROLE;
RESET ALL;
\\set QUIET off
"""

ordinals = itertools.count(1)


@contextmanager
def fresh_database(*, extended: bool = True) -> Iterator[str]:
    """Yield the connection string of a new database, with the extension set up."""
    name = f"tiny_dancer_docs_{os.getpid()}_{next(ordinals)}"
    database = sql.Identifier(name)
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(database))
    try:
        conninfo = make_conninfo(URL, dbname=name)
        if extended:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION tiny_dancer CASCADE")
                connection.execute("SELECT tiny_dancer.setup()")
        yield conninfo
    finally:
        with psycopg.connect(URL, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


def printed_blocks(page: str) -> Iterator[tuple[SqlBlock, str]]:
    """Yield each block of a page with what psql prints for it; they share a database."""
    blocks = sql_blocks(page)
    together = [block for block in blocks if INSTALLS not in block.sql]
    with roles_dropped(page), fresh_database() as conninfo:
        script = "".join(f"{block.sql}\n{END_OF_BLOCK}" for block in together)
        *outputs, rest = psql(conninfo, script).split(f"{MARK}\n")
        assert not rest.strip(), f"a block leaves a statement open: {rest}"
        printed = dict(zip((block.start for block in together), outputs, strict=True))
        for block in blocks:
            yield block, printed.get(block.start) or in_empty_database(block)


def in_empty_database(block: SqlBlock) -> str:
    with fresh_database(extended=False) as empty:
        return psql(empty, block.sql)


@contextmanager
def roles_dropped(page: str) -> Iterator[None]:
    """Drop the roles that the page makes; roles are not of one database."""
    try:
        yield
    finally:
        with psycopg.connect(URL, autocommit=True) as connection:
            for role in NEW_ROLE.findall(page):
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def psql(conninfo: str, statements: str, *options: str) -> str:
    """Return what psql prints for the statements, errors and notices among it."""
    done = subprocess.run(
        [PSQL, conninfo, "--no-psqlrc", "--set=SHOW_CONTEXT=never", *options],
        input=statements,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        env={"PGTZ": "UTC", "PAGER": "", "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        check=False,
    )
    return done.stdout
