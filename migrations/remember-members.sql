-- What belonged to the extension before this update. settle-new-members.sql tells by it what is new.
SELECT pg_catalog.set_config('tiny_dancer.members_before', pg_catalog.string_agg(
    pg_catalog.format('%s/%s', d.classid, d.objid), ' '), true)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e';
