"""Released versions of the extension, put beside the present one on the throw-away server.

There they are what a server has that a release was installed on before: the script and the folder
of the library. The script is the one that is kept in migrations/released. The library comes out of
the history of this checkout; the packages that it needs are links to those of the present version.
What is put there stays, as an installed release does; it never changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from psycopg import sql

import tiny_dancer

CHECKOUT = Path(__file__).parents[2]
MIGRATIONS = CHECKOUT / "migrations"
RELEASED = MIGRATIONS / "released"
SOURCES = Path(os.environ.get("TINY_DANCER_STATE", CHECKOUT / ".dev")) / "released"
PRESENT = tiny_dancer.__version__
# Of each release the commit it was made from, the oldest first.
COMMITS = dict(line.split() for line in (RELEASED / "commits").read_text().splitlines())
OLDER = [version for version in COMMITS if version != PRESENT]


def folder_of(setting):
    """A folder of the throw-away server, as its programs name it."""
    pg_config = Path(os.environ["TINY_DANCER_PG_BINDIR"]) / "pg_config"
    return Path(run(str(pg_config), f"--{setting}").stdout.strip())


def scripts():
    return folder_of("sharedir") / "extension"


def libraries():
    return folder_of("pkglibdir") / "tiny_dancer"


def run(*command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert not check or done.returncode == 0, done.stderr
    return done


def git(*arguments, **options):
    return run("git", "-C", str(CHECKOUT), *arguments, **options)


@cache
def why_there_is_no_source(version):
    """Why the source of a release can not be had, None if it can."""
    commit = COMMITS[version]
    if shutil.which("git") is None:
        return "git, which has the library of the release, is not installed"
    if git("cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode:
        return f"this checkout's history does not have commit {commit} of version {version}"
    return None


def need_source(version):
    why = why_there_is_no_source(version)
    if why:
        pytest.skip(why)


def check_out(version, target):
    """Write the files of a release into a folder, which is made."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    archive = partial / "archive.tar"
    git("archive", "--output", str(archive), COMMITS[version])
    run("tar", "-xf", str(archive), "-C", str(partial))
    archive.unlink()
    partial.rename(target)
    return target


def source_of(version):
    """The files of a release, compiled; taken out of history once."""
    need_source(version)
    source = SOURCES / COMMITS[version]
    if not source.is_dir():
        check_out(version, source)
        run(sys.executable, "-m", "compileall", "-q", str(source / "tiny_dancer"))
    return source


def put_library(version):
    """Put the library of a release beside the present one."""
    source = source_of(version)
    target, present = libraries() / version, libraries() / PRESENT
    fresh = target.with_name(f".{version}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source / "tiny_dancer", fresh / "tiny_dancer")
    for package in present.iterdir():
        if package.is_dir() and package.name != "tiny_dancer":
            (fresh / package.name).symlink_to(Path("..") / PRESENT / package.name)
    run("chmod", "-R", "a+rX", str(fresh))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def put_script(version):
    """Put the script of a release beside the present one."""
    target = scripts() / f"tiny_dancer--{version}.sql"
    shutil.copy(RELEASED / target.name, target)
    target.chmod(0o644)


def create_extension(session, version=None, schema="public"):
    """Create the extension at a version, the present one unless given, and what it requires."""
    session.execute("CREATE EXTENSION vector; CREATE EXTENSION plpython3u")
    clause = f"VERSION '{version}'" if version else ""
    statement = sql.SQL("CREATE EXTENSION tiny_dancer SCHEMA {} " + clause)
    session.execute(statement.format(sql.Identifier(schema)))
