-- Router models: what was learned from outcomes about which agent suits which request. Weights are raw 32-bit
-- floats with their shapes and a checksum; nothing is ever unpickled. A model stays as it was trained; only
-- which one is active changes.

CREATE TABLE tiny_dancer.router_models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    predictor text NOT NULL CHECK (pg_catalog.length(predictor) BETWEEN 1 AND 100),
    model_id bigint NOT NULL REFERENCES tiny_dancer.models ON DELETE CASCADE,
    seed integer NOT NULL CHECK (seed >= 0),
    agent_ids bigint[] NOT NULL CHECK (pg_catalog.cardinality(agent_ids) >= 1),
    agent_requests float8[] NOT NULL,
    agent_outcomes float8[] NOT NULL,
    agent_means float8[] NOT NULL,
    last_usage_id bigint NOT NULL DEFAULT 0,
    requests integer NOT NULL CHECK (requests > 0),
    outcomes integer NOT NULL CHECK (outcomes > 0),
    held_back integer NOT NULL CHECK (held_back >= 0),
    weights bytea NOT NULL,
    checksum text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
    metrics jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(metrics) = 'object'),
    prediction_us float8 CHECK (prediction_us >= 0 AND prediction_us < 'Infinity'),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by name NOT NULL DEFAULT CURRENT_USER,
    active boolean NOT NULL DEFAULT false,
    activated_at timestamptz,
    CHECK (NOT active OR activated_at IS NOT NULL)
);
ALTER TABLE tiny_dancer.router_models ALTER COLUMN weights SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX router_models_one_active ON tiny_dancer.router_models (active) WHERE active;
COMMENT ON TABLE tiny_dancer.router_models IS 'what was learned from outcomes, by version; at most one is active';
COMMENT ON COLUMN tiny_dancer.router_models.model_id IS 'the embedding model whose vectors it was trained on';
COMMENT ON COLUMN tiny_dancer.router_models.agent_ids IS 'whose quality it predicts, in the order of its heads';
COMMENT ON COLUMN tiny_dancer.router_models.agent_requests IS 'different requests that each agent was trained on';
COMMENT ON COLUMN tiny_dancer.router_models.agent_outcomes IS 'outcomes of each agent that it was trained on';
COMMENT ON COLUMN tiny_dancer.router_models.agent_means IS 'mean quality of each agent over these';
COMMENT ON COLUMN tiny_dancer.router_models.last_usage_id IS
    'the newest recorded outcome when it was trained from recorded outcomes, 0 where it was trained from a query';
COMMENT ON COLUMN tiny_dancer.router_models.requests IS 'different requests that it had learned from when it was judged';
COMMENT ON COLUMN tiny_dancer.router_models.held_back IS 'different requests that it was judged by, and learned from afterwards (models trained by 0.1.0 did not)';
COMMENT ON COLUMN tiny_dancer.router_models.weights IS 'weights with their shapes and checksums; see tiny_dancer.weights in the package';
COMMENT ON COLUMN tiny_dancer.router_models.checksum IS 'sha256 of the weights and of what says whose they are';
COMMENT ON COLUMN tiny_dancer.router_models.prediction_us IS 'microseconds of one prediction when it was trained';
COMMENT ON COLUMN tiny_dancer.router_models.activated_at IS 'when it was last made the active one';
REVOKE ALL ON tiny_dancer.router_models FROM PUBLIC;

-- Apart, since whoever routes has no use for them.
CREATE TABLE tiny_dancer.router_training_requests (
    router_model_id bigint PRIMARY KEY REFERENCES tiny_dancer.router_models ON DELETE CASCADE,
    request_keys bigint[] NOT NULL,
    judged_weights bytea
);
ALTER TABLE tiny_dancer.router_training_requests ALTER COLUMN judged_weights SET STORAGE EXTERNAL;
COMMENT ON TABLE tiny_dancer.router_training_requests IS
    'what a router model had learned from when it was judged; two models are compared as they were then';
COMMENT ON COLUMN tiny_dancer.router_training_requests.request_keys IS
    'the requests, as hashes of their embeddings, ascending';
COMMENT ON COLUMN tiny_dancer.router_training_requests.judged_weights IS
    'its weights before it learned from the requests held back, too; NULL where nothing was, and of models trained by 0.1.0';
REVOKE ALL ON tiny_dancer.router_training_requests FROM PUBLIC;

-- What a model expected of outcomes that were recorded with their request and without a decision. Of decisions it
-- is in tiny_dancer.decisions.
CREATE TABLE tiny_dancer.foreseen_outcomes (
    usage_id bigint NOT NULL,
    router_model_id bigint NOT NULL,
    quality real NOT NULL CHECK (quality BETWEEN 0 AND 1),
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX foreseen_outcomes_usage ON tiny_dancer.foreseen_outcomes (usage_id);
CREATE INDEX foreseen_outcomes_time ON tiny_dancer.foreseen_outcomes USING brin (recorded_at);
COMMENT ON TABLE tiny_dancer.foreseen_outcomes IS
    'quality that a router model expected of the agent of an outcome recorded without a decision';
REVOKE ALL ON tiny_dancer.foreseen_outcomes FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.router_models
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('router_models');
ALTER TABLE tiny_dancer.router_models ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.router_models
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('router_models');
ALTER TABLE tiny_dancer.router_models ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.router_models', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.router_models_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.router_training_requests', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.foreseen_outcomes', '');
