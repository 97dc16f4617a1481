"""What the catalogue says of the extension: every rule holds for every object."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from psycopg.rows import namedtuple_row

from tiny_dancer.pg import classifier_cache, route_snapshot, snapshot

CHECKOUT = Path(__file__).parents[2]
KEPT = snapshot.KEPT_TABLES + snapshot.LIVE_TABLES
PINNED = ["search_path=pg_catalog, pg_temp"]

# They run a query of the caller's, as the caller and on the caller's path.
RUN_CALLERS_QUERIES = {
    *("labelled_texts", "ruvector_train_classifier"),
    *("judged_requests", "ruvector_train_router"),
    *("ruvector_fit_routes", "ruvector_evaluate_routes"),
    *("request_texts", "ruvector_calibrate_router"),
}
# A SET clause would cost them a tenth of their throughput; every name in them is qualified.
QUALIFIES_EVERY_NAME = {
    *("ruvector_record_usage", "ruvector_route", "ruvector_semantic_route"),
    *("registry_mark", "routes_mark"),
}
# Limits that plain SQL could not hold; plpgsql, pinned path, no dynamic SQL.
SECURITY_DEFINERS = {
    *("count_usage", "open_budget", "close_budget"),
    *("ruvector_reserve_budget", "ruvector_settle_budget", "ruvector_release_budget"),
    *("take_slot", "ruvector_renew", "ruvector_release", "forget_pool_history"),
    *("breaker_state", "maintain", "take_route_pass"),
}
# What only the owner of the extension may run, itself or through a function with its rights.
OWNER_ONLY = {
    *("grant_admin", "grant_level", "grant_remembered", "grant_usage", "privileges", "regrant"),
    *("has_rights", "missing_rights"),
    *("rebuild_indexes", "build_route_index"),
    *("charge_budgets", "charge_reservation", "hold_budgets", "lock_reservation", "merge_charges"),
    *("raise_budget_exhausted", "require_fresh_snapshot", "settle_by_outcome"),
    *("lease_duration", "present_load"),
    *("forget_breaker_events", "observe_failure", "recovered_at", "request_began"),
    *("write_breaker_state", "note_late_outcome", "rollup_lock"),
    *("month_of", "months_after", "month_partition", "month_partitions", "time_column", "instant"),
    *("lock_briefly", "missing_months", "move_rows", "make_month", "attach_month"),
    *("make_partitions", "drop_months", "delete_old", "delete_old_rows", "days_kept"),
    *("roll_hours", "roll_day", "roll_up", "wait_for_recording", "recording_transactions"),
    *("expire_reservations", "merge_all_charges", "lock_rollups"),
}
# Made by the script, made again on demand, or meaningless elsewhere; everything else is dumped.
NOT_DUMPED = {
    *("epochs", "epoch_values", "route_indexes"),
    *("agent_slots", "leases", "breaker_events", "breaker_events_id_seq"),
}

# Functions of PostgreSQL's own under another type, which only copy the bytes of what they get.
COPIES_BYTES = [("numbers_as_stored", "byteasend"), ("vectors_as_stored", "byteasend")]

FUNCTIONS = """
SELECT p.oid, n.nspname AS schema, p.proname AS name, l.lanname AS language, p.prosrc AS source,
       p.provolatile::text AS volatility, p.proparallel::text AS parallel, p.proretset AS is_set,
       p.prorows AS rows, p.prosecdef AS is_definer, p.proconfig AS config,
       p.prosqlbody IS NOT NULL AS is_atomic, p.prorettype = 'trigger'::regtype AS is_trigger,
       obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'tiny_dancer' ORDER BY p.proname
"""
RELATIONS = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       obj_description(c.oid, 'pg_class') AS comment,
       EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_class'::regclass AND i.objid = c.oid
               AND i.deptype = 'i' AND i.refclassid = 'pg_class'::regclass) AS is_identity,
       coalesce(c.oid = ANY (e.extconfig), false) AS is_dumped
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'tiny_dancer' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY c.relname
"""


def rows(session, query):
    with session.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(query).fetchall()


@pytest.fixture(scope="module")
def functions(shared_db):
    found = rows(shared_db, FUNCTIONS)
    assert len(found) > 20
    return found


@pytest.fixture(scope="module")
def relations(shared_db):
    found = rows(shared_db, RELATIONS)
    assert len(found) > 8
    return found


def wrong(objects, is_right):
    return [thing.name for thing in objects if not is_right(thing)]


def test_every_function_has_a_comment(functions):
    assert wrong(functions, lambda f: f.comment) == []


def test_every_table_and_sequence_has_a_comment(relations):
    assert wrong(relations, lambda r: r.comment or r.is_identity) == []


def test_comments_are_no_sentences(functions, relations):
    assert wrong([*functions, *relations], lambda o: not (o.comment or "").endswith(".")) == []


def test_functions_are_in_the_schema_of_their_name(functions):
    assert (
        wrong(functions, lambda f: (f.schema == "public") == f.name.startswith("ruvector_")) == []
    )


