"""What is kept of releases, how updates are assembled, and that versions lie side by side."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from released_versions import (
    CHECKOUT,
    COMMITS,
    MIGRATIONS,
    OLDER,
    PRESENT,
    RELEASED,
    check_out,
    folder_of,
    need_source,
)

INSTALL = CHECKOUT / "devserver"


def script_names(folder, pattern):
    return {path.name for path in folder.glob(pattern)}


def run(script, *arguments, check=True, **environment):
    done = subprocess.run(
        [str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def test_every_release_has_its_script_its_commit_and_its_entry():
    scripts = {
        name.removeprefix("tiny_dancer--").removesuffix(".sql")
        for name in script_names(RELEASED, "tiny_dancer--*.sql")
    }
    assert {version for version in scripts if "--" not in version} == set(COMMITS)
    changes = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version, commit in COMMITS.items():
        assert re.search(rf"^## {re.escape(version)} \(.*{commit}\)$", changes, re.MULTILINE)
    assert re.search(rf"^## {re.escape(PRESENT)} ", changes, re.MULTILINE)


@pytest.mark.parametrize("version", COMMITS)
def test_the_script_of_a_release_is_what_its_commit_makes(version, tmp_path):
    need_source(version)
    source = check_out(version, tmp_path / "source")
    run(source / "devserver" / "assemble-sql.sh", tmp_path / "made")
    names = script_names(tmp_path / "made", "*.sql")
    assert f"tiny_dancer--{version}.sql" in names
    for name in names:
        made = (tmp_path / "made" / name).read_text(encoding="utf-8")
        assert made == (RELEASED / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("version", OLDER)
def test_there_is_a_way_from_every_release(version, connect):
    with connect(dbname="postgres") as session:
        path = session.execute(
            "SELECT path FROM pg_extension_update_paths('tiny_dancer')"
            " WHERE source = %s AND target = %s",
            [version, PRESENT],
        ).fetchone()
    assert path is not None
    assert path.path is not None, f"no migration leads from {version} to {PRESENT}"


@pytest.fixture
def assembled(tmp_path):
    run(INSTALL / "assemble-sql.sh", tmp_path)
    return tmp_path


def statements(script, kind):
    """The functions of a script, or its comments, in their order."""
    end = {"CREATE FUNCTION": r"^(?:\$\$|END|AS '[a-z]+');$", "COMMENT ON": r";$"}[kind]
    pattern = rf"^{kind} .*?{end}"
    return re.findall(pattern, script, re.MULTILINE | re.DOTALL)


def test_an_update_has_every_function_and_every_comment(assembled):
    script = (assembled / f"tiny_dancer--{PRESENT}.sql").read_text(encoding="utf-8")
    updates = list(assembled.glob(f"tiny_dancer--*--{PRESENT}.sql"))
    assert updates
    for path in updates:
        update = path.read_text(encoding="utf-8")
        plain = update.replace("CREATE OR REPLACE FUNCTION", "CREATE FUNCTION")
        for kind in ("CREATE FUNCTION", "COMMENT ON"):
            expected = statements(script, kind)
            assert len(expected) > 100
            assert statements(plain, kind) == expected
        assert plain.count("CREATE FUNCTION") == update.count("CREATE OR REPLACE FUNCTION")


def test_no_migration_gives_or_takes_rights_of_old_objects():
    """A dump would leave out what users granted on them."""
    for path in MIGRATIONS.glob("tiny_dancer--*.sql"):
        code = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"\b(GRANT|REVOKE)\b", code), path.name


def test_a_migration_must_say_where_the_functions_stand(tmp_path):
    for folder in ("sql", "plpython", "migrations", "devserver", "tiny_dancer"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(CHECKOUT / "tiny_dancer.control", tmp_path)
    [migration] = (tmp_path / "migrations").glob(f"tiny_dancer--*--{PRESENT}.sql")
    migration.write_text("SELECT 1;\n")
    done = run(tmp_path / "devserver" / "assemble-sql.sh", tmp_path / "made", check=False)
    assert done.returncode == 1
    assert "-- @FUNCTIONS@" in done.stderr


def test_installing_leaves_older_versions_in_place(tmp_path):
    """With DESTDIR, as packagers do: the folder is not the server's own."""
    libraries = tmp_path / f".{folder_of('pkglibdir')}" / "tiny_dancer"
    scripts = tmp_path / f".{folder_of('sharedir')}" / "extension"
    kept = [libraries / "0.0.9" / "tiny_dancer" / "old.py", scripts / "tiny_dancer--0.0.9.sql"]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("old")
    pg_config = Path(os.environ["TINY_DANCER_PG_BINDIR"]) / "pg_config"
    for _ in range(2):
        run(INSTALL / "install-library.sh", pg_config, Path(sys.executable), tmp_path)
        run(INSTALL / "install-sql.sh", pg_config, tmp_path)
        assert [path.read_text() for path in kept] == ["old", "old"]
    assert (libraries / PRESENT / "tiny_dancer" / "pg" / "library.py").is_file()
    updates = {f"tiny_dancer--{version}--{PRESENT}.sql" for version in OLDER}
    assert script_names(scripts, "*.sql") >= updates | {f"tiny_dancer--{PRESENT}.sql"}
    # It is large, and pytest keeps its folders for a while.
    shutil.rmtree(libraries / PRESENT)
    # Nobody should begin with an old version on a new server.
    assert not script_names(scripts, "*.sql") & {f"tiny_dancer--{v}.sql" for v in OLDER}
