"""pgspot reads the script of the extension and finds nothing that a hostile schema could shadow."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from cluster import BINDIR, run_as_server_user

import tiny_dancer

PGSPOT = os.environ.get("TINY_DANCER_PGSPOT")
SPLIT = """
import json, pglast, sys
json.dump(pglast.split(sys.stdin.read()), sys.stdout)
"""
# What stands in its report where it could not read a statement: it fails on bodies in standard SQL,
# which are bound on the path that the script sets, and on variables of a row's type.
UNREADABLE = re.compile("list index out of range|syntax error")
# Names of pgvector, whose schema is known only when the extension is created.
OF_PGVECTOR = r"PS016: Unqualified function call: vector_(norm|dims)\b"
# Every name in them is qualified; a SET clause would cost them a tenth of their throughput.
QUALIFIES_EVERY_NAME = (
    r"PS005: Function without explicit search_path: "
    r"(public\.ruvector_(record_usage|route|semantic_route)|tiny_dancer\.(registry|routes)_mark)\("
)
# What reads a query of the caller's is in PL/Python, which pgspot does not look into.
ACCEPTED = re.compile(f"{OF_PGVECTOR}|{QUALIFIES_EVERY_NAME}")


def installed_script():
    folder = Path(run_as_server_user(BINDIR / "pg_config", "--sharedir").strip()) / "extension"
    script = (folder / f"tiny_dancer--{tiny_dancer.__version__}.sql").read_text(encoding="utf-8")
    # The first line is for psql.
    return script.split("\n", 1)[1].replace("@extschema@", "public")


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.skipif(not PGSPOT, reason="pgspot can not be installed here")
def test_pgspot_finds_nothing(tmp_path, figure):
    python = str(Path(PGSPOT).parent / "python")
    statements = json.loads(run(python, "-c", SPLIT, text=installed_script()))
    files = [tmp_path / f"{ordinal}.sql" for ordinal in range(len(statements))]
    for file, statement in zip(files, statements, strict=True):
        file.write_text(f"{statement};\n", encoding="utf-8")
    # Each statement by itself, since it gives up at the first that it can not read; with what it
    # knows of the ones before.
    report = run(PGSPOT, "--append", "--ignore-lang", "plpython3u", *map(str, files))
    assert "TOTAL:" in report, report
    unread = len(UNREADABLE.findall(report))
    assert unread < len(statements) / 5, report
    findings = re.findall(r"^PS\d.*", report, re.MULTILINE)
    assert [finding for finding in findings if not ACCEPTED.match(finding)] == []
    figure("statements read", len(statements) - unread)
    figure("statements that pgspot can not read", unread)
    figure("findings accepted: names of pgvector, and one function", len(findings))


@pytest.mark.skipif(not PGSPOT, reason="pgspot can not be installed here")
def test_it_would_find_something():
    unsafe = "CREATE TABLE public.t (a int CHECK (a > 0));"
    assert "PS001" in run(PGSPOT, text=unsafe)
