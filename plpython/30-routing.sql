-- The routing decision.

CREATE FUNCTION @extschema@.ruvector_route(
    request text,
    optimize_for text DEFAULT 'balanced',
    required_capabilities text[] DEFAULT NULL,
    max_cost float8 DEFAULT NULL,
    max_latency_ms float8 DEFAULT NULL,
    min_quality float8 DEFAULT NULL,
    excluded_agents text[] DEFAULT NULL,
    budget_remaining float8 DEFAULT NULL,
    embedding real[] DEFAULT NULL,
    context jsonb DEFAULT NULL,
    quality_floor float8 DEFAULT NULL,
    cost_weight float8 DEFAULT NULL,
    tags text[] DEFAULT NULL,
    use_semantic_routes boolean DEFAULT false,
    record boolean DEFAULT false,
    OUT agent_name text,
    OUT confidence float8,
    OUT estimated_cost float8,
    OUT estimated_latency_ms float8,
    OUT expected_quality float8,
    OUT similarity float8,
    OUT reasoning text,
    OUT alternatives jsonb,
    OUT routed_by text,
    OUT confidence_basis text,
    OUT decision_id uuid
) RETURNS record
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 200
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].route(request, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embedding, quality_floor, cost_weight, tags, context, use_semantic_routes, record)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_route(text, text, text[], float8, float8, float8, text[], float8, real[], jsonb, float8, float8, text[], boolean, boolean) IS
    'the agent that should take the request, and why; cost in dollars';

CREATE FUNCTION @extschema@.ruvector_explain_route(
    request text,
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
    OUT rank integer,
    OUT agent_name text,
    OUT kept boolean,
    OUT removed_by text[],
    OUT score float8,
    OUT similarity float8,
    OUT capability_match float8,
    OUT expected_quality float8,
    OUT quality_score float8,
    OUT estimated_cost float8,
    OUT cost_score float8,
    OUT estimated_latency_ms float8,
    OUT latency_score float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 500 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].explain_route(request, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embedding, quality_floor, cost_weight, tags)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_explain_route(text, text, text[], float8, float8, float8, text[], float8, real[], float8, float8, text[]) IS
    'every agent, kept or removed by which constraints, with each factor of its score, best first';
