"""Databases at a released version, on the server whose newest version is this checkout's."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from databases import ADDRESS, PREFIX, drop_role, janitor, open_session, ordinals
from psycopg import sql
from released_versions import OLDER, create_extension, put_library, put_script

# What fills a database is shared with the tests of dumps.
sys.path.append(str(Path(__file__).parents[1] / "db"))


@pytest.fixture(scope="session", params=OLDER)
def released_script(running_server, request):
    """A release whose script is installed; its library may be or not."""
    put_script(request.param)
    return request.param


@pytest.fixture(scope="session")
def released(released_script):
    """A release that is installed beside the present version."""
    put_library(released_script)
    return released_script


@dataclass(frozen=True)
class Filled:
    """A database at a release with rows in every table, to be cloned; and roles by level."""

    version: str
    dbname: str
    roles: dict[str, str]


@pytest.fixture(scope="session")
def filled(released):
    from full_database import fill

    roles = {level: f"{PREFIX}_{level}_{next(ordinals)}" for level in ("usage", "admin", "auditor")}
    with janitor("postgres").cursor() as cursor:
        for role in roles.values():
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    with janitor(f"{PREFIX}_filled_{next(ordinals)}") as made:
        with open_session(
            ADDRESS["host"], ADDRESS["port"], ADDRESS["user"], made.dbname
        ) as session:
            create_extension(session, released)
            session.execute("SELECT tiny_dancer.use_model('hashing-384', 'hashing')")
            # So that no answer changes while the tests run.
            for setting in ("breaker_cooldown_seconds", "breaker_window_seconds"):
                session.execute("SELECT tiny_dancer.set(%s, '3600')", [setting])
            fill(session, {level: roles[level] for level in ("usage", "admin")})
            session.execute("SELECT ruvector_renew(id, '1 hour') FROM tiny_dancer.leases")
            # Rights that tiny_dancer does not know of.
            auditor = sql.Identifier(roles["auditor"])
            session.execute(
                sql.SQL(
                    "GRANT USAGE ON SCHEMA tiny_dancer TO {0};"
                    "GRANT SELECT ON tiny_dancer.usage TO {0};"
                    "GRANT SELECT (name) ON tiny_dancer.agents TO {0};"
                    "GRANT EXECUTE ON FUNCTION ruvector_budget_status() TO PUBLIC"
                ).format(auditor)
            )
        yield Filled(released, made.dbname, roles)
    for role in roles.values():
        drop_role(role)


@pytest.fixture
def old(filled, new_database, connect):
    """A session on a copy of the database at a release, of which the session owns everything."""
    return connect(dbname=new_database(filled.dbname))
