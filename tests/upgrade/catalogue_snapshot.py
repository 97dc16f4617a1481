"""What an installed extension consists of, as text that two installations can be compared by.

An update from an older version must end where a fresh installation of the newer one begins: the
snapshots of both are equal, line by line. Nothing in them depends on the order of creation, on
OIDs, on the name of the owner or on the schema that the extension was installed in.
"""

from __future__ import annotations

from psycopg import Connection

MEMBERS = """
WITH members AS (
    SELECT d.classid, d.objid FROM pg_depend d
    JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE d.deptype = 'e' AND e.extname = 'tiny_dancer'
), relations AS (
    SELECT c.*, n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN members m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
), functions AS (
    SELECT p.*, n.nspname AS schema FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN members m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
)
"""

# Of each kind the query for its lines.
PARTS = {
    "schema": """
        SELECT n.nspname FROM members m JOIN pg_namespace n
        ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
    """,
    "function": """
        SELECT pg_get_functiondef(f.oid) FROM functions f WHERE f.prokind IN ('f', 'p')
    """,
    "function comment": """
        SELECT f.oid::regprocedure || ' ' || coalesce(obj_description(f.oid, 'pg_proc'), '')
        FROM functions f
    """,
    "table": """
        SELECT format('%s %s persistence %s replica identity %s row security %s %s options %s'
                      ' partition of %s',
                      r.oid::regclass, r.relkind, r.relpersistence, r.relreplident,
                      r.relrowsecurity, r.relforcerowsecurity, r.reloptions,
                      (SELECT i.inhparent::regclass || ' ' || pg_get_expr(r.relpartbound, r.oid)
                       FROM pg_inherits i WHERE i.inhrelid = r.oid))
        FROM relations r WHERE r.relkind <> 'S'
    """,
    "table comment": """
        SELECT r.oid::regclass || ' ' || coalesce(obj_description(r.oid, 'pg_class'), '')
        FROM relations r
    """,
    "column": """
        SELECT format('%s %s %s %s null %s default %s identity %s generated %s collation %s'
                      ' storage %s: %s',
                      r.oid::regclass, rank() OVER (PARTITION BY r.oid ORDER BY a.attnum),
                      a.attname, format_type(a.atttypid, a.atttypmod),
                      NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity,
                      a.attgenerated, nullif(a.attcollation, 0)::regcollation, a.attstorage,
                      col_description(r.oid, a.attnum))
        FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
        WHERE r.relkind <> 'S' AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "sequence": """
        SELECT format('%s %s start %s from %s to %s by %s cache %s cycle %s', r.oid::regclass,
                      s.seqtypid::regtype, s.seqstart, s.seqmin, s.seqmax, s.seqincrement,
                      s.seqcache, s.seqcycle)
        FROM relations r JOIN pg_sequence s ON s.seqrelid = r.oid
    """,
    "constraint": """
        SELECT format('%s %s %s validated %s', r.oid::regclass, c.conname,
                      pg_get_constraintdef(c.oid), c.convalidated)
        FROM relations r JOIN pg_constraint c ON c.conrelid = r.oid
    """,
    "index": """
        SELECT pg_get_indexdef(i.indexrelid) || ' valid ' || i.indisvalid
        FROM relations r JOIN pg_index i ON i.indrelid = r.oid
    """,
    "trigger": """
        SELECT format('%s %s enabled %s', r.oid::regclass, pg_get_triggerdef(t.oid), t.tgenabled)
        FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
    """,
    "policy": """
        SELECT format('%s %s %s %s %s %s', r.oid::regclass, p.polname, p.polcmd, p.polpermissive,
                      pg_get_expr(p.polqual, r.oid), pg_get_expr(p.polwithcheck, r.oid))
        FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
    """,
    "type": """
        SELECT format('%s %s of %s default %s null %s checks %s: %s', t.oid::regtype, t.typtype,
                      nullif(t.typbasetype, 0)::regtype, pg_get_expr(t.typdefaultbin, 0),
                      NOT t.typnotnull,
                      ARRAY(SELECT c.conname || ' ' || pg_get_constraintdef(c.oid)
                            FROM pg_constraint c WHERE c.contypid = t.oid ORDER BY 1),
                      obj_description(t.oid, 'pg_type'))
        FROM members m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
    """,
    "privilege": """
, lists AS (
            SELECT 'function ' || f.oid::regprocedure AS name, f.proowner AS owner,
                   coalesce(f.proacl, acldefault('f', f.proowner)) AS acl FROM functions f
            UNION ALL
            SELECT 'table ' || r.oid::regclass, r.relowner,
                   coalesce(r.relacl, acldefault(
                       CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner))
            FROM relations r
            UNION ALL
            SELECT format('column %s.%I', r.oid::regclass, a.attname), r.relowner, a.attacl
            FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attacl IS NOT NULL
            UNION ALL
            SELECT 'schema ' || n.nspname, n.nspowner,
                   coalesce(n.nspacl, acldefault('n', n.nspowner))
            FROM members m JOIN pg_namespace n
            ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
        )
        SELECT format('%s: %s may %s', l.name, CASE a.grantee WHEN l.owner THEN 'the owner'
                      WHEN 0 THEN 'everybody' ELSE a.grantee::regrole::text END, a.privilege_type)
        FROM lists l, aclexplode(l.acl) a
    """,
    # What a dump takes for the extension's own rights, and leaves out.
    "initial privilege": """
        SELECT format('%s: %s may %s',
                      pg_describe_object(i.classoid, i.objoid, i.objsubid),
                      CASE a.grantee WHEN 0 THEN 'everybody' WHEN e.extowner THEN 'the owner'
                      ELSE a.grantee::regrole::text END, a.privilege_type)
        FROM members m JOIN pg_init_privs i ON i.classoid = m.classid AND i.objoid = m.objid
        CROSS JOIN pg_extension e, aclexplode(i.initprivs) a WHERE e.extname = 'tiny_dancer'
    """,
    "owner": """
        SELECT format('%s is not the extension''s', pg_describe_object(o.classid, o.objid, 0))
        FROM pg_extension e, (
            SELECT 'pg_class'::regclass AS classid, r.oid AS objid, r.relowner AS owner
            FROM relations r
            UNION ALL SELECT 'pg_proc'::regclass, f.oid, f.proowner FROM functions f
        ) o WHERE e.extname = 'tiny_dancer' AND o.owner <> e.extowner
    """,
    "dumped": """
        SELECT c.oid::regclass || ' ' || c.condition FROM pg_extension e,
        unnest(e.extconfig, e.extcondition) AS c (oid, condition) WHERE e.extname = 'tiny_dancer'
    """,
    "row": """
        SELECT 'epochs ' || kind FROM tiny_dancer.epochs
    """,
}


def catalogue_snapshot(connection: Connection) -> str:
    """Return what the extension in this database consists of, a line for each thing, sorted.

    Args:
        connection: of a role that may read the tables of the extension.
    """
    lines = []
    with connection.transaction():
        [(schema,)] = connection.execute(
            "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n"
            " ON n.oid = e.extnamespace WHERE e.extname = 'tiny_dancer'"
        )
        # Names are printed with their schema, whatever the path of the session is.
        connection.execute("SET LOCAL search_path = pg_catalog")
        for kind, query in PARTS.items():
            for (text,) in connection.execute(MEMBERS + query):
                plain = " ".join(str(text).split()).replace(f"{schema}.ruvector_", "ruvector_")
                lines.append(f"{kind}: {plain}")
    return "\n".join(sorted(lines)) + "\n"
