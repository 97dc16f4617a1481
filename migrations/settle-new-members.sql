-- What this update made is for nobody, and belongs to whom the extension belongs to, whichever superuser ran it.
-- Only what it made: a script that gives or takes rights turns all rights of that object, those that users gave as
-- well, into ones that came with the extension, and a dump leaves these out.
-- The owner comes first, so that the rights noted are those of the owner; and tables before the sequences that go
-- with them. Types that PostgreSQL makes itself with another type or a table (arrays, rows) can not be altered and
-- go with it; since PostgreSQL 17 they are members, too.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT i.type, i.identity, e.extowner::pg_catalog.regrole AS owner
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e
            ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) i
        WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e'
              AND pg_catalog.format('%s/%s', d.classid, d.objid) <> ALL (pg_catalog.string_to_array(
                  pg_catalog.current_setting('tiny_dancer.members_before'), ' '))
              AND NOT (d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND EXISTS (
                  SELECT FROM pg_catalog.pg_depend o
                  WHERE o.classid = d.classid AND o.objid = d.objid AND o.deptype = 'i'))
        ORDER BY i.type DESC
    LOOP
        EXECUTE pg_catalog.format('ALTER %s %s OWNER TO %s', made.type, made.identity, made.owner);
        IF made.type IN ('function', 'table', 'sequence') THEN
            EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', made.type, made.identity);
        END IF;
    END LOOP;
END
$$;

-- An update without its library would leave a database that can not route.
SELECT tiny_dancer.boot();
