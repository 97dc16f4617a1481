CREATE FUNCTION tiny_dancer.rebuild_indexes() RETURNS SETOF text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 2
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    model tiny_dancer.models;
    vector_schema name;
    operator_class text;
    index_name text;
BEGIN
    SELECT * INTO model FROM tiny_dancer.models m WHERE m.active;
    IF model.id IS NULL THEN
        RETURN;
    END IF;
    IF model.dimension > 2000 THEN
        RAISE NOTICE 'vectors of % dimensions can not be indexed; searches scan the table', model.dimension;
        RETURN;
    END IF;
    SELECT n.nspname INTO vector_schema
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector';
    index_name := format('agent_embeddings_hnsw_%s', model.id);
    EXECUTE format('DROP INDEX IF EXISTS tiny_dancer.%I', index_name);
    RAISE NOTICE 'building the HNSW index on the vectors of agents';
    EXECUTE format(
        'CREATE INDEX %I ON tiny_dancer.agent_embeddings '
        'USING hnsw ((embedding::%I.vector(%s)) %I.vector_cosine_ops) WHERE model_id = %s',
        index_name, vector_schema, model.dimension, vector_schema, model.id);
    -- Without statistics of both, the planner may sort them all instead of using the index.
    ANALYZE tiny_dancer.agents, tiny_dancer.agent_embeddings;
    RETURN NEXT index_name;
END
$$;
COMMENT ON FUNCTION tiny_dancer.rebuild_indexes() IS
    'builds the HNSW index on the vectors of the active model; needed above the setting exact_search_limit, and after a restore, since a dump leaves it out';
