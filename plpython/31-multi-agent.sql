-- Several agents for one request.

CREATE FUNCTION @extschema@.ruvector_route_multi(
    request text,
    num_agents integer DEFAULT 3,
    strategy text DEFAULT 'parallel',
    optimize_for text DEFAULT 'balanced',
    required_capabilities text[] DEFAULT NULL,
    max_cost float8 DEFAULT NULL,
    max_latency_ms float8 DEFAULT NULL,
    min_quality float8 DEFAULT NULL,
    excluded_agents text[] DEFAULT NULL,
    budget_remaining float8 DEFAULT NULL,
    embedding real[] DEFAULT NULL,
    quality_floor float8 DEFAULT NULL,
    cost_weight float8 DEFAULT NULL,
    tags text[] DEFAULT NULL,
    OUT step integer,
    OUT role text,
    OUT agent_name text,
    OUT weight float8,
    OUT confidence float8,
    OUT estimated_cost float8,
    OUT estimated_latency_ms float8,
    OUT reasoning text,
    OUT total_cost float8,
    OUT total_latency_ms float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 5000 ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].route_multi(request, num_agents, strategy, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embedding, quality_floor, cost_weight, tags)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_route_multi(text, integer, text, text, text[], float8, float8, float8, text[], float8, real[], float8, float8, text[]) IS
    'several agents for one request: in a row (pipeline), side by side (parallel) or with weighed votes (ensemble)';
