-- Semantic routes.

CREATE FUNCTION @extschema@.ruvector_create_route(
    name text,
    description text,
    target_agent text,
    priority integer DEFAULT 0,
    embedding real[] DEFAULT NULL,
    conditions jsonb DEFAULT NULL,
    utterances text[] DEFAULT NULL,
    threshold float8 DEFAULT NULL
) RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 10000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].create_route(name, description, target_agent, priority, embedding, conditions, utterances, threshold)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_create_route(text, text, text, integer, real[], jsonb, text[], float8) IS
    'makes a semantic route to an agent; one of that name is replaced as a whole';

-- As with ruvector_route, what is around a match counts. The matches come as one array, for which PL/pgSQL has only to
-- evaluate an expression; a query of a function that returns rows takes longer.

CREATE TYPE tiny_dancer.route_match AS (
    route_name text,
    similarity float8,
    target_agent text,
    confidence float8,
    target_active boolean
);
COMMENT ON TYPE tiny_dancer.route_match IS 'internal: a row of ruvector_semantic_route';

-- The mark, and the parameters of ruvector_semantic_route in its order.
CREATE FUNCTION tiny_dancer.semantic_route(bigint, text, integer, jsonb, bytea, boolean) RETURNS tiny_dancer.route_match[]
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 200
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].semantic_route(*args)
$$;
COMMENT ON FUNCTION tiny_dancer.semantic_route(bigint, text, integer, jsonb, bytea, boolean) IS
    'internal: see ruvector_semantic_route; the first by routes_mark(), the fifth by numbers_as_stored()';

CREATE FUNCTION @extschema@.ruvector_semantic_route(
    query text,
    top_k integer DEFAULT 3,
    context jsonb DEFAULT NULL,
    embedding real[] DEFAULT NULL,
    consume boolean DEFAULT false,
    OUT route_name text,
    OUT similarity float8,
    OUT target_agent text,
    OUT confidence float8,
    OUT target_active boolean
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 200 ROWS 3
AS $$
BEGIN
    FOREACH route_name, similarity, target_agent, confidence, target_active IN ARRAY
        tiny_dancer.semantic_route(
            tiny_dancer.routes_mark(), query, top_k, context, tiny_dancer.numbers_as_stored(embedding), consume)
    LOOP
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_semantic_route(text, integer, jsonb, real[], boolean) IS
    'the semantic routes that the query means, best first; no row where it means none; consume counts a pass of the first';

CREATE FUNCTION tiny_dancer.build_route_index() RETURNS text
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].build_route_index()
$$;
COMMENT ON FUNCTION tiny_dancer.build_route_index() IS
    'internal: builds the hnswlib index that backends match semantic routes by; see tiny_dancer.rebuild_indexes()';
