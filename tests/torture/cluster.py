"""A server of a test's own: a data directory under .dev, a port of its own, writes that last."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg.rows import namedtuple_row

STATE = Path(os.environ.get("TINY_DANCER_STATE", ".dev"))
BINDIR = Path(os.environ.get("TINY_DANCER_PG_BINDIR", "."))
FOLDER = STATE / "torture"
SOCKETS = STATE / "run"
OWNER = "postgres"
DATABASE = "torture"

SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{sockets}'
port = {port}
max_connections = 80
shared_buffers = 64MB
fsync = on
synchronous_commit = on
full_page_writes = on
timezone = 'UTC'
log_line_prefix = '%m [%p] '
"""

# For scenarios in which no crash is part.
UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def server_user():
    """The ordinary user that the throw-away server runs as."""
    return pwd.getpwuid((STATE / "cluster").stat().st_uid)


def run_as_server_user(*command, check=True, **options):
    """Run a program as that user, in a clean environment; return its output."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=120,
        **{**server_identity(), **options},
    )
    assert not check or done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def server_identity():
    """What makes a subprocess run as the server's user."""
    identity = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/"}}
    if os.geteuid() == 0:
        user = server_user()
        identity |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return identity


def own_folder(path):
    """Make an empty folder that belongs to the server's user."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(path, server_user().pw_uid, server_user().pw_gid)
    return path


def own_programs(name):
    """Copy the server's programs and library, without a model, as another host would have them.

    PostgreSQL finds its folders from where its program lies, and the extension its library and
    models from where PostgreSQL's libraries lie.
    """
    root = FOLDER / name
    shutil.rmtree(root, ignore_errors=True)
    source = STATE / "server"
    # Linked files, which nobody may write to in place: half a second, where copies would take ten.
    shutil.copytree(source, root, symlinks=True, copy_function=os.link)
    bindir = root / BINDIR.relative_to(source)
    empty_models(bindir)
    return bindir


def empty_models(bindir):
    models = models_of(bindir)
    shutil.rmtree(models)
    models.mkdir()


def models_of(bindir):
    return library_of(bindir) / "models"


def library_of(bindir):
    """The folder of the library's versions and of the models, which the server's programs name."""
    return Path(run_as_server_user(bindir / "pg_config", "--pkglibdir").strip()) / "tiny_dancer"


class Cluster:
    """A server with its data directory.

    Args:
        name: of its folder under .dev/torture.
        port: which its socket is named after.
        bindir: where its programs are; the library and the models lie beside them.
        folder: of the data, where it shall lie elsewhere.
    """

    def __init__(self, name, port, bindir=BINDIR, folder=None):
        self.port = port
        self.bindir = Path(bindir)
        self.folder = folder or FOLDER / name
        self.log = FOLDER / f"{name}.log"

    @property
    def models(self):
        """The folder of the models that this server finds."""
        return models_of(self.bindir)

    def create(self, *options, **settings):
        """Make the data directory, with options of initdb and settings of its own."""
        # What a run that was killed left behind.
        self.stop("immediate")
        own_folder(self.folder)
        self.program(
            "initdb",
            *("-D", self.folder, "-U", OWNER, "-A", "trust", "-E", "UTF8"),
            *("--locale=C.UTF-8", "--no-sync", *options),
        )
        self.configure(**settings)
        return self

    def configure(self, **settings):
        lines = [SETTINGS.format(sockets=SOCKETS, port=self.port)]
        lines += [f"{name} = '{value}'\n" for name, value in settings.items()]
        with (self.folder / "postgresql.conf").open("a") as file:
            file.writelines(lines)

    def program(self, name, *arguments, **options):
        return run_as_server_user(self.bindir / name, *arguments, **options)

    def start(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        if os.geteuid() == 0:
            shutil.chown(self.log, server_user().pw_uid)
        # Its output goes to the log: a pipe that it inherited would never be at its end.
        command = [self.bindir / "pg_ctl", "start", "-w", "-t", "100", "-s", "-D", self.folder]
        with self.log.open("a") as log:
            subprocess.run(
                [*map(str, command), "-l", str(self.log)],
                stdout=log,
                stderr=log,
                check=True,
                timeout=120,
                **server_identity(),
            )
        return self

    def stop(self, mode="fast"):
        if self.pid() is not None:
            self.program("pg_ctl", "stop", "-w", "-s", "-m", mode, "-D", self.folder)

    def kill(self):
        """End every process of the server at once, as a power failure does."""
        pid = self.pid()
        # pg_ctl made the server the leader of a group of its own.
        assert os.getpgid(pid) == pid
        os.killpg(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and os.getpgid(pid) == pid:
            time.sleep(0.02)
        (self.folder / "postmaster.pid").unlink()

    def pid(self):
        """The postmaster's process id, None where it does not run."""
        try:
            pid = int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])
            is_ours = Path(f"/proc/{pid}/cwd").readlink() == self.folder
        except (FileNotFoundError, ValueError):
            return None
        return pid if is_ours else None

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def address(self, dbname=DATABASE, user=OWNER):
        return {"host": str(SOCKETS), "port": self.port, "user": user, "dbname": dbname}

    def connect(self, dbname=DATABASE, user=OWNER, **options):
        return psycopg.connect(
            **self.address(dbname, user),
            autocommit=True,
            row_factory=namedtuple_row,
            **options,
        )

    def create_database(self, model="hashing-384", provider="hashing", clause=""):
        """Make the database with the extension in it, and return a session."""
        with self.connect("postgres") as session:
            session.execute(f"CREATE DATABASE {DATABASE} {clause}")
        session = self.connect()
        session.execute("SET client_min_messages = warning")
        session.execute("CREATE EXTENSION tiny_dancer CASCADE")
        session.execute("SELECT tiny_dancer.use_model(%s, %s)", (model, provider))
        return session
