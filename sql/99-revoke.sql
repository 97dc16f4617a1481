-- Functions are for PUBLIC unless that is taken away. Last, so that none is missed.

DO $$
DECLARE
    member regprocedure;
BEGIN
    FOR member IN
        SELECT d.objid::pg_catalog.regprocedure
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e
            ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e'
              AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', member);
    END LOOP;
END
$$;
