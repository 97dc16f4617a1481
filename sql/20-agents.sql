-- The registry. A removed agent stays as a row with removed_at, so that what it did and cost stays known; its
-- name registered again is a new row, a new agent.

CREATE TABLE tiny_dancer.agents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (pg_catalog.length(name) BETWEEN 1 AND 200 AND name = pg_catalog.btrim(name)),
    agent_type text NOT NULL CHECK (agent_type IN ('llm', 'tool', 'api', 'human', 'ensemble')),
    capabilities text[] NOT NULL DEFAULT '{}'
        CHECK (pg_catalog.array_position(capabilities, NULL) IS NULL
               AND pg_catalog.cardinality(capabilities) <= 200),
    -- NaN is greater than infinity in PostgreSQL, so the upper bounds keep both out; they also keep sums and
    -- products of prices, tokens and seconds finite.
    cost_per_1k_tokens float8 CHECK (cost_per_1k_tokens BETWEEN 0 AND 1e12),
    cost_per_1k_output_tokens float8 CHECK (cost_per_1k_output_tokens BETWEEN 0 AND 1e12),
    cost_per_call float8 CHECK (cost_per_call BETWEEN 0 AND 1e12),
    cost_per_second float8 CHECK (cost_per_second BETWEEN 0 AND 1e12),
    avg_latency_ms float8 CHECK (avg_latency_ms BETWEEN 0 AND 1e12),
    quality_score float8 CHECK (quality_score BETWEEN 0 AND 1),
    metadata jsonb NOT NULL DEFAULT '{}'
        CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'
               AND pg_catalog.length(metadata::text) <= 100000),
    pool text CHECK (pg_catalog.length(pool) BETWEEN 1 AND 200),
    weight float8 NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight <= 1e12),
    max_concurrent integer CHECK (max_concurrent > 0),
    tags text[] NOT NULL DEFAULT '{}'
        CHECK (pg_catalog.array_position(tags, NULL) IS NULL AND pg_catalog.cardinality(tags) <= 100),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    removed_at timestamptz,
    -- What decisions read of metadata must be what they take it for: one bad row would stop them all.
    CONSTRAINT agents_context_window CHECK (
        CASE pg_catalog.jsonb_typeof(metadata -> 'context_window')
            WHEN 'number' THEN (metadata -> 'context_window')::numeric > 0
                               AND (metadata -> 'context_window')::numeric <= 1e12
            ELSE coalesce(pg_catalog.jsonb_typeof(metadata -> 'context_window') = 'null', true)
        END
    ),
    CONSTRAINT agents_members CHECK (
        agent_type <> 'ensemble'
        OR metadata -> 'members' IS NULL  -- then it is never available
        OR (pg_catalog.jsonb_typeof(metadata -> 'members') = 'array'
            AND NOT pg_catalog.jsonb_path_exists(
                metadata, 'strict $.members[*] ? (@.type() <> "string")', '{}', true))
    )
);
CREATE UNIQUE INDEX agents_living_name ON tiny_dancer.agents (name) WHERE removed_at IS NULL;
COMMENT ON TABLE tiny_dancer.agents IS 'registered agents, the living (removed_at is null) and the removed';
COMMENT ON COLUMN tiny_dancer.agents.cost_per_1k_tokens IS
    'dollars for 1,000 tokens, output too unless cost_per_1k_output_tokens is given';
COMMENT ON COLUMN tiny_dancer.agents.quality_score IS 'registered prior in [0,1]';
REVOKE ALL ON tiny_dancer.agents FROM PUBLIC;

-- The vectors of what agents can do. Each names its model, since vectors of two models are never compared, and
-- has that model's dimension.
CREATE TABLE tiny_dancer.agent_embeddings (
    agent_id bigint NOT NULL REFERENCES tiny_dancer.agents ON DELETE CASCADE,
    model_id bigint NOT NULL,
    embedding vector NOT NULL CHECK (pg_catalog.abs(vector_norm(embedding) OPERATOR(pg_catalog.-) 1) OPERATOR(pg_catalog.<) 0.001),
    given boolean NOT NULL DEFAULT false,
    dimension integer NOT NULL GENERATED ALWAYS AS (vector_dims(embedding)) STORED,
    PRIMARY KEY (agent_id, model_id),
    FOREIGN KEY (model_id, dimension) REFERENCES tiny_dancer.models (id, dimension) ON DELETE CASCADE
);
COMMENT ON TABLE tiny_dancer.agent_embeddings IS 'unit vectors of the capabilities of agents, by model';
COMMENT ON COLUMN tiny_dancer.agent_embeddings.given IS
    'the caller gave the vector, so it can not be made again with another model';
REVOKE ALL ON tiny_dancer.agent_embeddings FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.agents
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.agents ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.agents
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.agents ENABLE ALWAYS TRIGGER advance_epoch_again;
CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.agent_embeddings
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.agent_embeddings ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.agent_embeddings
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.agent_embeddings ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.agents', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.agents_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.agent_embeddings', '');