def test_tables_are_in_the_fixed_schema(relations):
    assert wrong(relations, lambda r: r.schema == "tiny_dancer") == []


def test_procedural_functions_pin_their_search_path(functions):
    procedural = [f for f in functions if f.language in ("plpython3u", "plpgsql")]
    pinned = [f for f in procedural if f.name not in RUN_CALLERS_QUERIES | QUALIFIES_EVERY_NAME]
    assert wrong(pinned, lambda f: f.config == PINNED) == []
    assert wrong([f for f in procedural if f not in pinned], lambda f: f.config is None) == []


def test_sql_functions_are_bound_when_they_are_created(functions):
    plain = [f for f in functions if f.language == "sql"]
    assert wrong(plain, lambda f: f.is_atomic and f.config is None) == []


def test_there_is_no_other_language(functions):
    assert {f.language for f in functions} - {"internal"} == {"plpython3u", "plpgsql", "sql"}
    internal = [(f.name, f.source) for f in functions if f.language == "internal"]
    assert internal == COPIES_BYTES


def test_python_bodies_have_at_most_four_lines(functions):
    python = [f for f in functions if f.language == "plpython3u"]
    assert wrong(python, lambda f: len(f.source.strip().splitlines()) <= 4) == []


def test_nothing_that_runs_python_takes_part_in_a_parallel_plan(functions, shared_db):
    """PL/Python runs every query in a subtransaction, and a parallel plan allows none: before
    PostgreSQL 17 the error that says so even breaks the interpreter."""
    python = {f.name for f in functions if f.language == "plpython3u"}
    calls = re.compile(rf"\b(?:tiny_dancer|public)\.({'|'.join(python)})\(")
    bodies = dict(
        rows(
            shared_db,
            "SELECT p.oid, pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_depend d"
            " ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'"
            " JOIN pg_extension e ON e.oid = d.refobjid"
            " WHERE e.extname = 'tiny_dancer' AND p.prokind = 'f'",
        )
    )
    running = [f for f in functions if f.name in python or calls.search(bodies[f.oid])]
    assert {"ruvector_route", "ruvector_batch_route"} <= {f.name for f in running}
    assert wrong(running, lambda f: f.parallel == "u") == []


def test_nothing_volatile_is_parallel_safe(functions):
    assert wrong(functions, lambda f: f.volatility != "v" or f.parallel in "ru") == []


def test_immutable_functions_read_no_table(functions, shared_db):
    query = (
        "SELECT DISTINCT p.proname AS name FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid"
        " JOIN pg_class c ON c.oid = d.refobjid AND c.relkind <> 'c'"
        " WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass"
    )
    readers = {row.name for row in rows(shared_db, query)}
    immutable = [f for f in functions if f.volatility == "i"]
    assert wrong(immutable, lambda f: f.language != "plpython3u" and f.name not in readers) == []
    # The catalogue does not know what those in PL/pgSQL read.
    assert wrong(immutable, lambda f: not re.search(r"FROM tiny_dancer\.", f.source)) == []


def test_sets_say_how_many_rows(functions):
    assert wrong(functions, lambda f: f.is_set == (f.rows > 0)) == []


def test_no_function_runs_with_its_owners_rights(functions):
    definers = [f for f in functions if f.is_definer]
    assert {f.name for f in definers} == SECURITY_DEFINERS
    assert wrong(definers, lambda f: f.language == "plpgsql" and f.config == PINNED) == []
    assert wrong(definers, lambda f: not re.search(r"\bEXECUTE\b", f.source)) == []


def test_nothing_is_for_public(shared_db):
    public = """
    WITH members AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
              AND e.extname = 'tiny_dancer'
    ), lists AS (
        SELECT p.oid::regprocedure::text AS name,
               coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
        FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
        UNION ALL
        SELECT c.oid::regclass::text,
               coalesce(c.relacl, acldefault(
                   CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
        FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
        UNION ALL
        SELECT format('%s.%I', a.attrelid::regclass, a.attname), a.attacl
        FROM members m JOIN pg_attribute a
             ON m.classid = 'pg_class'::regclass AND a.attrelid = m.objid
        UNION ALL
        SELECT nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
        WHERE nspname = 'tiny_dancer'
    )
    SELECT name FROM lists, aclexplode(acl) AS granted WHERE granted.grantee = 0
    """
    assert rows(shared_db, public) == []


def test_user_data_is_dumped_whole(relations):
    user_data = [r for r in relations if r.name not in NOT_DUMPED and r.kind in "rpS"]
    assert wrong(user_data, lambda r: r.is_dumped) == []
    assert [r.name for r in relations if r.name in NOT_DUMPED and r.is_dumped] == []


def test_parents_of_partitions_have_no_index(shared_db, relations):
    indexed = {row.relation for row in rows(shared_db, "SELECT indrelid AS relation FROM pg_index")}
    parents = [r for r in relations if r.kind == "p"]
    assert wrong(parents, lambda r: r.oid not in indexed) == []


