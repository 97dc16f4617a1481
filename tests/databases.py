"""Databases on the running server: a template made once, and a clone of it for each test.

A plugin of pytest, so that the tests of all folders can ask for a database; who asks for none needs
no server. `make test` starts it and says where it is (TINY_DANCER_TEST_URL). Fixtures, from the
cheapest on:

- `db`: a connection to a fresh clone with the `hashing` model active: for whatever does not depend
  on meaning. There are no classifiers: tiny_dancer.setup() would spend half a minute on them.
- `meaning_db`: the same with the default onnx model.
- `connect`: opens another session to the database of `db` (or of `meaning_db`).
- `shared_db`: one clone for a whole module, for tests that leave nothing behind.
- `registry`: a session that all tests share, emptied of agents, aliases and settings after each:
  some milliseconds, where a clone and its first connection take half a second.
- `new_database`: makes an empty database, without the extension.
- `new_role`: makes a role that is gone after the test.

Connections are in autocommit mode; `with db.transaction():` opens a transaction.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import namedtuple_row
from pytest_postgresql import factories
from pytest_postgresql.janitor import DatabaseJanitor

URL = os.environ.get("TINY_DANCER_TEST_URL", "")
ADDRESS = {"host": "", "port": 5432, "user": "", **conninfo_to_dict(URL)}
PREFIX = f"tiny_dancer_test_{os.getpid()}"
ordinals = itertools.count(1)


def open_session(host, port, user, dbname, password=None, **options):
    return psycopg.connect(
        host=host,
        port=port,
        user=user,
        dbname=dbname,
        password=password,
        autocommit=True,
        row_factory=namedtuple_row,
        **options,
    )


def create_extension(**address):
    """Make a database ready without an embedding model on disk."""
    with open_session(**address) as session:
        session.execute("CREATE EXTENSION tiny_dancer CASCADE")
        session.execute("SELECT tiny_dancer.use_model('hashing-384', provider := 'hashing')")


def use_default_model(**address):
    with open_session(**address) as session:
        session.execute("SELECT tiny_dancer.use_model('all-MiniLM-L6-v2')")


template_of_all = factories.postgresql_noproc(
    host=ADDRESS["host"],
    port=ADDRESS["port"],
    user=ADDRESS["user"],
    dbname=PREFIX,
    load=[create_extension],
)


@pytest.fixture(scope="session")
def server(running_server, request):
    """The server, with the template that databases are cloned from."""
    return request.getfixturevalue("template_of_all")


meaning_server = factories.postgresql_noproc(
    depends_on="server", dbname=f"{PREFIX}_meaning", load=[use_default_model]
)


@pytest.fixture(scope="session")
def running_server():
    """Fail once and clearly, and not in every test, where there is no server."""
    if not URL:
        pytest.exit("TINY_DANCER_TEST_URL is not set; run the tests with: make test", returncode=4)


class Background:
    """Makes and drops databases, one after the other, while tests run."""

    def __init__(self):
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._dropped = []

    def make(self, template):
        """Return what will be the name of a clone of the template."""
        return self._worker.submit(make_clone, template)

    def drop(self, name):
        self._dropped.append(self._worker.submit(janitor(name).drop))

    def settle(self):
        """Wait until whatever is to be dropped is gone."""
        while self._dropped:
            self._dropped.pop().result()


def make_clone(template):
    made = janitor(f"{PREFIX}_clone_{next(ordinals)}", template)
    made.init()
    return made.dbname


class Clones:
    """Clones of a template. The next one is made while a test uses the last one.

    It takes half a second of one core; with two cores nobody waits for it.
    """

    def __init__(self, template, background):
        self._template = template
        self._background = background
        self._next = background.make(template)

    def take(self):
        """Return the name of a database that nobody has used."""
        made = self._next.result()
        self._next = self._background.make(self._template)
        return made

    def give_back(self, name):
        self._background.drop(name)

    def close(self):
        self.give_back(self._next.result())
        self._background.settle()


@pytest.fixture(scope="session")
def background():
    return Background()


@pytest.fixture(scope="session")
def clones(server, background):
    made = Clones(server.template_dbname, background)
    yield made
    made.close()


@pytest.fixture(scope="session")
def meaning_clones(meaning_server, background):
    made = Clones(meaning_server.template_dbname, background)
    yield made
    made.close()


@pytest.fixture
def db(clones):
    """A session on a fresh database, with a hashing model active."""
    yield from session_on(clones)


@pytest.fixture
def meaning_db(meaning_clones):
    """A session on a fresh database, with the default model active."""
    yield from session_on(meaning_clones)


def session_on(clones):
    name = clones.take()
    with open_session(ADDRESS["host"], ADDRESS["port"], ADDRESS["user"], name) as session:
        yield session
    clones.give_back(name)


@pytest.fixture
def connect(request):
    """Open another session to the database under test: connect(user=..., dbname=...)."""
    sessions = []

    def connect_again(user=ADDRESS["user"], dbname=None, **options):
        if dbname is None:
            name = "meaning_db" if "meaning_db" in request.fixturenames else "db"
            dbname = request.getfixturevalue(name).info.dbname
        session = open_session(ADDRESS["host"], ADDRESS["port"], user, dbname, **options)
        sessions.append(session)
        return session

    yield connect_again
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def shared_db(server):
    """A session on a clone that the tests of a module share; each must leave it as it was."""
    with janitor(f"{PREFIX}_shared_{next(ordinals)}", server.template_dbname) as made:
        session = open_session(server.host, server.port, server.user, made.dbname)
        yield session
        session.close()


@pytest.fixture(scope="session")
def lasting_session(server):
    with janitor(f"{PREFIX}_lasting", server.template_dbname) as made:
        session = open_session(server.host, server.port, server.user, made.dbname)
        yield session
        session.close()


@pytest.fixture
def registry(lasting_session):
    """A session on a registry that is empty at the start; models and roles are not reset."""
    yield lasting_session
    lasting_session.execute("RESET SESSION AUTHORIZATION")
    lasting_session.execute("RESET ALL")
    lasting_session.execute(
        "TRUNCATE tiny_dancer.agents, tiny_dancer.settings, tiny_dancer.capability_aliases CASCADE"
    )


@pytest.fixture
def new_database(running_server):
    """Make a database without the extension: new_database(template=None, **options) -> name."""
    names = []

    def create(template=None, **options):
        name = f"{PREFIX}_new_{next(ordinals)}"
        with janitor(name).cursor() as cursor:
            clauses = [
                sql.SQL("{} {}").format(sql.SQL(option), sql.Literal(value))
                for option, value in options.items()
            ]
            if template:
                clauses.append(sql.SQL("TEMPLATE {}").format(sql.Identifier(template)))
            statement = sql.SQL("CREATE DATABASE {} {}")
            cursor.execute(statement.format(sql.Identifier(name), sql.SQL(" ").join(clauses)))
        names.append(name)
        return name

    yield create
    for name in names:
        janitor(name).drop()


@pytest.fixture
def new_role(running_server, background):
    """Make a role that may log in: new_role('reader') -> its name. Ask for it before `db`."""
    names = []

    def create(name):
        role = f"{PREFIX}_{name}_{next(ordinals)}"
        with janitor("postgres").cursor() as cursor:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        names.append(role)
        return role

    yield create
    background.settle()
    for role in names:
        drop_role(role)


def drop_role(role):
    """Drop a role that has rights in databases that still are there or are gone already."""
    with janitor("postgres").cursor() as cursor:
        cursor.execute(
            "SELECT d.datname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid"
            " JOIN pg_roles r ON r.oid = s.refobjid WHERE r.rolname = %s GROUP BY 1",
            (role,),
        )
        holders = [row[0] for row in cursor.fetchall()]
    name = sql.Identifier(role)
    for holder in holders:
        with janitor("postgres").cursor(holder) as cursor:
            cursor.execute(sql.SQL("DROP OWNED BY {}").format(name))
    with janitor("postgres").cursor() as cursor:
        cursor.execute(sql.SQL("DROP ROLE {}").format(name))


def janitor(dbname, template=None):
    return DatabaseJanitor(
        user=ADDRESS["user"],
        host=ADDRESS["host"],
        port=ADDRESS["port"],
        version=15,
        dbname=dbname,
        template_dbname=template,
    )


def url_of(dbname):
    """The URL of a database, for programs of PostgreSQL."""
    host, port = quote(ADDRESS["host"], safe=""), ADDRESS["port"]
    return f"postgresql://{quote(ADDRESS['user'])}@/{quote(dbname)}?host={host}&port={port}"
