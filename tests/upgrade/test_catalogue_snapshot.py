"""The snapshot that updates are checked by: equal where the extension is, different where not."""

from __future__ import annotations

import pytest
from catalogue_snapshot import PARTS, catalogue_snapshot


@pytest.fixture
def installed(new_database, connect):
    session = connect(dbname=new_database())
    session.execute("CREATE EXTENSION tiny_dancer CASCADE")
    return session


def test_two_installations_are_equal_whatever_the_schema(installed, new_database, connect):
    other = connect(dbname=new_database())
    other.execute('CREATE SCHEMA "My Router"; CREATE TABLE public.something ()')
    other.execute(
        'CREATE EXTENSION vector; CREATE EXTENSION tiny_dancer SCHEMA "My Router" CASCADE'
    )
    assert catalogue_snapshot(other).splitlines() == catalogue_snapshot(installed).splitlines()


def test_every_part_says_something(installed):
    kinds = {line.split(":")[0] for line in catalogue_snapshot(installed).splitlines()}
    assert set(PARTS) - kinds == {"policy", "owner"}


CHANGES = [
    "ALTER FUNCTION tiny_dancer.doctor() PARALLEL RESTRICTED",
    "COMMENT ON FUNCTION tiny_dancer.doctor() IS 'other'",
    "COMMENT ON TABLE tiny_dancer.agents IS 'other'",
    "ALTER TABLE tiny_dancer.agents ALTER COLUMN weight SET DEFAULT 2",
    "ALTER TABLE tiny_dancer.agents ALTER COLUMN weight DROP NOT NULL",
    "ALTER TABLE tiny_dancer.agents ADD COLUMN extra int",
    "ALTER TABLE tiny_dancer.agents DROP CONSTRAINT agents_context_window",
    "ALTER TABLE tiny_dancer.agents DISABLE TRIGGER advance_epoch",
    "ALTER TABLE tiny_dancer.agents ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY seen ON tiny_dancer.agents USING (true)",
    "DROP INDEX tiny_dancer.agents_living_name",
    "GRANT SELECT ON tiny_dancer.agents TO PUBLIC",
    "GRANT SELECT (name) ON tiny_dancer.agents TO PUBLIC",
    "GRANT USAGE ON SCHEMA tiny_dancer TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION tiny_dancer.doctor() TO PUBLIC",
    "ALTER TABLE tiny_dancer.agents SET (fillfactor = 70)",
    "ALTER TABLE tiny_dancer.agents ALTER COLUMN metadata SET STORAGE PLAIN",
    # The same columns in another order.
    "ALTER TABLE tiny_dancer.usage_keys ADD again bigint NOT NULL, DROP usage_id;"
    "ALTER TABLE tiny_dancer.usage_keys RENAME again TO usage_id",
    "ALTER FUNCTION tiny_dancer.doctor() OWNER TO pg_monitor",
    "ALTER DOMAIN tiny_dancer.dollars ADD CONSTRAINT odd CHECK (VALUE <> 7)",
    "COMMENT ON DOMAIN tiny_dancer.dollars IS 'other'",
    "ALTER SEQUENCE tiny_dancer.epoch_values CACHE 7",
    "DELETE FROM tiny_dancer.epochs WHERE kind = 'agents'",
    "ALTER EXTENSION tiny_dancer DROP FUNCTION tiny_dancer.doctor()",
]


def test_every_difference_shows(installed):
    before = catalogue_snapshot(installed)
    for change in CHANGES:
        with installed.transaction(force_rollback=True):
            installed.execute(change)
            assert catalogue_snapshot(installed) != before, change
    assert catalogue_snapshot(installed) == before
