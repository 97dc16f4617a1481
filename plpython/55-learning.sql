-- Learning from outcomes: training router models, choosing the active one, and asking what it expects.

-- As for classifiers: what reads a query of the caller has no SET clause, so that the query runs on the caller's
-- search path; and what reads it is STABLE, so that the query can not write.
CREATE FUNCTION tiny_dancer.judged_requests(
    query text,
    OUT request text,
    OUT agent_name text,
    OUT quality float8,
    OUT embedding bytea
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 100000 ROWS 1000
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].judged_requests(query)
$$;
COMMENT ON FUNCTION tiny_dancer.judged_requests(text) IS
    'internal: the rows (request, agent_name, quality) of a query, with their embeddings where it has a fourth column; read as the caller and without writing';

CREATE FUNCTION @extschema@.ruvector_train_router(
    query text DEFAULT NULL,
    activate boolean DEFAULT NULL,
    predictor text DEFAULT NULL,
    seed integer DEFAULT 0,
    OUT id bigint,
    OUT trained_predictor text,
    OUT agents integer,
    OUT outcomes integer,
    OUT requests integer,
    OUT held_back integer,
    OUT loss float8,
    OUT means_loss float8,
    OUT prior_loss float8,
    OUT brier float8,
    OUT calibration_error float8,
    OUT routed_quality float8,
    OUT best_single_quality float8,
    OUT random_quality float8,
    OUT length_quality float8,
    OUT oracle_quality float8,
    OUT apgr float8,
    OUT length_apgr float8,
    OUT activated boolean,
    OUT why text
) RETURNS record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].train_router(query, activate, predictor, seed)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_train_router(text, boolean, text, integer) IS
    'trains a router model from recorded outcomes, or from the rows (request, agent_name, quality) of a query, judges it by requests held back, and activates it if it is better than the active one';

CREATE FUNCTION @extschema@.ruvector_activate_router(id bigint) RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 10000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].activate_router(id)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_activate_router(bigint) IS
    'makes a router model the active one, NULL none; whether that changed anything';

CREATE FUNCTION @extschema@.ruvector_predict_quality(
    request text,
    embedding real[] DEFAULT NULL,
    router_model bigint DEFAULT NULL,
    OUT agent_name text,
    OUT expected_quality float8,
    OUT uncertainty float8,
    OUT observations bigint
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 2000 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].predict_quality(request, embedding, router_model)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_predict_quality(text, real[], bigint) IS
    'the quality that is expected of each agent on a request, the best first';
