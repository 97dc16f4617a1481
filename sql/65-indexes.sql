CREATE FUNCTION tiny_dancer.rebuild_indexes() RETURNS SETOF text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 2
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    model tiny_dancer.models;
    vector_schema name;
    operator_class text;
    index_name text;
    built text;
    vectors_of text;
BEGIN
    SELECT * INTO model FROM tiny_dancer.models m WHERE m.active;
    IF model.id IS NULL THEN
        RETURN;
    END IF;
    built := tiny_dancer.build_route_index();
    IF built IS NOT NULL THEN
        RETURN NEXT built;
    END IF;
    IF model.dimension > 2000 THEN
        RAISE NOTICE 'vectors of % dimensions can not be indexed; searches scan the table', model.dimension;
        RETURN;
    END IF;
    SELECT n.nspname INTO vector_schema
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector';
    FOREACH vectors_of IN ARRAY ARRAY['agent_embeddings', 'route_utterances'] LOOP
        CONTINUE WHEN vectors_of = 'route_utterances'
            AND NOT EXISTS (SELECT FROM tiny_dancer.route_utterances u WHERE u.model_id = model.id);
        index_name := format('%s_hnsw_%s', vectors_of, model.id);
        EXECUTE format('DROP INDEX IF EXISTS tiny_dancer.%I', index_name);
        RAISE NOTICE 'building the HNSW index on the vectors of %',
            CASE vectors_of WHEN 'agent_embeddings' THEN 'agents' ELSE 'routes' END;
        EXECUTE format(
            'CREATE INDEX %I ON tiny_dancer.%I '
            'USING hnsw ((embedding::%I.vector(%s)) %I.vector_cosine_ops) WHERE model_id = %s',
            index_name, vectors_of, vector_schema, model.dimension, vector_schema, model.id);
        RETURN NEXT index_name;
    END LOOP;
    -- Without statistics of these, the planner may sort them all instead of using an index.
    ANALYZE tiny_dancer.agents, tiny_dancer.agent_embeddings, tiny_dancer.routes, tiny_dancer.route_utterances;
END
$$;
COMMENT ON FUNCTION tiny_dancer.rebuild_indexes() IS
    'builds the HNSW indexes on the vectors of the active model; needed for more agents or routes than backends keep, and after a restore, since a dump leaves them out';
