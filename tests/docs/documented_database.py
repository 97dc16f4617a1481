"""A fresh database for a page, and psql to run its blocks in as a reader would."""

from __future__ import annotations

import atexit
import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
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
HOW_FAR = re.compile(
    r"^NOTICE:  .*\b(?:(?:embedded|estimated|read|routed|weighed|epoch|chose for|part) \d+ of \d+"
    r"|read \d+ (?:outcomes|decisions|requests)|training the router|takes \d+ us"
    r"|tried cost_weight)\b.*\n",
    re.M,
)
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
    name = new_name()
    create_database(name, template=extended_template() if extended else "template1")
    try:
        yield make_conninfo(URL, dbname=name)
    finally:
        drop_database(name)


@cache
def extended_template() -> str:
    """Return a database with the extension set up: that takes seconds, copying it does not."""
    name = new_name()
    create_database(name, template="template1")
    atexit.register(drop_database, name)
    with psycopg.connect(make_conninfo(URL, dbname=name), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION tiny_dancer CASCADE")
        connection.execute("SELECT * FROM tiny_dancer.setup()")
    return name


def new_name() -> str:
    return f"tiny_dancer_docs_{os.getpid()}_{next(ordinals)}"


def create_database(name: str, *, template: str) -> None:
    with psycopg.connect(URL, autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(name: str) -> None:
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


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
    """Return what psql prints for the statements, errors and notices among it.

    How far something long has come is left out: it depends on the speed of the machine.
    """
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
    return HOW_FAR.sub("", done.stdout)
