-- The agent registry.

CREATE FUNCTION @extschema@.ruvector_register_agent(
    name text,
    agent_type text,
    capabilities text[],
    cost_per_1k_tokens float8 DEFAULT NULL,
    cost_per_call float8 DEFAULT NULL,
    avg_latency_ms float8 DEFAULT NULL,
    quality_score float8 DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    cost_per_second float8 DEFAULT NULL,
    cost_per_1k_output_tokens float8 DEFAULT NULL,
    pool text DEFAULT NULL,
    weight float8 DEFAULT NULL,
    max_concurrent integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    capability_embedding real[] DEFAULT NULL
) RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 2000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].register_agent(name, agent_type, capabilities, cost_per_1k_tokens, cost_per_call, avg_latency_ms, quality_score, metadata, cost_per_second, cost_per_1k_output_tokens, pool, weight, max_concurrent, tags, capability_embedding)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_register_agent(text, text, text[], float8, float8, float8, float8, jsonb, float8, float8, text, float8, integer, text[], real[]) IS
    'registers an agent, or changes what was passed of the living agent of that name; prices in dollars';

CREATE FUNCTION @extschema@.ruvector_find_agents_by_capability(
    capability text,
    k integer DEFAULT 5,
    OUT name text,
    OUT similarity float8,
    OUT quality_score float8,
    OUT avg_latency_ms float8,
    OUT cost float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 2000 ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].find_agents_by_capability(capability, k)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_find_agents_by_capability(text, integer) IS
    'the k active agents whose capabilities are nearest in meaning, nearest first; cost in dollars of a request of 1,000 input tokens and the expected output';
