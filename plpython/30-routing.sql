-- The routing decision.

-- A decision takes microseconds, so what is around it counts. PL/Python takes longer to make a list of an array's
-- numbers and to run the one query of registry_mark() than the decision needs, so PL/pgSQL runs the query, and the
-- numbers reach it in one piece. Parameters with names PL/Python would put into a dictionary by each, and a row of OUT
-- parameters PostgreSQL would describe anew; both in every call.
-- ruvector_route() has no SET clause, which would take as long as half of the query; every name in it is qualified.

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
COMMENT ON TYPE tiny_dancer.routing_decision IS 'what ruvector_route says: the agent, what is expected of it, and why';

-- The mark, and the parameters of ruvector_route in its order but for context, which comes behind tags.
CREATE FUNCTION tiny_dancer.route(
    bigint, text, text, text[], float8, float8, float8, text[], float8, bytea, float8, float8, text[], jsonb, boolean, boolean
) RETURNS tiny_dancer.routing_decision
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 200
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].route(*args)
$$;
COMMENT ON FUNCTION tiny_dancer.route(bigint, text, text, text[], float8, float8, float8, text[], float8, bytea, float8, float8, text[], jsonb, boolean, boolean) IS
    'internal: see ruvector_route; registry_mark by registry_mark(), embedding by numbers_as_stored()';

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
    record boolean DEFAULT false
) RETURNS tiny_dancer.routing_decision
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 200
AS $$
BEGIN
    RETURN tiny_dancer.route(
        tiny_dancer.registry_mark(), request, optimize_for, required_capabilities, max_cost, max_latency_ms,
        min_quality, excluded_agents, budget_remaining, tiny_dancer.numbers_as_stored(embedding), quality_floor,
        cost_weight, tags, context, use_semantic_routes, record);
END
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
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 500 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].explain_route(request, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embedding, quality_floor, cost_weight, tags)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_explain_route(text, text, text[], float8, float8, float8, text[], float8, real[], float8, float8, text[]) IS
    'every agent, kept or removed by which constraints, with each factor of its score, best first';
