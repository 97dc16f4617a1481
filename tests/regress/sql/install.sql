-- The extension installs with what it requires, and lists what belongs to it.
SET client_min_messages = warning;
CREATE EXTENSION tiny_dancer CASCADE;
SELECT extname, extversion FROM pg_extension WHERE extname IN ('plpython3u', 'tiny_dancer') ORDER BY 1;
SELECT p.proname
FROM pg_depend d
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'tiny_dancer'
JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
WHERE d.deptype = 'e' AND p.proname LIKE 'ruvector%'
GROUP BY p.proname ORDER BY p.proname;
-- Nothing works before a model is active, and the error says so.
\set VERBOSITY terse
SELECT ruvector_register_agent('a', 'llm', '{chat}');
SELECT left(tiny_dancer.use_model('hashing-384', provider := 'hashing'), 37);
