-- From 0.1.0 to 0.2.0. What is written by hand here is what CREATE OR REPLACE FUNCTION can not do; see
-- docs/upgrading.md.

-- maintain() deletes by this time, and read the whole table to find it.
CREATE INDEX foreseen_outcomes_time ON tiny_dancer.foreseen_outcomes USING brin (recorded_at);

-- Models learn from the requests held back, too, once they were judged by them.
ALTER TABLE tiny_dancer.router_training_requests ADD COLUMN judged_weights bytea;
ALTER TABLE tiny_dancer.router_training_requests ALTER COLUMN judged_weights SET STORAGE EXTERNAL;

-- What ruvector_route() returns: the same columns, which were OUT parameters.
CREATE TYPE tiny_dancer.routing_decision AS (
    agent_name text,
    confidence float8,
    estimated_cost float8,
    estimated_latency_ms float8,
    expected_quality float8,
    similarity float8,
    reasoning text,
    alternatives jsonb,
    routed_by text,
    confidence_basis text,
    decision_id uuid
);

-- What ruvector_semantic_route() has its rows from.
CREATE TYPE tiny_dancer.route_match AS (
    route_name text,
    similarity float8,
    target_agent text,
    confidence float8,
    target_active boolean
);

-- A view holds the type that it found, and would fail whenever it is read.
DO $$
DECLARE
    dependent text := pg_catalog.string_agg(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
        FROM pg_catalog.pg_depend d
        WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'n'
              AND d.refobjid = '@extschema@.ruvector_route(text, text, text[], float8, float8, float8, text[], float8, real[], jsonb, float8, float8, text[], boolean, boolean)'::pg_catalog.regprocedure;
BEGIN
    IF dependent IS NOT NULL THEN
        RAISE EXCEPTION 'something rests on ruvector_route(), whose type changes'
            USING ERRCODE = 'dependent_objects_still_exist', DETAIL = dependent,
                  HINT = 'Drop it before the update, and make it again after it.';
    END IF;
END
$$;

-- No function can be replaced by one of another type, and one that is dropped takes its rights along. So the type of its
-- row gets its name here, and the function below replaces it.
UPDATE pg_catalog.pg_proc
SET prorettype = 'tiny_dancer.routing_decision'::pg_catalog.regtype,
    proallargtypes = NULL,
    proargmodes = NULL,
    proargnames = proargnames[1:pronargs]
WHERE oid = '@extschema@.ruvector_route(text, text, text[], float8, float8, float8, text[], float8, real[], jsonb, float8, float8, text[], boolean, boolean)'::pg_catalog.regprocedure;

-- @FUNCTIONS@

-- It takes vectors in one piece now, and ruvector_batch_route(), replaced above, calls no more the one of 0.1.0.
DROP FUNCTION tiny_dancer.batch_route(text[], text, text[], float8, float8, float8, text[], float8, bytea[], float8, float8, text[]);
