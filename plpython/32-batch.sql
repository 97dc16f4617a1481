-- Many requests in one call. Vectors reach Python in one piece and as they are in memory: as text they would take
-- longer than all the rest, and in PostgreSQL's binary form a third of it. Answers come back as an array for each column: as rows
-- they would take twice as long.

CREATE FUNCTION tiny_dancer.batch_route(
    requests text[],
    optimize_for text DEFAULT 'balanced',
    required_capabilities text[] DEFAULT NULL,
    max_cost float8 DEFAULT NULL,
    max_latency_ms float8 DEFAULT NULL,
    min_quality float8 DEFAULT NULL,
    excluded_agents text[] DEFAULT NULL,
    budget_remaining float8 DEFAULT NULL,
    embeddings bytea DEFAULT NULL,
    quality_floor float8 DEFAULT NULL,
    cost_weight float8 DEFAULT NULL,
    tags text[] DEFAULT NULL,
    OUT agent_names text[],
    OUT confidences float8[],
    OUT estimated_costs float8[],
    OUT estimated_latencies_ms float8[],
    OUT reasonings text[],
    OUT errors text[]
) RETURNS record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].batch_route(requests, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embeddings, quality_floor, cost_weight, tags)
$$;
COMMENT ON FUNCTION tiny_dancer.batch_route(text[], text, text[], float8, float8, float8, text[], float8, bytea, float8, float8, text[]) IS
    'internal: the columns of ruvector_batch_route, errors NULL where there are none; embeddings by vectors_as_stored()';

CREATE FUNCTION @extschema@.ruvector_batch_route(
    requests text[],
    optimize_for text DEFAULT 'balanced',
    required_capabilities text[] DEFAULT NULL,
    max_cost float8 DEFAULT NULL,
    max_latency_ms float8 DEFAULT NULL,
    min_quality float8 DEFAULT NULL,
    excluded_agents text[] DEFAULT NULL,
    budget_remaining float8 DEFAULT NULL,
    embeddings vector[] DEFAULT NULL,
    quality_floor float8 DEFAULT NULL,
    cost_weight float8 DEFAULT NULL,
    tags text[] DEFAULT NULL,
    OUT ordinal integer,
    OUT request text,
    OUT agent_name text,
    OUT confidence float8,
    OUT estimated_cost float8,
    OUT estimated_latency_ms float8,
    OUT reasoning text,
    OUT error text
) RETURNS SETOF record
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1000
BEGIN ATOMIC
    SELECT pg_catalog.generate_series(1, pg_catalog.cardinality(requests)), pg_catalog.unnest(requests),
           pg_catalog.unnest(b.agent_names), pg_catalog.unnest(b.confidences),
           pg_catalog.unnest(b.estimated_costs), pg_catalog.unnest(b.estimated_latencies_ms),
           pg_catalog.unnest(b.reasonings), pg_catalog.unnest(b.errors)
    FROM tiny_dancer.batch_route(
        requests, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality,
        excluded_agents, budget_remaining,
        tiny_dancer.vectors_as_stored(embeddings),
        quality_floor, cost_weight, tags) AS b;
END;
COMMENT ON FUNCTION @extschema@.ruvector_batch_route(text[], text, text[], float8, float8, float8, text[], float8, vector[], float8, float8, text[]) IS
    'routes many requests in one call, in order, each as ruvector_route would; what fails says so in its row; optimize_for total_cost minimises the sum, with quality_floor as a floor under the average';
