-- What of cost needs Python: embedding the requests of outcomes, and sharing a budget out.

CREATE FUNCTION tiny_dancer.record_request_vector(
    usage_id bigint,
    request text,
    embedding real[]
) RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 2000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].record_request_vector(usage_id, request, embedding)
$$;
COMMENT ON FUNCTION tiny_dancer.record_request_vector(bigint, text, real[]) IS
    'internal: stores the vector of the request of an outcome, for learning';

CREATE FUNCTION @extschema@.ruvector_optimize_budget(
    monthly_budget float8,
    quality_threshold float8 DEFAULT 0.8,
    latency_threshold_ms float8 DEFAULT 5000,
    apply boolean DEFAULT false,
    caps jsonb DEFAULT NULL,
    minimums jsonb DEFAULT NULL,
    OUT agent text,
    OUT allocated_budget float8,
    OUT share float8,
    OUT expected_requests float8,
    OUT quality float8,
    OUT latency_ms float8,
    OUT reason text,
    OUT unallocated float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 10000 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].optimize_budget(monthly_budget, quality_threshold, latency_threshold_ms, apply, caps, minimums)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_optimize_budget(float8, float8, float8, boolean, jsonb, jsonb) IS
    'shares a monthly budget in dollars out among the active agents by quality, price and demand; apply sets the shares as their monthly budgets';