def test_every_function_has_its_level_of_rights(shared_db, functions):
    granted = {
        row.object
        for row in rows(shared_db, "SELECT * FROM tiny_dancer.privileges()")
        if row.kind == "function"
    }
    names = {f.name for f in functions if not f.is_trigger}
    assert granted | OWNER_ONLY == names
    assert granted & OWNER_ONLY == set()


def test_privileges_name_what_there_is(shared_db, relations):
    names = {r.name: r.kind for r in relations}
    for row in rows(shared_db, "SELECT * FROM tiny_dancer.privileges() WHERE kind <> 'function'"):
        assert names[row.object] in {"table": "rp", "sequence": "S"}[row.kind], row


EPOCH_TRIGGERS = """
SELECT t.tgrelid::regclass::text AS name, t.tgtype AS kind, t.tgenabled::text AS enabled,
       encode(t.tgargs, 'escape') AS argument
FROM pg_trigger t WHERE t.tgfoid = 'tiny_dancer.advance_epoch'::regproc AND NOT t.tgisinternal
"""
BEFORE, EVERY_EVENT = 2, 4 | 8 | 16 | 32


def test_every_cached_table_moves_an_epoch_before_and_after_each_statement(shared_db):
    triggers = rows(shared_db, EPOCH_TRIGGERS)
    assert wrong(triggers, lambda t: t.enabled == "A") == []
    assert {t.kind for t in triggers} == {EVERY_EVENT | BEFORE, EVERY_EVENT}
    by_table = {}
    for trigger in triggers:
        by_table.setdefault(trigger.name, []).append(trigger)
    for table, pair in by_table.items():
        assert {t.kind for t in pair} == {EVERY_EVENT | BEFORE, EVERY_EVENT}, table
        assert len({t.argument for t in pair}) == 1, table
    queries = (snapshot.EPOCHS, route_snapshot.EPOCHS, classifier_cache.EPOCH)
    never_executed = re.compile(r"FROM((?:(?!FROM).)*?)WHERE false", re.DOTALL)
    read = " ".join(part for query in queries for part in never_executed.findall(query))
    named = set(re.findall(r"tiny_dancer\.\w+", read))
    assert len(named) >= 8
    assert set(by_table) >= named, "a table that is cached moves no epoch"
    kinds = {row.kind for row in rows(shared_db, "SELECT kind FROM tiny_dancer.epochs")}
    assert {t.argument.removesuffix("\\000") for t in triggers} <= kinds


def created_functions():
    for file in sorted([*CHECKOUT.glob("sql/*.sql"), *CHECKOUT.glob("plpython/*.sql")]):
        parts = re.split(r"^(?=CREATE )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for part in parts:
            if part.startswith("CREATE FUNCTION"):
                head = re.split(r"^(?:AS \$|BEGIN ATOMIC)", part, maxsplit=1, flags=re.MULTILINE)[0]
                yield f"{file.name}: {head.split('(')[0].split()[-1]}", head


def test_every_function_states_volatility_and_parallel_safety():
    stated = dict(created_functions())
    assert len(stated) > 20
    for name, head in stated.items():
        assert re.search(r"\b(VOLATILE|STABLE|IMMUTABLE)\b", head), name
        assert re.search(r"\bPARALLEL (SAFE|RESTRICTED|UNSAFE)\b", head), name
        if "SETOF" in head or "RETURNS TABLE" in head:
            assert re.search(r"\bROWS \d+\b", head), name


def test_nothing_is_adopted_that_was_there_before():
    for file in [*CHECKOUT.glob("sql/*.sql"), *CHECKOUT.glob("plpython/*.sql")]:
        code = re.sub(r"--.*", "", file.read_text(encoding="utf-8"))
        assert not re.search(r"\bOR REPLACE\b|\bCREATE [^;]{0,40}IF NOT EXISTS\b", code), file.name


@pytest.mark.parametrize(
    ("function", "hiding", "never_executed"),
    [
        ("registry_mark", snapshot._filtered(KEPT), snapshot.NEVER),
        ("routes_mark", route_snapshot.EPOCHS, route_snapshot.EPOCHS),
    ],
)
def test_a_mark_asks_about_every_table_that_a_copy_is_made_of(
    shared_db, function, hiding, never_executed
):
    [(source,)] = rows(
        shared_db,
        f"SELECT prosrc FROM pg_proc WHERE oid = 'tiny_dancer.{function}()'::regprocedure",
    )
    asked = r"row_security_active\('tiny_dancer\.(\w+)'"
    assert sorted(re.findall(asked, source)) == sorted(re.findall(asked, hiding))
    exists = r"EXISTS \((.*?)\n\s*WHERE false\)"
    found, expected = (
        sorted(re.findall(r"tiny_dancer\.(\w+)", re.search(exists, text, re.DOTALL)[1]))
        for text in (source, never_executed)
    )
    assert found == expected
    assert len(found) >= 6
