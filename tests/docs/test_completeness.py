"""Every function that somebody may call is described, with each of its parameters and columns."""

import re
from pathlib import Path

import psycopg
import pytest
from documented_database import fresh_database

from tiny_dancer.settings import FIELDS

DOCS = Path(__file__).parents[2] / "docs"
FUNCTIONS = """
SELECT n.nspname || '.' || p.proname, coalesce(p.proargnames, '{}')
FROM pg_depend d
JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e' AND p.prorettype <> 'trigger'::regtype
      AND (p.proname LIKE 'ruvector%%' OR p.proname = ANY (%s))
ORDER BY 1
"""
# The administrator's functions. The other ones of the schema tiny_dancer are building blocks.
ADMINISTRATION = (
    *("setup", "doctor", "warmup", "maintain", "set", "list_settings", "use_model"),
    *("rebuild_indexes", "grant_usage", "grant_admin", "regrant", "privileges", "missing_rights"),
)


@pytest.fixture(scope="module")
def functions():
    with fresh_database() as conninfo, psycopg.connect(conninfo) as connection:
        return connection.execute(FUNCTIONS, (list(ADMINISTRATION),)).fetchall()


@pytest.fixture(scope="module")
def pages():
    return [page.read_text(encoding="utf-8") for page in DOCS.glob("*.md")]


def described(function, pages):
    """The section that has the function as its heading, or the page that calls it."""
    for page in pages:
        for section in re.split(r"^## ", page, flags=re.M)[1:]:
            if section.split("\n", 1)[0] == function:
                return section
    return next((page for page in pages if f"`{function}(" in page or f"| {function}(" in page), "")


def test_every_function_is_described(functions, pages):
    assert len(functions) > len(ADMINISTRATION)
    missing = []
    for name, arguments in functions:
        shown = name.removeprefix("public.")
        text = described(shown, pages)
        if not text:
            missing.append(shown)
        missing += [f"{shown}: {a}" for a in arguments if not re.search(rf"\b{a}\b", text)]
    assert not missing, f"docs/ says nothing of {', '.join(missing)}"


def test_every_setting_is_listed_with_its_default():
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    listed = {name: float(value) for name, value in re.findall(r"`(\w+)` ([\d.]+)", page)}
    assert listed == {name: float(field.default) for name, field in FIELDS.items()}
