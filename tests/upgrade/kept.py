"""What an update must not change: rows, sequences, rights and answers."""

from __future__ import annotations

from psycopg import sql

COLUMNS = """
SELECT c.relname AS name, array_agg(a.attname ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'tiny_dancer'::regnamespace AND c.relkind = 'r'
      AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY c.relname ORDER BY c.relname
"""
SEQUENCES = """
SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'tiny_dancer' ORDER BY 1
"""
RIGHTS = """
WITH lists AS (
    SELECT 'function ' || p.oid::regprocedure AS name,
           coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
    FROM pg_proc p
    WHERE p.pronamespace IN ('tiny_dancer'::regnamespace, 'public'::regnamespace)
    UNION ALL
    SELECT 'relation ' || c.oid::regclass, coalesce(c.relacl, acldefault(
        CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
    FROM pg_class c
    WHERE c.relnamespace = 'tiny_dancer'::regnamespace AND c.relkind IN ('r', 'p', 'S')
    UNION ALL
    SELECT format('column %s.%I', a.attrelid::regclass, a.attname), a.attacl
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'tiny_dancer'::regnamespace AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'schema', n.nspacl FROM pg_namespace n WHERE n.nspname = 'tiny_dancer'
)
SELECT name, ARRAY(SELECT item::text FROM unnest(acl) AS item ORDER BY 1) AS acl FROM lists
"""


def columns(session):
    """The columns of every table, partitions that were made at run time among them."""
    return {row.name: row.columns for row in session.execute(COLUMNS)}


def rows(session, of):
    """The rows of the tables, each with the columns that are named."""
    return {
        table: session.execute(
            sql.SQL("SELECT ROW({})::text FROM tiny_dancer.{} ORDER BY 1").format(
                sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(table)
            )
        ).fetchall()
        for table, names in of.items()
    }


def sequences(session):
    return dict(session.execute(SEQUENCES).fetchall())


def rights(session):
    """Who may do what, by object."""
    return {row.name: row.acl for row in session.execute(RIGHTS)}
