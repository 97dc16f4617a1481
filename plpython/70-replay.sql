-- Learning from what was explored: what another policy would have led to, and where the dial should stand.

CREATE FUNCTION @extschema@.ruvector_replay(
    policy jsonb,
    time_range interval DEFAULT '7 days',
    until timestamptz DEFAULT NULL,
    OUT estimator text,
    OUT measure text,
    OUT estimate float8,
    OUT low float8,
    OUT high float8,
    OUT observed float8,
    OUT effective_sample_size float8,
    OUT decisions bigint,
    OUT without_outcome float8,
    OUT not_explored bigint,
    OUT agreement float8,
    OUT unserved float8
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 1000000 ROWS 4
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].replay(policy, time_range, until)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_replay(jsonb, interval, timestamptz) IS
    'the quality and the cost that another policy would have led to over recorded decisions with exploration, each with its 95 % interval';

-- As for training: what reads a query of the caller has no SET clause, so that the query runs on the caller's
-- search path; and what reads it is STABLE, so that the query can not write.
CREATE FUNCTION tiny_dancer.request_texts(query text) RETURNS SETOF text
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 100000 ROWS 1000
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].request_texts(query)
$$;
COMMENT ON FUNCTION tiny_dancer.request_texts(text) IS
    'internal: the rows (request) of a query, read as the caller and without writing';

CREATE FUNCTION @extschema@.ruvector_calibrate_router(
    quality_target float8 DEFAULT NULL,
    max_strong_share float8 DEFAULT NULL,
    query text DEFAULT NULL,
    time_range interval DEFAULT '30 days',
    strong_agent text DEFAULT NULL,
    OUT cost_weight float8,
    OUT expected_quality float8,
    OUT expected_cost float8,
    OUT strong_share float8,
    OUT strong_agent_name text,
    OUT quality_kept float8,
    OUT best_agent_name text,
    OUT best_quality float8,
    OUT best_cost float8,
    OUT requests bigint
) RETURNS record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].calibrate_router(quality_target, max_strong_share, query, time_range, strong_agent)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_calibrate_router(float8, float8, text, interval, text) IS
    'the cost_weight of a balanced decision that keeps a share of the best agent''s quality, or sends at most a share of the requests to the strong agent, over recorded requests or those of a query';
