\echo Use "CREATE EXTENSION tiny_dancer" to load this file. \quit
SET LOCAL search_path TO pg_catalog, pg_temp;

-- sql/00-schema.sql

-- The fixed schema of tables and internal functions. Functions that users call by name go into the schema
-- that the installer chooses, @extschema@.
-- Everything here is created without OR REPLACE and IF NOT EXISTS, so that nothing that somebody planted
-- beforehand is adopted.

CREATE SCHEMA tiny_dancer;
COMMENT ON SCHEMA tiny_dancer IS 'tables and internal functions of the tiny_dancer extension';
REVOKE ALL ON SCHEMA tiny_dancer FROM PUBLIC;

-- sql/05-epochs.sql

-- An epoch for each kind of thing that backends keep a copy of. A statement that changes such a thing moves
-- the epoch first (BEFORE, so that writers queue here and can not deadlock) and once more when it is done
-- (AFTER, since a decision made inside the statement saw the first new epoch and the old rows). The value
-- comes from a sequence, so one that was rolled back is never used again.

CREATE SEQUENCE tiny_dancer.epoch_values AS bigint;
COMMENT ON SEQUENCE tiny_dancer.epoch_values IS 'source of epochs; a value is never used twice';
-- Nor is it after the extension was dropped and created again: a session may live through both.
SELECT pg_catalog.setval(
    'tiny_dancer.epoch_values',
    (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint
);

CREATE TABLE tiny_dancer.epochs (
    kind text PRIMARY KEY,
    epoch bigint NOT NULL
);
COMMENT ON TABLE tiny_dancer.epochs IS 'the present epoch of each kind of thing that backends cache';
REVOKE ALL ON tiny_dancer.epochs FROM PUBLIC;

INSERT INTO tiny_dancer.epochs (kind, epoch)
SELECT kind, pg_catalog.nextval('tiny_dancer.epoch_values')
FROM pg_catalog.unnest(ARRAY['agents', 'classifiers', 'models', 'router_models', 'routes', 'settings']) AS kind;

CREATE FUNCTION tiny_dancer.advance_epoch() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tiny_dancer.epochs SET epoch = nextval('tiny_dancer.epoch_values') WHERE kind = TG_ARGV[0];
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.advance_epoch() IS 'trigger: moves the epoch of the kind named by its argument';

-- sql/10-settings.sql

CREATE TABLE tiny_dancer.settings (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z_0-9]{0,62}$'),
    value text NOT NULL CHECK (pg_catalog.length(value) BETWEEN 1 AND 200)
);
COMMENT ON TABLE tiny_dancer.settings IS
    'settings that differ from their defaults; change them with tiny_dancer.set(), see tiny_dancer.list_settings()';
REVOKE ALL ON tiny_dancer.settings FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.settings
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('settings');
ALTER TABLE tiny_dancer.settings ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.settings
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('settings');
ALTER TABLE tiny_dancer.settings ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.settings', '');

-- sql/15-models.sql

-- The embedding models that this database knows. The file of a model is found by its name under the folder
-- that the server's installation fixes; no path is stored.

CREATE TABLE tiny_dancer.models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
    provider text NOT NULL CHECK (provider IN ('onnx', 'static', 'service', 'external', 'hashing')),
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 16000),
    checksum text CHECK (checksum ~ '^[0-9a-f]{64}$'),
    active boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE (id, dimension),
    CHECK ((provider IN ('onnx', 'static', 'service')) = (checksum IS NOT NULL))
);
CREATE UNIQUE INDEX models_one_active ON tiny_dancer.models (active) WHERE active;
COMMENT ON TABLE tiny_dancer.models IS 'embedding models; at most one is active, and every stored vector names its model';
COMMENT ON COLUMN tiny_dancer.models.checksum IS 'of what decides the vectors of the model, NULL where nothing but its name does';
REVOKE ALL ON tiny_dancer.models FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.models
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('models');
ALTER TABLE tiny_dancer.models ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.models
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('models');
ALTER TABLE tiny_dancer.models ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.models', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.models_id_seq', '');

-- sql/20-agents.sql

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
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE TABLE tiny_dancer.agent_embeddings (
    agent_id bigint NOT NULL REFERENCES tiny_dancer.agents ON DELETE CASCADE,
    model_id bigint NOT NULL,
    embedding vector NOT NULL CHECK (pg_catalog.abs(vector_norm(embedding) OPERATOR(pg_catalog.-) 1) OPERATOR(pg_catalog.<) 0.001),
    given boolean NOT NULL DEFAULT false,
    dimension integer NOT NULL GENERATED ALWAYS AS (vector_dims(embedding)) STORED,
    PRIMARY KEY (agent_id, model_id),
    FOREIGN KEY (model_id, dimension) REFERENCES tiny_dancer.models (id, dimension) ON DELETE CASCADE
);
SET LOCAL search_path TO pg_catalog, pg_temp;
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

-- sql/25-vectors.sql

-- pgvector's functions, bound when the extension is created: they work with any search_path and in whichever
-- schema vector lives, and go on when it is moved.

SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE FUNCTION tiny_dancer.vector_bytes(embedding vector) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT vector_send(embedding);
END;
SET LOCAL search_path TO pg_catalog, pg_temp;
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
COMMENT ON FUNCTION tiny_dancer.vector_bytes(vector) IS
    'binary form of a vector: two 16-bit numbers, then its elements as big-endian 32-bit floats';
SET LOCAL search_path TO pg_catalog, pg_temp;

SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE FUNCTION tiny_dancer.halfvec_bytes(embedding halfvec) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT halfvec_send(embedding);
END;
SET LOCAL search_path TO pg_catalog, pg_temp;
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
COMMENT ON FUNCTION tiny_dancer.halfvec_bytes(halfvec) IS
    'binary form of a half-precision vector: two 16-bit numbers, then its elements as big-endian 16-bit floats';
SET LOCAL search_path TO pg_catalog, pg_temp;

SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE FUNCTION tiny_dancer.to_vector(elements real[]) RETURNS vector
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT elements::vector;
END;
SET LOCAL search_path TO pg_catalog, pg_temp;
COMMENT ON FUNCTION tiny_dancer.to_vector(real[]) IS 'vector of the elements';

SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE FUNCTION tiny_dancer.to_halfvec(elements real[]) RETURNS halfvec
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT elements::halfvec;
END;
SET LOCAL search_path TO pg_catalog, pg_temp;
COMMENT ON FUNCTION tiny_dancer.to_halfvec(real[]) IS 'half-precision vector of the elements';

-- sql/26-aliases.sql

CREATE TABLE tiny_dancer.capability_aliases (
    alias text PRIMARY KEY CHECK (alias = pg_catalog.lower(pg_catalog.btrim(alias)) AND alias <> ''),
    capability text NOT NULL CHECK (pg_catalog.btrim(capability) <> '')
);
COMMENT ON TABLE tiny_dancer.capability_aliases IS
    'other names of capabilities; a required capability is met by an agent that has either';
REVOKE ALL ON tiny_dancer.capability_aliases FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.capability_aliases
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.capability_aliases ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.capability_aliases
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('agents');
ALTER TABLE tiny_dancer.capability_aliases ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.capability_aliases', '');

-- sql/30-decisions.sql

-- What was decided, written only when a caller asks for it (record := true). Append-only for those who use
-- the router.
-- The parent of the partitions has no key and no index of its own: a dump could not bring back partitions
-- that are made at run time under an extension's table that has them.

CREATE TABLE tiny_dancer.decisions (
    id uuid NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    agent_id bigint NOT NULL,
    optimize_for text NOT NULL,
    routed_by text NOT NULL,
    route_name text,
    tags text[] NOT NULL DEFAULT '{}',
    input_tokens integer NOT NULL CHECK (input_tokens > 0),
    estimated_cost float8,
    candidates bigint[] NOT NULL,
    expected_quality real[] NOT NULL,
    propensities real[],
    propensity real NOT NULL DEFAULT 1 CHECK (propensity > 0 AND propensity <= 1),
    request text,
    router_model_id bigint,
    learned_quality real[]
) PARTITION BY RANGE (decided_at);
COMMENT ON TABLE tiny_dancer.decisions IS
    'recorded decisions: candidates and their expected quality, the chosen agent, its propensity';
COMMENT ON COLUMN tiny_dancer.decisions.agent_id IS 'the chosen agent; rows of agents are never deleted';
COMMENT ON COLUMN tiny_dancer.decisions.candidates IS 'ids of the agents that passed every constraint';
COMMENT ON COLUMN tiny_dancer.decisions.expected_quality IS 'of each candidate, in the same order';
COMMENT ON COLUMN tiny_dancer.decisions.propensities IS
    'probability with which each candidate could have been chosen; NULL where nothing was explored';
COMMENT ON COLUMN tiny_dancer.decisions.propensity IS 'probability with which the chosen agent was chosen';
COMMENT ON COLUMN tiny_dancer.decisions.request IS 'NULL unless the setting store_request_text is on';
COMMENT ON COLUMN tiny_dancer.decisions.router_model_id IS 'the router model that was active; NULL without one';
COMMENT ON COLUMN tiny_dancer.decisions.learned_quality IS
    'of each candidate by that model alone, before what came in since it was trained; NaN where it knows nothing';
REVOKE ALL ON tiny_dancer.decisions FROM PUBLIC;

CREATE TABLE tiny_dancer.decisions_default PARTITION OF tiny_dancer.decisions DEFAULT;
CREATE INDEX decisions_default_id ON tiny_dancer.decisions_default (id);
CREATE INDEX decisions_default_time ON tiny_dancer.decisions_default USING brin (decided_at);
COMMENT ON TABLE tiny_dancer.decisions_default IS 'decisions of times that have no partition of their own';
REVOKE ALL ON tiny_dancer.decisions_default FROM PUBLIC;

-- What the requests meant. As sensitive as their text, so apart: a grant and a retention of its own.
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE TABLE tiny_dancer.request_vectors (
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    decision_id uuid,
    usage_id bigint,
    model_id bigint NOT NULL,
    embedding halfvec NOT NULL,
    features real[],
    CHECK ((decision_id IS NULL) OPERATOR(pg_catalog.<>) (usage_id IS NULL))
);
SET LOCAL search_path TO pg_catalog, pg_temp;
CREATE INDEX request_vectors_decision ON tiny_dancer.request_vectors (decision_id) WHERE decision_id IS NOT NULL;
CREATE INDEX request_vectors_usage ON tiny_dancer.request_vectors (usage_id) WHERE usage_id IS NOT NULL;
CREATE INDEX request_vectors_time ON tiny_dancer.request_vectors USING brin (recorded_at);
COMMENT ON TABLE tiny_dancer.request_vectors IS
    'embeddings and lexical features of recorded requests, by decision or, without one, by usage';
COMMENT ON COLUMN tiny_dancer.request_vectors.features IS 'lexical features; NULL where the text was not known';
REVOKE ALL ON tiny_dancer.request_vectors FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.decisions', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.decisions_default', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.request_vectors', '');

-- sql/31-usage.sql

-- The ledger of what agents did and cost. Append-only for those who use the router: they may insert the columns
-- granted to them (never the id or the time) and change or delete nothing.
-- No foreign keys: checking one would lock the agent's row for every outcome, and every session that records
-- for one agent would queue at it. Rows of agents are never deleted.

CREATE SEQUENCE tiny_dancer.usage_ids AS bigint;
COMMENT ON SEQUENCE tiny_dancer.usage_ids IS 'ids of rows of tiny_dancer.usage';
REVOKE ALL ON SEQUENCE tiny_dancer.usage_ids FROM PUBLIC;

-- Limits of values are those of domains, which a backend reads once. Checks of the table would be parsed anew for
-- each outcome and take half of its time.
-- Bounded far above what there is, so that no sum ever overflows.
CREATE DOMAIN tiny_dancer.dollars AS float8 CHECK (VALUE BETWEEN 0 AND 1e12);
COMMENT ON DOMAIN tiny_dancer.dollars IS 'an amount of money of at least 0 and at most 10^12';
CREATE DOMAIN tiny_dancer.milliseconds AS float8 CHECK (VALUE BETWEEN 0 AND 1e12);
COMMENT ON DOMAIN tiny_dancer.milliseconds IS 'a duration of at least 0 and at most 10^12';
CREATE DOMAIN tiny_dancer.unit_interval AS float8 CHECK (VALUE BETWEEN 0 AND 1);
COMMENT ON DOMAIN tiny_dancer.unit_interval IS 'a number in [0,1]';
CREATE DOMAIN tiny_dancer.token_count AS integer CHECK (VALUE >= 0);
COMMENT ON DOMAIN tiny_dancer.token_count IS 'a number of tokens of at least 0';
CREATE DOMAIN tiny_dancer.request_tags AS text[]
    CHECK (pg_catalog.array_position(VALUE, NULL) IS NULL AND pg_catalog.cardinality(VALUE) <= 100);
COMMENT ON DOMAIN tiny_dancer.request_tags IS 'at most 100 labels of a request, none of them NULL';
CREATE DOMAIN tiny_dancer.idempotency_key AS text CHECK (pg_catalog.length(VALUE) BETWEEN 1 AND 200);
COMMENT ON DOMAIN tiny_dancer.idempotency_key IS 'what a client that retries tells an outcome by';

CREATE TABLE tiny_dancer.usage (
    id bigint NOT NULL DEFAULT pg_catalog.nextval('tiny_dancer.usage_ids'),
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    agent_id bigint NOT NULL,
    cost tiny_dancer.dollars NOT NULL,
    success boolean NOT NULL,
    latency_ms tiny_dancer.milliseconds,
    quality tiny_dancer.unit_interval,
    input_tokens tiny_dancer.token_count,
    output_tokens tiny_dancer.token_count,
    tags tiny_dancer.request_tags NOT NULL DEFAULT '{}',
    decision_id uuid,
    route_name text,
    reservation_id uuid,
    idempotency_key tiny_dancer.idempotency_key,
    request text
) PARTITION BY RANGE (recorded_at);
COMMENT ON TABLE tiny_dancer.usage IS 'what agents did and cost, one row for each recorded outcome';
COMMENT ON COLUMN tiny_dancer.usage.cost IS 'dollars';
COMMENT ON COLUMN tiny_dancer.usage.quality IS 'in [0,1]; what comes later is in tiny_dancer.feedback';
COMMENT ON COLUMN tiny_dancer.usage.reservation_id IS 'the reservation of a budget that this outcome settles';
COMMENT ON COLUMN tiny_dancer.usage.recorded_at IS
    'a row that brings a time of the past along (from a dump, or imported) is charged to no budget';
COMMENT ON COLUMN tiny_dancer.usage.request IS 'NULL unless the setting store_request_text is on';
REVOKE ALL ON tiny_dancer.usage FROM PUBLIC;

CREATE TABLE tiny_dancer.usage_default PARTITION OF tiny_dancer.usage DEFAULT;
CREATE INDEX usage_default_id ON tiny_dancer.usage_default (id);
CREATE INDEX usage_default_time ON tiny_dancer.usage_default (recorded_at);
CREATE INDEX usage_default_agent ON tiny_dancer.usage_default (agent_id, recorded_at);
CREATE INDEX usage_default_decision ON tiny_dancer.usage_default (decision_id) WHERE decision_id IS NOT NULL;
COMMENT ON TABLE tiny_dancer.usage_default IS 'outcomes of times that have no partition of their own';
REVOKE ALL ON tiny_dancer.usage_default FROM PUBLIC;

-- Clients retry. A key is remembered in a small table of its own, so that the ledger needs no unique index.
-- Only the trigger on the ledger writes here: who could plant a key could make an outcome vanish.
CREATE TABLE tiny_dancer.usage_keys (
    key text PRIMARY KEY CHECK (pg_catalog.length(key) BETWEEN 1 AND 200),
    usage_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX usage_keys_time ON tiny_dancer.usage_keys USING brin (recorded_at);
COMMENT ON TABLE tiny_dancer.usage_keys IS 'idempotency keys of recorded outcomes';
REVOKE ALL ON tiny_dancer.usage_keys FROM PUBLIC;

-- Quality that arrives later. The newest row of an outcome counts.
CREATE TABLE tiny_dancer.feedback (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    usage_id bigint,
    decision_id uuid,
    quality float8 NOT NULL CHECK (quality BETWEEN 0 AND 1),
    given_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CHECK ((decision_id IS NULL) <> (usage_id IS NULL))
);
CREATE INDEX feedback_usage ON tiny_dancer.feedback (usage_id) WHERE usage_id IS NOT NULL;
CREATE INDEX feedback_decision ON tiny_dancer.feedback (decision_id) WHERE decision_id IS NOT NULL;
CREATE INDEX feedback_time ON tiny_dancer.feedback USING brin (given_at);
COMMENT ON TABLE tiny_dancer.feedback IS 'quality of outcomes that was given after they were recorded';
REVOKE ALL ON tiny_dancer.feedback FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.usage', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.usage_default', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.usage_ids', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.usage_keys', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.feedback', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.feedback_id_seq', '');

-- sql/32-budgets.sql

-- Budgets, and what is held and spent of them.
-- There is no counter: a counter is a row that every recording session waits for, and two transactions that
-- record for two agents in different order would deadlock on it. Spend is rows that are only added, so whoever
-- records waits for nobody; from time to time rows of one window are replaced by their sum. Only admission takes a
-- lock, on the budgets it concerns, in the order of their ids.
-- Amounts are numeric: sums of float8 drift, and ten times 0.1 would not fit a limit of 1.

CREATE TABLE tiny_dancer.budgets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_name text CHECK (pg_catalog.length(agent_name) BETWEEN 1 AND 200),
    tag text CHECK (pg_catalog.length(tag) BETWEEN 1 AND 200),
    scope text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN agent_name IS NOT NULL THEN 'agent:' || agent_name
             WHEN tag IS NOT NULL THEN 'tag:' || tag
             ELSE 'overall' END) STORED,
    period text NOT NULL CHECK (period IN ('hour', 'day', 'month')),
    limit_amount numeric NOT NULL CHECK (limit_amount >= 0 AND limit_amount < 'Infinity'),
    time_zone text NOT NULL DEFAULT 'UTC',
    opened_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CHECK (agent_name IS NULL OR tag IS NULL),
    CONSTRAINT budgets_scope_period UNIQUE (scope, period)
);
COMMENT ON TABLE tiny_dancer.budgets IS
    'limits of spend in dollars per hour, day or month, of an agent''s name, of a tag, or overall';
COMMENT ON COLUMN tiny_dancer.budgets.agent_name IS
    'a name and not an agent: removing an agent and registering its name again erases no spend';
COMMENT ON COLUMN tiny_dancer.budgets.opened_at IS
    'when what had been spent before was counted; a row that brings it along (from a dump) is not opened again';
REVOKE ALL ON tiny_dancer.budgets FROM PUBLIC;

CREATE TABLE tiny_dancer.budget_charges (
    budget_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
    overshoot numeric NOT NULL DEFAULT 0 CHECK (overshoot >= 0 AND overshoot < 'Infinity')
);
CREATE INDEX budget_charges_window ON tiny_dancer.budget_charges (budget_id, window_start);
COMMENT ON TABLE tiny_dancer.budget_charges IS 'what was spent of budgets, by window; rows of one window may be merged';
COMMENT ON COLUMN tiny_dancer.budget_charges.overshoot IS 'by how much actual costs exceeded their reservations';
REVOKE ALL ON tiny_dancer.budget_charges FROM PUBLIC;

CREATE TABLE tiny_dancer.reservations (
    id uuid PRIMARY KEY,
    agent_name text NOT NULL,
    tags text[] NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
    reserved_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'settled', 'released')),
    actual_cost numeric CHECK (actual_cost >= 0 AND actual_cost < 'Infinity'),
    ended_at timestamptz,
    usage_id bigint,
    CHECK ((state = 'held') = (ended_at IS NULL)),
    CHECK ((state = 'settled') = (actual_cost IS NOT NULL))
);
CREATE INDEX reservations_ended ON tiny_dancer.reservations (ended_at) WHERE usage_id IS NULL;
CREATE INDEX reservations_held ON tiny_dancer.reservations (expires_at) WHERE state = 'held';
COMMENT ON TABLE tiny_dancer.reservations IS 'amounts set aside before an agent is called, and how they ended';
COMMENT ON COLUMN tiny_dancer.reservations.usage_id IS 'the first outcome that named the reservation';
REVOKE ALL ON tiny_dancer.reservations FROM PUBLIC;

CREATE TABLE tiny_dancer.budget_holds (
    reservation_id uuid NOT NULL,
    budget_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (reservation_id, budget_id)
);
CREATE INDEX budget_holds_window ON tiny_dancer.budget_holds (budget_id, window_start, expires_at);
COMMENT ON TABLE tiny_dancer.budget_holds IS
    'what reservations hold of each budget; an expired hold counts no more, whether it still stands here or not';
REVOKE ALL ON tiny_dancer.budget_holds FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budgets', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budgets_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budget_charges', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.reservations', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.budget_holds', '');

-- sql/33-rollups.sql

-- Sums of the ledger by hour and by day, so that analytics over months need not read every outcome.
-- tiny_dancer.maintain() makes them. They are never needed: whatever is not rolled up is read from the ledger.
-- The names begin with usage_r, so that a dump brings the rows of these tables back after those of the ledger and its
-- partitions: outcomes that are restored count as late ones only where sums of their hour are there already.

CREATE TABLE tiny_dancer.usage_rollups (
    period text NOT NULL CHECK (period IN ('hour', 'day')),
    began timestamptz NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('agent', 'route', 'tag')),
    agent_id bigint,
    label text,
    requests bigint NOT NULL CHECK (requests > 0),
    successes bigint NOT NULL,
    cost float8 NOT NULL,
    latencies bigint NOT NULL,
    latency_total float8,
    compared bigint NOT NULL,
    compared_cost float8,
    input_tokens bigint,
    output_tokens bigint,
    buckets integer[],
    bucket_counts bigint[],
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    CHECK (pg_catalog.cardinality(buckets) = pg_catalog.cardinality(bucket_counts)),
    CHECK ((dimension = 'agent') = (agent_id IS NOT NULL))
);
CREATE INDEX usage_rollups_period ON tiny_dancer.usage_rollups (dimension, period, began);
COMMENT ON TABLE tiny_dancer.usage_rollups IS
    'sums of outcomes by hour and day of UTC, for each agent, each route and each tag';
COMMENT ON COLUMN tiny_dancer.usage_rollups.label IS 'the route (NULL: outcomes without one) or the tag';
COMMENT ON COLUMN tiny_dancer.usage_rollups.compared IS
    'outcomes whose tokens are known; compared_cost, input_tokens and output_tokens are sums over them';
COMMENT ON COLUMN tiny_dancer.usage_rollups.buckets IS
    'histogram of latencies: see tiny_dancer.latency_bucket(); bucket_counts in the same order';
REVOKE ALL ON tiny_dancer.usage_rollups FROM PUBLIC;

CREATE TABLE tiny_dancer.usage_rollup_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    rolled_from timestamptz NOT NULL DEFAULT '-infinity',
    rolled_until timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE tiny_dancer.usage_rollup_state IS
    'outcomes before rolled_until are summed up in tiny_dancer.usage_rollups, but for stale hours';
COMMENT ON COLUMN tiny_dancer.usage_rollup_state.rolled_from IS
    'outcomes before this time were deleted by retention, so that their sums can not be made again';
REVOKE ALL ON tiny_dancer.usage_rollup_state FROM PUBLIC;

CREATE TABLE tiny_dancer.usage_rollup_stale (
    began timestamptz PRIMARY KEY
);
COMMENT ON TABLE tiny_dancer.usage_rollup_stale IS
    'hours that got outcomes after they were summed up: they are read from the ledger until they are summed up again';
REVOKE ALL ON tiny_dancer.usage_rollup_stale FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.usage_rollups', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.usage_rollup_state', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.usage_rollup_stale', '');

-- Sums are added up with locks of their own, which a transaction holds until its end: 0 is maintenance itself, 1
-- keeps outcomes of the past out while hours are summed up.
CREATE FUNCTION tiny_dancer.rollup_lock() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (pg_catalog.hashtext('tiny_dancer.usage_rollups'));
END;
COMMENT ON FUNCTION tiny_dancer.rollup_lock() IS 'internal: first key of the advisory locks of maintenance';

CREATE FUNCTION tiny_dancer.note_late_outcome(recorded_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(tiny_dancer.rollup_lock(), 1);
    -- FOR SHARE, so that a transaction with an older snapshot fails instead of missing what was summed up since.
    INSERT INTO tiny_dancer.usage_rollup_stale (began)
    SELECT date_trunc('hour', note_late_outcome.recorded_at, 'UTC')
    FROM tiny_dancer.usage_rollup_state s
    WHERE note_late_outcome.recorded_at >= s.rolled_from AND note_late_outcome.recorded_at < s.rolled_until
    FOR SHARE OF s
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION tiny_dancer.note_late_outcome(timestamptz) IS
    'internal: has the hour of an outcome of the past summed up again';

-- Only the owner can get here: nobody else may change the ledger.
CREATE FUNCTION tiny_dancer.forget_rollups() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tiny_dancer.usage_rollup_state SET rolled_until = rolled_from;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.forget_rollups() IS
    'trigger: whoever changes the ledger by hand has all of it summed up again';
CREATE TRIGGER forget_rollups BEFORE UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.usage
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.forget_rollups();

-- sql/34-classifiers.sql

-- Trained classifiers. Weights are raw 32-bit floats with their shapes and a checksum; nothing is ever unpickled.

CREATE TABLE tiny_dancer.classifiers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (pg_catalog.length(name) BETWEEN 1 AND 200),
    model_id bigint NOT NULL REFERENCES tiny_dancer.models ON DELETE CASCADE,
    multi_label boolean NOT NULL,
    classes text[] NOT NULL CHECK (pg_catalog.cardinality(classes) >= 1),
    weights bytea NOT NULL,
    metrics jsonb NOT NULL,
    trained_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    active boolean NOT NULL DEFAULT false,
    from_starting_corpus boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX classifiers_one_active ON tiny_dancer.classifiers (name) WHERE active;
COMMENT ON TABLE tiny_dancer.classifiers IS 'trained classifiers of requests, of each name at most one active';
COMMENT ON COLUMN tiny_dancer.classifiers.model_id IS 'the embedding model whose vectors it was trained on';
COMMENT ON COLUMN tiny_dancer.classifiers.from_starting_corpus IS
    'trained by tiny_dancer.setup() from the texts that come with the extension';
COMMENT ON COLUMN tiny_dancer.classifiers.weights IS 'weights with their shapes and checksum; see tiny_dancer.weights in the package';
REVOKE ALL ON tiny_dancer.classifiers FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.classifiers
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('classifiers');
ALTER TABLE tiny_dancer.classifiers ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.classifiers
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('classifiers');
ALTER TABLE tiny_dancer.classifiers ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.classifiers', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.classifiers_id_seq', '');

-- sql/35-routes.sql

-- Semantic routes: what requests mean that should go to an agent. The target is a name, since routes may be
-- made before the agents they lead to.

CREATE TABLE tiny_dancer.routes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
        CHECK (pg_catalog.length(name) BETWEEN 1 AND 200 AND name = pg_catalog.btrim(name)),
    description text NOT NULL CHECK (pg_catalog.btrim(description) <> ''),
    target_agent text NOT NULL CHECK (pg_catalog.length(target_agent) BETWEEN 1 AND 200),
    priority integer NOT NULL DEFAULT 0,
    threshold float8 CHECK (threshold BETWEEN -1 AND 1),
    conditions jsonb CHECK (pg_catalog.jsonb_typeof(conditions) = 'object'),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE tiny_dancer.routes IS 'semantic routes';
COMMENT ON COLUMN tiny_dancer.routes.target_agent IS 'name of the agent that takes the requests; it may be unknown';
COMMENT ON COLUMN tiny_dancer.routes.threshold IS 'least cosine similarity of a match, NULL for the default';
REVOKE ALL ON tiny_dancer.routes FROM PUBLIC;

-- The vectors that a route is known by. A row is never updated: backends and indexes know a vector by its id.
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE TABLE tiny_dancer.route_utterances (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    route_id bigint NOT NULL REFERENCES tiny_dancer.routes ON DELETE CASCADE,
    utterance text,
    model_id bigint NOT NULL REFERENCES tiny_dancer.models ON DELETE CASCADE,
    embedding vector NOT NULL,
    given boolean NOT NULL DEFAULT false,
    CHECK (NOT given OR utterance IS NULL)
);
SET LOCAL search_path TO pg_catalog, pg_temp;
CREATE INDEX route_utterances_route ON tiny_dancer.route_utterances (route_id);
COMMENT ON TABLE tiny_dancer.route_utterances IS 'unit vectors of semantic routes, by model';
COMMENT ON COLUMN tiny_dancer.route_utterances.utterance IS
    'the text of the vector; NULL where the vector is of the description, or was given';
COMMENT ON COLUMN tiny_dancer.route_utterances.given IS
    'the caller gave the vector, so it can not be made again with another model';
REVOKE ALL ON tiny_dancer.route_utterances FROM PUBLIC;

CREATE FUNCTION tiny_dancer.refuse_vector_update() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'a vector of a route can not be updated'
        USING ERRCODE = '55000', HINT = 'Delete the row and insert another, or create the route again.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.refuse_vector_update() IS 'trigger: indexes know a vector by its id, so it never changes';
CREATE TRIGGER refuse_vector_update BEFORE UPDATE ON tiny_dancer.route_utterances
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.refuse_vector_update();
ALTER TABLE tiny_dancer.route_utterances ENABLE ALWAYS TRIGGER refuse_vector_update;

-- The passes that a rate limit counts, in the window that began with the first of them. Usage roles write here
-- only through tiny_dancer.take_route_pass().
CREATE TABLE tiny_dancer.route_passes (
    route_id bigint PRIMARY KEY REFERENCES tiny_dancer.routes ON DELETE CASCADE,
    window_start timestamptz NOT NULL,
    passed bigint NOT NULL CHECK (passed > 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE tiny_dancer.route_passes IS 'how often routes with a rate limit were taken in their present window';
REVOKE ALL ON tiny_dancer.route_passes FROM PUBLIC;

-- Indexes of hnswlib, built by tiny_dancer.rebuild_indexes() and loaded by backends. Native code reads them, so
-- nobody but the owner may write them.
CREATE TABLE tiny_dancer.route_indexes (
    model_id bigint PRIMARY KEY REFERENCES tiny_dancer.models ON DELETE CASCADE,
    built_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    vectors bigint NOT NULL CHECK (vectors > 0),
    checksum text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
    graph bytea NOT NULL
);
ALTER TABLE tiny_dancer.route_indexes ALTER COLUMN graph SET STORAGE EXTERNAL;
COMMENT ON TABLE tiny_dancer.route_indexes IS 'hnswlib indexes over the vectors of routes, by model';
REVOKE ALL ON tiny_dancer.route_indexes FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.routes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.routes ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.routes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.routes ENABLE ALWAYS TRIGGER advance_epoch_again;
CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_utterances
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_utterances ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_utterances
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_utterances ENABLE ALWAYS TRIGGER advance_epoch_again;
CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_indexes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_indexes ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_indexes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_indexes ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.routes', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.routes_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_utterances', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_utterances_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_passes', '');

-- sql/35-slots.sql

-- Who works on what at the moment. All of it is live state: it says nothing once the server has been dumped and
-- restored elsewhere, so a dump leaves it out and a restored server begins with every slot free.
-- No foreign keys, for the reason that tiny_dancer.usage has none.

-- The row of an agent is what takers of its slots queue at. It is updated with every lease, so a transaction
-- with an older snapshot gets 40001 instead of a slot too many.
CREATE TABLE tiny_dancer.agent_slots (
    agent_id bigint PRIMARY KEY,
    leases_taken bigint NOT NULL DEFAULT 0 CHECK (leases_taken >= 0)
);
COMMENT ON TABLE tiny_dancer.agent_slots IS 'the row that takers of an agent''s slots lock; how many leases it ever gave';
REVOKE ALL ON tiny_dancer.agent_slots FROM PUBLIC;

CREATE TABLE tiny_dancer.leases (
    id uuid PRIMARY KEY,
    agent_id bigint NOT NULL,
    acquired_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > acquired_at AND expires_at < 'infinity'),
    is_probe boolean NOT NULL
);
CREATE INDEX leases_agent ON tiny_dancer.leases (agent_id, expires_at);
COMMENT ON TABLE tiny_dancer.leases IS 'slots that are held; one whose time has passed is free again';
COMMENT ON COLUMN tiny_dancer.leases.id IS 'who knows it may renew and release the lease, so it is shown to administrators only';
COMMENT ON COLUMN tiny_dancer.leases.is_probe IS 'the one lease that a half-open circuit breaker let through';
REVOKE ALL ON tiny_dancer.leases FROM PUBLIC;

-- sql/36-breakers.sql

-- What the circuit breakers rest on: a ledger that is only appended to. Recording an outcome locks nothing, so
-- it never waits for another session and never deadlocks; the state is worked out when it is read, by
-- tiny_dancer.breaker_state(), and is the same for every session and on every standby. Successes are not noted
-- here: where they matter, they are found in tiny_dancer.usage.
-- Live state like the leases: a dump leaves it out.

CREATE TABLE tiny_dancer.breaker_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id bigint NOT NULL,
    happened_at timestamptz NOT NULL,
    event text NOT NULL CHECK (event IN ('failure', 'opened', 'closed')),
    retry_at timestamptz CHECK (retry_at >= happened_at AND retry_at < 'infinity'),
    openings integer CHECK (openings > 0),
    CHECK ((event = 'opened') = (retry_at IS NOT NULL)),
    CHECK ((event = 'opened') = (openings IS NOT NULL))
);
CREATE INDEX breaker_events_agent ON tiny_dancer.breaker_events (agent_id, happened_at, id);
CREATE INDEX breaker_events_transitions ON tiny_dancer.breaker_events (agent_id, happened_at, id)
    WHERE event IN ('opened', 'closed');
COMMENT ON TABLE tiny_dancer.breaker_events IS
    'failures that count for a circuit breaker, and its changes of state; see tiny_dancer.breaker_state()';
COMMENT ON COLUMN tiny_dancer.breaker_events.retry_at IS 'when the breaker that opened becomes half-open';
COMMENT ON COLUMN tiny_dancer.breaker_events.openings IS 'how often in a row it opened without having closed';
REVOKE ALL ON tiny_dancer.breaker_events FROM PUBLIC;

-- sql/36-router-models.sql

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
COMMENT ON COLUMN tiny_dancer.router_models.requests IS 'different requests that it was trained on';
COMMENT ON COLUMN tiny_dancer.router_models.held_back IS 'different requests that it was judged by and not trained on';
COMMENT ON COLUMN tiny_dancer.router_models.weights IS 'weights with their shapes and checksums; see tiny_dancer.weights in the package';
COMMENT ON COLUMN tiny_dancer.router_models.checksum IS 'sha256 of the weights and of what says whose they are';
COMMENT ON COLUMN tiny_dancer.router_models.prediction_us IS 'microseconds of one prediction when it was trained';
COMMENT ON COLUMN tiny_dancer.router_models.activated_at IS 'when it was last made the active one';
REVOKE ALL ON tiny_dancer.router_models FROM PUBLIC;

-- Apart, since whoever routes has no use for them.
CREATE TABLE tiny_dancer.router_training_requests (
    router_model_id bigint PRIMARY KEY REFERENCES tiny_dancer.router_models ON DELETE CASCADE,
    request_keys bigint[] NOT NULL
);
COMMENT ON TABLE tiny_dancer.router_training_requests IS
    'which requests a router model was trained on, as hashes of their embeddings, ascending';
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

-- sql/37-route-heads.sql

-- What was learned of the semantic routes. Weights are raw 32-bit floats with their shapes and a checksum.

CREATE TABLE tiny_dancer.route_heads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id bigint NOT NULL REFERENCES tiny_dancer.models ON DELETE CASCADE,
    route_ids bigint[] NOT NULL CHECK (pg_catalog.cardinality(route_ids) >= 1),
    fingerprints text[] NOT NULL CHECK (pg_catalog.cardinality(fingerprints) = pg_catalog.cardinality(route_ids)),
    weights bytea NOT NULL,
    metrics jsonb NOT NULL,
    acceptance float8 NOT NULL CHECK (acceptance BETWEEN 0.5 AND 1),
    seed bigint NOT NULL CHECK (seed >= 0),
    fitted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    active boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX route_heads_one_active ON tiny_dancer.route_heads (model_id) WHERE active;
COMMENT ON TABLE tiny_dancer.route_heads IS 'fits of the semantic routes to examples, of each model at most one active';
COMMENT ON COLUMN tiny_dancer.route_heads.route_ids IS 'the routes fitted, in the order of the weights; some may be gone';
COMMENT ON COLUMN tiny_dancer.route_heads.fingerprints IS
    'checksum of the vectors of each route; one that has others now is matched by its similarity';
COMMENT ON COLUMN tiny_dancer.route_heads.weights IS 'weights with their shapes and checksum; see tiny_dancer.weights in the package';
COMMENT ON COLUMN tiny_dancer.route_heads.metrics IS 'what was measured on examples while they were held back';
REVOKE ALL ON tiny_dancer.route_heads FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_heads
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_heads ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_heads
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_heads ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_heads', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_heads_id_seq', '');

-- plpython/00-boot.sql

-- The one place that knows where the library lies: a folder of this version under the server's own library
-- folder, which the running server itself states. It is not a setting, so no session can point it elsewhere,
-- and a server that was moved or copied finds the library beside its other libraries.

CREATE FUNCTION tiny_dancer.load_library() RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
import ctypes, os, sys
sys.path.insert(0, os.path.join(os.fsdecode((ctypes.c_char * 1024).in_dll(ctypes.CDLL(None), 'pkglib_path').value), 'tiny_dancer', '0.1.0'))
import tiny_dancer.pg.boot as boot
return GD.setdefault('tiny_dancer/0.1.0', boot.start(plpy, '0.1.0')) is not None
$$;
COMMENT ON FUNCTION tiny_dancer.load_library() IS 'internal: loads the library of this version into the backend; see tiny_dancer.boot()';

CREATE FUNCTION tiny_dancer.boot() RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    RETURN tiny_dancer.load_library();
EXCEPTION WHEN external_routine_exception THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
    RAISE EXCEPTION 'the library of tiny_dancer 0.1.0 can not be loaded'
        USING ERRCODE = '58P01',
              DETAIL = problem,
              HINT = 'Run "make install" of this version on this host, with the Python that the server uses.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.boot() IS 'internal: called once in each backend, before its first use of the library';

-- plpython/10-agents.sql

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
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 2000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].register_agent(name, agent_type, capabilities, cost_per_1k_tokens, cost_per_call, avg_latency_ms, quality_score, metadata, cost_per_second, cost_per_1k_output_tokens, pool, weight, max_concurrent, tags, capability_embedding)
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
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 2000 ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].find_agents_by_capability(capability, k)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_find_agents_by_capability(text, integer) IS
    'the k active agents whose capabilities are nearest in meaning, nearest first; cost in dollars of a request of 1,000 input tokens and the expected output';

-- plpython/20-embedding.sql

-- Embedding text, and the models that do it.

SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE FUNCTION @extschema@.ruvector_embed(
    content text
) RETURNS vector
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 2000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].embed(content)
$$;
SET LOCAL search_path TO pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.ruvector_embed(text) IS
    'unit vector of the text by the active embedding model';

SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
CREATE FUNCTION @extschema@.ruvector_embed_batch(
    contents text[],
    OUT ordinal integer,
    OUT embedding vector
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 100000 ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].embed_batch(contents)
$$;
SET LOCAL search_path TO pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.ruvector_embed_batch(text[]) IS
    'unit vectors of the texts, in order, each the same as by ruvector_embed';

CREATE FUNCTION tiny_dancer.use_model(
    name text,
    provider text DEFAULT NULL,
    dimension integer DEFAULT NULL,
    discard boolean DEFAULT false
) RETURNS text
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].use_model(name, provider, dimension, discard)
$$;
COMMENT ON FUNCTION tiny_dancer.use_model(text, text, integer, boolean) IS
    'makes an embedding model the active one and embeds agents and routes with it, in one transaction; discard drops vectors that can not be made again';

-- plpython/30-routing.sql

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
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].route(request, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embedding, quality_floor, cost_weight, tags, context, use_semantic_routes, record)
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
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].explain_route(request, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embedding, quality_floor, cost_weight, tags)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_explain_route(text, text, text[], float8, float8, float8, text[], float8, real[], float8, float8, text[]) IS
    'every agent, kept or removed by which constraints, with each factor of its score, best first';

-- plpython/31-multi-agent.sql

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
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 5000 ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].route_multi(request, num_agents, strategy, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embedding, quality_floor, cost_weight, tags)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_route_multi(text, integer, text, text, text[], float8, float8, float8, text[], float8, real[], float8, float8, text[]) IS
    'several agents for one request: in a row (pipeline), side by side (parallel) or with weighed votes (ensemble)';

-- plpython/32-batch.sql

-- Many requests in one call. Vectors reach Python in binary form: as text they would take longer than all the
-- rest.

CREATE FUNCTION tiny_dancer.batch_route(
    requests text[],
    optimize_for text DEFAULT 'balanced',
    required_capabilities text[] DEFAULT NULL,
    max_cost float8 DEFAULT NULL,
    max_latency_ms float8 DEFAULT NULL,
    min_quality float8 DEFAULT NULL,
    excluded_agents text[] DEFAULT NULL,
    budget_remaining float8 DEFAULT NULL,
    embeddings bytea[] DEFAULT NULL,
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
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].batch_route(requests, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality, excluded_agents, budget_remaining, embeddings, quality_floor, cost_weight, tags)
$$;
COMMENT ON FUNCTION tiny_dancer.batch_route(text[], text, text[], float8, float8, float8, text[], float8, bytea[], float8, float8, text[]) IS
    'internal: see ruvector_batch_route; embeddings in binary form';

SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
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
LANGUAGE sql VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 1000
BEGIN ATOMIC
    SELECT b.* FROM tiny_dancer.batch_route(
        requests, optimize_for, required_capabilities, max_cost, max_latency_ms, min_quality,
        excluded_agents, budget_remaining,
        CASE WHEN embeddings IS NOT NULL THEN ARRAY(
            SELECT tiny_dancer.vector_bytes(u.embedding)
            FROM pg_catalog.unnest(embeddings) WITH ORDINALITY AS u (embedding, place)
            ORDER BY u.place) END,
        quality_floor, cost_weight, tags) AS b;
END;
SET LOCAL search_path TO pg_catalog, pg_temp;
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', e.extnamespace::pg_catalog.regnamespace, 'pg_temp'), true)
FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
COMMENT ON FUNCTION @extschema@.ruvector_batch_route(text[], text, text[], float8, float8, float8, text[], float8, vector[], float8, float8, text[]) IS
    'routes many requests in one call, in order, each as ruvector_route would; what fails says so in its row; optimize_for total_cost minimises the sum, with quality_floor as a floor under the average';
SET LOCAL search_path TO pg_catalog, pg_temp;

-- plpython/40-routes.sql

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
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].create_route(name, description, target_agent, priority, embedding, conditions, utterances, threshold)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_create_route(text, text, text, integer, real[], jsonb, text[], float8) IS
    'makes a semantic route to an agent; one of that name is replaced as a whole';

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
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 200 ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].semantic_route(query, top_k, context, embedding, consume)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_semantic_route(text, integer, jsonb, real[], boolean) IS
    'the semantic routes that the query means, best first; no row where it means none; consume counts a pass of the first';

CREATE FUNCTION tiny_dancer.build_route_index() RETURNS text
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].build_route_index()
$$;
COMMENT ON FUNCTION tiny_dancer.build_route_index() IS
    'internal: builds the hnswlib index that backends match semantic routes by; see tiny_dancer.rebuild_indexes()';

-- plpython/41-route-fits.sql

-- Semantic routes, learned from examples and measured. Neither has a SET clause: they read a query of the caller.

CREATE FUNCTION @extschema@.ruvector_fit_routes(
    query text,
    acceptance float8 DEFAULT 0.99,
    seed bigint DEFAULT 0,
    OUT metric text,
    OUT value float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 12
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].fit_routes(query, acceptance, seed)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_fit_routes(text, float8, bigint) IS
    'fits the semantic routes to the rows (text, route_name) of a query, NULL for a text that means none of them';

CREATE FUNCTION @extschema@.ruvector_evaluate_routes(
    query text,
    OUT section text,
    OUT route_name text,
    OUT matched_route text,
    OUT metric text,
    OUT value float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].evaluate_routes(query)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_evaluate_routes(text) IS
    'how good the semantic routes are on the rows (text, route_name) of a query: totals, routes, worst confusions';

-- plpython/50-classification.sql

-- Classifying requests: what kind they are, and what they need.

CREATE FUNCTION @extschema@.ruvector_classify_request(
    request text,
    embedding real[] DEFAULT NULL,
    classifier text DEFAULT 'requests'
) RETURNS jsonb
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 200
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].classify_request(request, embedding, classifier)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_classify_request(text, real[], text) IS
    'which kind of request it is: all classes with their probabilities, the likeliest first';

CREATE FUNCTION @extschema@.ruvector_classify_capabilities(
    request text,
    embedding real[] DEFAULT NULL,
    threshold float8 DEFAULT 0.5,
    classifier text DEFAULT 'capabilities',
    OUT capability text,
    OUT probability float8
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 200 ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].classify_capabilities(request, embedding, threshold, classifier)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_classify_capabilities(text, real[], float8, text) IS
    'which capabilities the request needs, each with its probability, the likeliest first';

-- What reads a query of the caller has no SET clause, so that the query runs on the caller's search path; and
-- what reads it is STABLE, so that the query can not write.
CREATE FUNCTION tiny_dancer.labelled_texts(
    query text,
    OUT content text,
    OUT label text
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].labelled_texts(query)
$$;
COMMENT ON FUNCTION tiny_dancer.labelled_texts(text) IS
    'internal: the rows (text, label) of a query, read as the caller and without writing';

CREATE FUNCTION @extschema@.ruvector_train_classifier(
    query text,
    name text DEFAULT 'requests',
    multi_label boolean DEFAULT false,
    OUT metric text,
    OUT value float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 6
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].train_classifier(query, name, multi_label)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_train_classifier(text, text, boolean) IS
    'trains a classifier from the rows (text, label) of a query and makes it the active one of its name; of a multi-label classifier the labels of equal texts belong together';

-- plpython/55-learning.sql

-- Learning from outcomes: training router models, choosing the active one, and asking what it expects.

-- As for classifiers: what reads a query of the caller has no SET clause, so that the query runs on the caller's
-- search path; and what reads it is STABLE, so that the query can not write.
CREATE FUNCTION tiny_dancer.judged_requests(
    query text,
    OUT request text,
    OUT agent_name text,
    OUT quality float8,
    OUT embedding bytea
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].judged_requests(query)
$$;
COMMENT ON FUNCTION tiny_dancer.judged_requests(text) IS
    'internal: the rows (request, agent_name, quality) of a query, with their embeddings where it has a fourth column; read as the caller and without writing';

CREATE FUNCTION @extschema@.ruvector_train_router(
    query text DEFAULT NULL,
    activate boolean DEFAULT NULL,
    predictor text DEFAULT NULL,
    seed integer DEFAULT 0,
    OUT id bigint,
    OUT trained_predictor text,
    OUT agents integer,
    OUT outcomes integer,
    OUT requests integer,
    OUT held_back integer,
    OUT loss float8,
    OUT means_loss float8,
    OUT prior_loss float8,
    OUT brier float8,
    OUT calibration_error float8,
    OUT routed_quality float8,
    OUT best_single_quality float8,
    OUT random_quality float8,
    OUT length_quality float8,
    OUT oracle_quality float8,
    OUT apgr float8,
    OUT length_apgr float8,
    OUT activated boolean,
    OUT why text
) RETURNS record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].train_router(query, activate, predictor, seed)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_train_router(text, boolean, text, integer) IS
    'trains a router model from recorded outcomes, or from the rows (request, agent_name, quality) of a query, judges it by requests held back, and activates it if it is better than the active one';

CREATE FUNCTION @extschema@.ruvector_activate_router(id bigint) RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 10000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].activate_router(id)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_activate_router(bigint) IS
    'makes a router model the active one, NULL none; whether that changed anything';

CREATE FUNCTION @extschema@.ruvector_predict_quality(
    request text,
    embedding real[] DEFAULT NULL,
    router_model bigint DEFAULT NULL,
    OUT agent_name text,
    OUT expected_quality float8,
    OUT uncertainty float8,
    OUT observations bigint
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 2000 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].predict_quality(request, embedding, router_model)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_predict_quality(text, real[], bigint) IS
    'the quality that is expected of each agent on a request, the best first';

-- plpython/60-cost.sql

-- What of cost needs Python: embedding the requests of outcomes, and sharing a budget out.

CREATE FUNCTION tiny_dancer.record_request_vector(
    usage_id bigint,
    request text,
    embedding real[]
) RETURNS boolean
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 2000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].record_request_vector(usage_id, request, embedding)
$$;
COMMENT ON FUNCTION tiny_dancer.record_request_vector(bigint, text, real[]) IS
    'internal: stores the vector of the request of an outcome, for learning';

CREATE FUNCTION @extschema@.ruvector_optimize_budget(
    monthly_budget float8,
    quality_threshold float8 DEFAULT 0.8,
    latency_threshold_ms float8 DEFAULT 5000,
    apply boolean DEFAULT false,
    caps jsonb DEFAULT NULL,
    minimums jsonb DEFAULT NULL,
    OUT agent text,
    OUT allocated_budget float8,
    OUT share float8,
    OUT expected_requests float8,
    OUT quality float8,
    OUT latency_ms float8,
    OUT reason text,
    OUT unallocated float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].optimize_budget(monthly_budget, quality_threshold, latency_threshold_ms, apply, caps, minimums)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_optimize_budget(float8, float8, float8, boolean, jsonb, jsonb) IS
    'shares a monthly budget in dollars out among the active agents by quality, price and demand; apply sets the shares as their monthly budgets';

-- plpython/70-replay.sql

-- Learning from what was explored: what another policy would have led to, and where the dial should stand.

CREATE FUNCTION @extschema@.ruvector_replay(
    policy jsonb,
    time_range interval DEFAULT '7 days',
    until timestamptz DEFAULT NULL,
    OUT estimator text,
    OUT measure text,
    OUT estimate float8,
    OUT low float8,
    OUT high float8,
    OUT observed float8,
    OUT effective_sample_size float8,
    OUT decisions bigint,
    OUT without_outcome float8,
    OUT not_explored bigint,
    OUT agreement float8,
    OUT unserved float8
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 1000000 ROWS 4
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].replay(policy, time_range, until)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_replay(jsonb, interval, timestamptz) IS
    'the quality and the cost that another policy would have led to over recorded decisions with exploration, each with its 95 % interval';

-- As for training: what reads a query of the caller has no SET clause, so that the query runs on the caller's
-- search path; and what reads it is STABLE, so that the query can not write.
CREATE FUNCTION tiny_dancer.request_texts(query text) RETURNS SETOF text
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].request_texts(query)
$$;
COMMENT ON FUNCTION tiny_dancer.request_texts(text) IS
    'internal: the rows (request) of a query, read as the caller and without writing';

CREATE FUNCTION @extschema@.ruvector_calibrate_router(
    quality_target float8 DEFAULT NULL,
    max_strong_share float8 DEFAULT NULL,
    query text DEFAULT NULL,
    time_range interval DEFAULT '30 days',
    strong_agent text DEFAULT NULL,
    OUT cost_weight float8,
    OUT expected_quality float8,
    OUT expected_cost float8,
    OUT strong_share float8,
    OUT strong_agent_name text,
    OUT quality_kept float8,
    OUT best_agent_name text,
    OUT best_quality float8,
    OUT best_cost float8,
    OUT requests bigint
) RETURNS record
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 1000000
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].calibrate_router(quality_target, max_strong_share, query, time_range, strong_agent)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_calibrate_router(float8, float8, text, interval, text) IS
    'the cost_weight of a balanced decision that keeps a share of the best agent''s quality, or sends at most a share of the requests to the strong agent, over recorded requests or those of a query';

-- plpython/80-operations.sql

-- What an administrator runs.

CREATE FUNCTION tiny_dancer.setup(
    model text DEFAULT NULL,
    OUT step text,
    OUT outcome text
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].setup(model)
$$;
COMMENT ON FUNCTION tiny_dancer.setup(text) IS
    'makes the database ready to route: activates the embedding model that is installed; can be repeated';

CREATE FUNCTION tiny_dancer.doctor(
    OUT subject text,
    OUT ok boolean,
    OUT finding text,
    OUT remedy text
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].doctor()
$$;
COMMENT ON FUNCTION tiny_dancer.doctor() IS
    'checks what the extension needs on this host and in this database; each line is ok or says what to do';

CREATE FUNCTION tiny_dancer.warmup(
    OUT subject text,
    OUT milliseconds float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].warmup()
$$;
COMMENT ON FUNCTION tiny_dancer.warmup() IS
    'loads the library, the registry and the model into this backend ahead of the first request; says what took how long';

CREATE FUNCTION tiny_dancer.set(
    name text,
    value text
) RETURNS text
LANGUAGE plpython3u VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].set_setting(name, value)
$$;
COMMENT ON FUNCTION tiny_dancer.set(text, text) IS
    'changes a setting of this database; a NULL value returns it to its default';

CREATE FUNCTION tiny_dancer.list_settings(
    OUT name text,
    OUT value text,
    OUT default_value text,
    OUT minimum float8,
    OUT maximum float8,
    OUT meaning text
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/0.1.0' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/0.1.0'].list_settings()
$$;
COMMENT ON FUNCTION tiny_dancer.list_settings() IS
    'every setting with its value, its default and its bounds';

-- sql/50-outcomes.sql

-- What is known of agents from recorded outcomes.

CREATE FUNCTION tiny_dancer.agent_outcomes(
    most integer DEFAULT 1000,
    before timestamptz DEFAULT 'infinity',
    OUT agent_id bigint,
    OUT requests bigint,
    OUT successes bigint,
    OUT success_rate float8,
    OUT avg_latency_ms float8,
    OUT p99_latency_ms float8,
    OUT observations bigint,
    OUT mean_quality float8,
    OUT latencies bigint,
    OUT outputs bigint,
    OUT avg_output_tokens float8
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 10000
BEGIN ATOMIC
    -- The latest outcomes of each agent: bounded work however long the ledger is, and agents change.
    WITH recent AS (
        SELECT a.id AS agent_id, u.id, u.decision_id, u.success, u.latency_ms, u.quality,
               u.output_tokens
        FROM tiny_dancer.agents a
        CROSS JOIN LATERAL (
            SELECT r.id, r.decision_id, r.success, r.latency_ms, r.quality, r.output_tokens
            FROM tiny_dancer.usage r
            WHERE r.agent_id = a.id AND r.recorded_at < before
            ORDER BY r.recorded_at DESC
            LIMIT most
        ) u
    ),
    judged AS (
        SELECT DISTINCT ON (f.id) f.id, f.quality
        FROM (
            SELECT r.id, g.quality, g.id AS feedback_id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.usage_id = r.id AND g.given_at < before
            UNION ALL
            -- Judged is what the decision led to in the end: its last outcome, not a first attempt that failed.
            SELECT r.id, g.quality, g.id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.decision_id = r.decision_id AND g.given_at < before
            WHERE NOT EXISTS (
                SELECT FROM tiny_dancer.usage later
                WHERE later.decision_id = r.decision_id AND later.id > r.id AND later.recorded_at < before)
        ) f
        ORDER BY f.id, f.feedback_id DESC
    )
    SELECT r.agent_id,
           pg_catalog.count(*),
           pg_catalog.count(*) FILTER (WHERE r.success),
           pg_catalog.avg(r.success::integer)::float8,
           pg_catalog.avg(r.latency_ms),
           pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY r.latency_ms),
           pg_catalog.count(*),
           pg_catalog.avg(COALESCE(j.quality, r.quality, r.success::integer::float8)),
           pg_catalog.count(r.latency_ms),
           pg_catalog.count(r.output_tokens),
           pg_catalog.avg(r.output_tokens)::float8
    FROM recent r
    LEFT JOIN judged j ON j.id = r.id
    GROUP BY r.agent_id;
END;
COMMENT ON FUNCTION tiny_dancer.agent_outcomes(integer, timestamptz) IS
    'what the latest outcomes of each agent before a time say of it; the quality of an outcome is its newest feedback, else the recorded quality, else 1 or 0 for success';

-- sql/51-balances.sql

-- Windows of budgets, and what is left in the present ones. All of it only reads, so it works on a standby.

CREATE FUNCTION tiny_dancer.first_instant(local_time timestamp, time_zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Where clocks are put back over midnight, midnight comes twice, and PostgreSQL takes the second one.
    SELECT CASE WHEN ((local_time AT TIME ZONE time_zone) - '1 hour'::interval) AT TIME ZONE time_zone >= local_time
                THEN (local_time AT TIME ZONE time_zone) - '1 hour'::interval
                ELSE local_time AT TIME ZONE time_zone END;
END;
COMMENT ON FUNCTION tiny_dancer.first_instant(timestamp, text) IS 'internal: when a local time is reached first';

CREATE FUNCTION tiny_dancer.window_start(period text, time_zone text, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN period = 'hour'
                -- An hour stays an hour when the clocks change.
                THEN at - ((at AT TIME ZONE time_zone) - pg_catalog.date_trunc('hour', at AT TIME ZONE time_zone))
                ELSE tiny_dancer.first_instant(pg_catalog.date_trunc(period, at AT TIME ZONE time_zone), time_zone)
           END;
END;
COMMENT ON FUNCTION tiny_dancer.window_start(text, text, timestamptz) IS
    'when the hour, day or month of a time zone began that the time lies in';

CREATE FUNCTION tiny_dancer.window_end(period text, time_zone text, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN period = 'hour'
                THEN tiny_dancer.window_start(period, time_zone, at) + '1 hour'::interval
                ELSE tiny_dancer.first_instant(
                         pg_catalog.date_trunc(period, at AT TIME ZONE time_zone) + ('1 ' || period)::interval, time_zone)
           END;
END;
COMMENT ON FUNCTION tiny_dancer.window_end(text, text, timestamptz) IS
    'when the hour, day or month of a time zone ends that the time lies in';

CREATE FUNCTION tiny_dancer.budget_scopes(agent text, tags text[]) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT ARRAY['overall', 'agent:' || agent]
           || ARRAY(SELECT 'tag:' || t.tag FROM pg_catalog.unnest(tags) AS t (tag));
END;
COMMENT ON FUNCTION tiny_dancer.budget_scopes(text, text[]) IS
    'the scopes of the budgets that apply to a request: overall, its agent, each of its tags';

CREATE FUNCTION tiny_dancer.budget_balances(
    at timestamptz DEFAULT pg_catalog.clock_timestamp(),
    OUT budget_id bigint,
    OUT agent_name text,
    OUT tag text,
    OUT scope text,
    OUT period text,
    OUT time_zone text,
    OUT window_start timestamptz,
    OUT limit_amount numeric,
    OUT settled numeric,
    OUT reserved numeric,
    OUT overshoot numeric,
    OUT charges bigint
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 1000
BEGIN ATOMIC
    SELECT b.id, b.agent_name, b.tag, b.scope, b.period, b.time_zone, w.began, b.limit_amount,
           c.settled, h.reserved, c.overshoot, c.charges
    FROM tiny_dancer.budgets b
    CROSS JOIN LATERAL (SELECT tiny_dancer.window_start(b.period, b.time_zone, at) AS began OFFSET 0) w
    CROSS JOIN LATERAL (
        SELECT COALESCE(pg_catalog.sum(s.amount), 0) AS settled,
               COALESCE(pg_catalog.sum(s.overshoot), 0) AS overshoot,
               pg_catalog.count(*) AS charges
        FROM tiny_dancer.budget_charges s
        WHERE s.budget_id = b.id AND s.window_start = w.began
    ) c
    CROSS JOIN LATERAL (
        SELECT COALESCE(pg_catalog.sum(s.amount), 0) AS reserved
        FROM tiny_dancer.budget_holds s
        WHERE s.budget_id = b.id AND s.window_start = w.began AND s.expires_at > at
    ) h;
END;
COMMENT ON FUNCTION tiny_dancer.budget_balances(timestamptz) IS
    'every budget with what is settled and reserved in the window of that time';

CREATE FUNCTION tiny_dancer.agent_budgets(
    OUT agent_id bigint,
    OUT remaining float8
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 1000
BEGIN ATOMIC
    WITH balances AS MATERIALIZED (
        SELECT s.agent_name, s.limit_amount - s.settled - s.reserved AS remaining
        FROM tiny_dancer.budget_balances() s
        WHERE s.tag IS NULL
    )
    SELECT a.id, pg_catalog.min(s.remaining)::float8
    FROM tiny_dancer.agents a
    JOIN balances s ON s.agent_name IS NULL OR s.agent_name = a.name
    WHERE a.removed_at IS NULL
    GROUP BY a.id;
END;
COMMENT ON FUNCTION tiny_dancer.agent_budgets() IS
    'what the tightest budget that applies to each living agent has left, in dollars; agents without one are left out';

CREATE FUNCTION tiny_dancer.tag_budgets(
    OUT tag text,
    OUT remaining float8
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 1000
BEGIN ATOMIC
    SELECT s.tag, pg_catalog.min(s.limit_amount - s.settled - s.reserved)::float8
    FROM tiny_dancer.budget_balances() s
    WHERE s.tag IS NOT NULL
    GROUP BY s.tag;
END;
COMMENT ON FUNCTION tiny_dancer.tag_budgets() IS 'what the tightest budget of each tag has left, in dollars';

-- sql/52-histograms.sql

-- Latencies in buckets of a width of 3 %, so that histograms of many hours can be added up. The figure that stands for a
-- bucket is off by at most (1.03 - 1) / (1.03 + 1) = 1.5 %, and so is a percentile that lies between two of them.

CREATE FUNCTION tiny_dancer.latency_bucket(latency_ms float8) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Bounded, since powers of 1.03 overflow: figures beyond 10^256 ms mean nothing.
    SELECT CASE WHEN latency_ms > 0
                THEN LEAST(GREATEST(pg_catalog.ceil(pg_catalog.ln(latency_ms) / pg_catalog.ln(1.03::float8)),
                                    -20000), 20000)::integer
                WHEN latency_ms = 0 THEN -20001
           END;
END;
COMMENT ON FUNCTION tiny_dancer.latency_bucket(float8) IS
    'internal: number of the bucket of a histogram that a latency belongs to; bucket n ends at 1.03^n milliseconds';

CREATE FUNCTION tiny_dancer.bucket_latency(bucket integer) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN bucket >= -20000 THEN 2 / 2.03::float8 * pg_catalog.power(1.03::float8, bucket) ELSE 0 END;
END;
COMMENT ON FUNCTION tiny_dancer.bucket_latency(integer) IS
    'internal: the latency that stands for a bucket of a histogram, in milliseconds';

-- sql/60-registry.sql

-- The part of the registry that needs no Python.

CREATE FUNCTION tiny_dancer.blended(
    prior float8,
    observed float8,
    observations bigint,
    prior_strength float8
) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- As the library does it for decisions: without observations the registered figure itself, unrounded.
    SELECT CASE
        WHEN observed IS NULL THEN prior
        WHEN prior IS NULL THEN observed
        ELSE (prior * prior_strength + observed * observations) / (prior_strength + observations) END;
END;
COMMENT ON FUNCTION tiny_dancer.blended(float8, float8, bigint, float8) IS
    'internal: a registered figure and an observed mean, weighed by their numbers of observations';

CREATE FUNCTION @extschema@.ruvector_list_agents(
    OUT name text,
    OUT agent_type text,
    OUT capabilities text[],
    OUT cost_per_1k_tokens float8,
    OUT cost_per_1k_output_tokens float8,
    OUT cost_per_call float8,
    OUT cost_per_second float8,
    OUT avg_latency_ms float8,
    OUT p99_latency_ms float8,
    OUT quality_score float8,
    OUT success_rate float8,
    OUT total_requests bigint,
    OUT pool text,
    OUT tags text[],
    OUT metadata jsonb,
    OUT active boolean
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    -- What only recorded outcomes can tell is NULL before the first, and not invented.
    WITH setting AS (
        SELECT COALESCE(pg_catalog.max(s.value), '20')::float8 AS prior_strength
        FROM tiny_dancer.settings s
        WHERE s.name = 'prior_strength'
    )
    SELECT a.name, a.agent_type, a.capabilities, a.cost_per_1k_tokens, a.cost_per_1k_output_tokens,
           a.cost_per_call, a.cost_per_second,
           tiny_dancer.blended(a.avg_latency_ms, o.avg_latency_ms, o.latencies, setting.prior_strength),
           o.p99_latency_ms,
           tiny_dancer.blended(a.quality_score, o.mean_quality, o.observations, setting.prior_strength),
           o.success_rate, (SELECT pg_catalog.count(*) FROM tiny_dancer.usage u WHERE u.agent_id = a.id),
           a.pool, a.tags, a.metadata, a.active
    FROM tiny_dancer.agents a
    CROSS JOIN setting
    LEFT JOIN tiny_dancer.agent_outcomes() o ON o.agent_id = a.id
    WHERE a.removed_at IS NULL
    ORDER BY a.name COLLATE "C";
END;
COMMENT ON FUNCTION @extschema@.ruvector_list_agents() IS
    'the living agents by name; prices in dollars; latency in milliseconds and quality are the registered ones moved by what was observed';

CREATE FUNCTION @extschema@.ruvector_get_agent(name text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_agent jsonb;
BEGIN
    SELECT to_jsonb(a) - 'id' - 'removed_at' INTO found_agent
    FROM tiny_dancer.agents a
    WHERE a.name = ruvector_get_agent.name AND a.removed_at IS NULL;
    IF found_agent IS NULL THEN
        PERFORM tiny_dancer.raise_unknown_agent(name);
    END IF;
    RETURN found_agent;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_get_agent(text) IS 'everything that is registered of an agent';

CREATE FUNCTION @extschema@.ruvector_remove_agent(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    UPDATE tiny_dancer.agents a SET removed_at = now(), active = false, updated_at = now()
    WHERE a.name = ruvector_remove_agent.name AND a.removed_at IS NULL
    RETURNING a.id INTO removed;
    IF removed IS NULL THEN
        PERFORM tiny_dancer.raise_unknown_agent(name);
    END IF;
    DELETE FROM tiny_dancer.agent_embeddings WHERE agent_id = removed;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_remove_agent(text) IS
    'removes an agent from the registry; what it did stays known, and its name registered again is a new agent';

CREATE FUNCTION @extschema@.ruvector_set_agent_active(name text, is_active boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_active IS NULL THEN
        RAISE EXCEPTION 'is_active must not be NULL' USING ERRCODE = '22023', HINT = 'Pass true or false.';
    END IF;
    UPDATE tiny_dancer.agents a SET active = is_active, updated_at = now()
    WHERE a.name = ruvector_set_agent_active.name AND a.removed_at IS NULL;
    IF NOT FOUND THEN
        PERFORM tiny_dancer.raise_unknown_agent(name);
    END IF;
    RETURN is_active;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_agent_active(text, boolean) IS
    'sets whether an agent may be chosen, and returns that';

CREATE FUNCTION tiny_dancer.raise_unknown_agent(name text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'unknown agent %', coalesce(quote_literal(left(name, 80)), 'NULL')
        USING ERRCODE = '42704', HINT = 'ruvector_list_agents() shows the registered agents.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.raise_unknown_agent(text) IS 'internal: the error that no living agent has the name';

-- sql/61-charging.sql

-- Charging: what happens to budgets when an outcome is recorded or a reservation ends. Functions here run with
-- their owner's rights, since nobody else may write to budgets' tables; they take no SQL from anybody.

CREATE FUNCTION tiny_dancer.charge_budgets(scopes text[], at timestamptz, amount numeric, overshoot numeric)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF amount > 0 THEN
        INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount, overshoot)
        SELECT b.id, tiny_dancer.window_start(b.period, b.time_zone, at),
               charge_budgets.amount, charge_budgets.overshoot
        FROM tiny_dancer.budgets b
        WHERE b.scope = ANY (scopes);
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.charge_budgets(text[], timestamptz, numeric, numeric) IS
    'internal: adds a cost to every budget of the scopes, in the window of that time';

CREATE FUNCTION tiny_dancer.merge_charges(budget bigint, window_begin timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Rows that another session is merging are left to it. Above READ COMMITTED a row that was merged since
    -- the transaction began would be a serialisation failure, and nothing here is worth failing for.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN;
    END IF;
    WITH taken AS (
        DELETE FROM tiny_dancer.budget_charges c
        WHERE c.ctid = ANY (ARRAY(
            SELECT s.ctid FROM tiny_dancer.budget_charges s
            WHERE s.budget_id = budget AND s.window_start = window_begin
            LIMIT 10000
            FOR UPDATE SKIP LOCKED))
        RETURNING c.amount, c.overshoot
    )
    INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount, overshoot)
    SELECT budget, window_begin, sum(t.amount), sum(t.overshoot) FROM taken t HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION tiny_dancer.merge_charges(bigint, timestamptz) IS
    'internal: replaces the charges of a window by their sum, as far as no other session is at it';

CREATE FUNCTION tiny_dancer.charge_reservation(
    held tiny_dancer.reservations,
    agent text,
    tags text[],
    cost numeric
) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    scopes text[] := tiny_dancer.budget_scopes(agent, ARRAY(SELECT unnest(held.tags) UNION SELECT unnest(tags)));
    covered numeric := 0;
BEGIN
    DELETE FROM tiny_dancer.budget_holds h WHERE h.reservation_id = held.id;
    -- What was reserved counts in the window in which it was admitted, and the excess now. An expired
    -- reservation covers nothing any more, or old ones could be kept to spend in windows that have passed.
    IF held.state = 'held' AND held.expires_at > clock_timestamp() THEN
        covered := least(cost, held.amount);
        PERFORM tiny_dancer.charge_budgets(scopes, held.reserved_at, covered, 0);
    END IF;
    PERFORM tiny_dancer.charge_budgets(
        scopes, clock_timestamp(), cost - covered, greatest(cost - held.amount, 0));
END
$$;
COMMENT ON FUNCTION tiny_dancer.charge_reservation(tiny_dancer.reservations, text, text[], numeric) IS
    'internal: frees what a reservation holds and charges what was spent instead';

CREATE FUNCTION tiny_dancer.settle_by_outcome(outcome tiny_dancer.usage) RETURNS numeric
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cost numeric := outcome.cost;
    held tiny_dancer.reservations;
BEGIN
    SELECT * INTO held FROM tiny_dancer.reservations r WHERE r.id = outcome.reservation_id FOR UPDATE;
    IF held.state = 'held' THEN
        UPDATE tiny_dancer.reservations r
        SET state = 'settled', actual_cost = cost, ended_at = clock_timestamp(), usage_id = outcome.id
        WHERE r.id = held.id;
        PERFORM tiny_dancer.charge_reservation(
            held, (SELECT a.name FROM tiny_dancer.agents a WHERE a.id = outcome.agent_id), outcome.tags, cost);
        RETURN 0;
    ELSIF held.state = 'settled' AND held.usage_id IS NULL THEN
        -- Charged when it was settled. What the outcome cost beyond that was not.
        UPDATE tiny_dancer.reservations r SET usage_id = outcome.id WHERE r.id = held.id;
        RETURN greatest(cost - held.actual_cost, 0);
    END IF;
    RETURN cost;
END
$$;
COMMENT ON FUNCTION tiny_dancer.settle_by_outcome(tiny_dancer.usage) IS
    'internal: settles the reservation that an outcome names, and returns what of its cost is still to be charged';

CREATE FUNCTION tiny_dancer.count_usage() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    due numeric;
BEGIN
    -- The hot path of every outcome. The sequence says whether there ever was a budget, in a tenth of the time of a
    -- query.
    IF NEW.success AND NEW.recorded_at >= statement_timestamp() AND num_nonnulls(
        NEW.idempotency_key, NEW.request, NEW.reservation_id,
        pg_sequence_last_value('tiny_dancer.budgets_id_seq')) = 0
    THEN
        RETURN NEW;
    END IF;
    -- Usage roles can not give the time, so theirs is later than when the statement began. A row that brings an
    -- earlier one was recorded before, and comes from a dump with the charges that it made.
    IF NEW.recorded_at < statement_timestamp() THEN
        PERFORM tiny_dancer.note_late_outcome(NEW.recorded_at);
        RETURN NEW;
    END IF;
    IF NEW.idempotency_key IS NOT NULL THEN
        INSERT INTO tiny_dancer.usage_keys (key, usage_id) VALUES (NEW.idempotency_key, NEW.id)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    IF NEW.request IS NOT NULL AND NOT EXISTS (
        SELECT FROM tiny_dancer.settings s WHERE s.name = 'store_request_text' AND s.value = '1')
    THEN
        NEW.request := NULL;
    END IF;
    IF NOT NEW.success THEN
        PERFORM tiny_dancer.observe_failure(NEW);
    END IF;
    due := CASE WHEN NEW.reservation_id IS NULL THEN NEW.cost ELSE tiny_dancer.settle_by_outcome(NEW) END;
    IF due > 0 THEN
        -- One statement and no calls: with budgets set, this is the hot path of every outcome.
        INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount)
        SELECT b.id, tiny_dancer.window_start(b.period, b.time_zone, moment), due
        FROM tiny_dancer.budgets b
        WHERE b.scope = 'overall' OR b.tag = ANY (NEW.tags)
              OR b.agent_name = (SELECT a.name FROM tiny_dancer.agents a WHERE a.id = NEW.agent_id);
        IF FOUND AND NEW.id % 64 = 0 THEN
            PERFORM tiny_dancer.merge_charges(b.id, tiny_dancer.window_start(b.period, b.time_zone, moment))
            FROM tiny_dancer.budgets b;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tiny_dancer.count_usage() IS
    'trigger: whichever way an outcome gets into the ledger, its key is remembered, its cost is charged, and a failure counts for the circuit breaker';

-- One trigger, and without a condition: a condition is parsed anew for each statement, which takes longer than the
-- first lines of the function.
CREATE TRIGGER count_usage BEFORE INSERT ON tiny_dancer.usage
    FOR EACH ROW EXECUTE FUNCTION tiny_dancer.count_usage();

-- Opening a budget counts what its present window has seen already, so that neither removing a budget and setting
-- it again nor moving it to another time zone erases spend.
CREATE FUNCTION tiny_dancer.open_budget() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began timestamptz := tiny_dancer.window_start(NEW.period, NEW.time_zone, clock_timestamp());
BEGIN
    DELETE FROM tiny_dancer.budget_charges c WHERE c.budget_id = NEW.id;
    DELETE FROM tiny_dancer.budget_holds h WHERE h.budget_id = NEW.id;
    INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount)
    SELECT NEW.id, began, sum(spent.cost)
    FROM (
        SELECT u.cost::numeric AS cost
        FROM tiny_dancer.usage u
        WHERE u.recorded_at >= began
              AND (NEW.agent_name IS NULL
                   OR u.agent_id IN (SELECT a.id FROM tiny_dancer.agents a WHERE a.name = NEW.agent_name))
              AND (NEW.tag IS NULL OR NEW.tag = ANY (u.tags))
        UNION ALL
        -- Settled without an outcome in the ledger.
        SELECT r.actual_cost
        FROM tiny_dancer.reservations r
        WHERE r.ended_at >= began AND r.state = 'settled' AND r.usage_id IS NULL
              AND (NEW.agent_name IS NULL OR r.agent_name = NEW.agent_name)
              AND (NEW.tag IS NULL OR NEW.tag = ANY (r.tags))
    ) spent
    HAVING count(*) > 0;
    INSERT INTO tiny_dancer.budget_holds (reservation_id, budget_id, window_start, amount, expires_at)
    SELECT r.id, NEW.id, began, r.amount, r.expires_at
    FROM tiny_dancer.reservations r
    WHERE r.state = 'held' AND r.expires_at > clock_timestamp() AND r.reserved_at >= began
          AND (NEW.agent_name IS NULL OR r.agent_name = NEW.agent_name)
          AND (NEW.tag IS NULL OR NEW.tag = ANY (r.tags));
    UPDATE tiny_dancer.budgets b SET opened_at = clock_timestamp() WHERE b.id = NEW.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.open_budget() IS
    'trigger: counts what the present window of a new or moved budget has seen already';

CREATE TRIGGER open_budget AFTER INSERT ON tiny_dancer.budgets
    FOR EACH ROW WHEN (NEW.opened_at IS NULL) EXECUTE FUNCTION tiny_dancer.open_budget();
CREATE TRIGGER move_budget AFTER UPDATE ON tiny_dancer.budgets
    FOR EACH ROW WHEN (NEW.time_zone <> OLD.time_zone) EXECUTE FUNCTION tiny_dancer.open_budget();

CREATE FUNCTION tiny_dancer.close_budget() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tiny_dancer.budget_charges c WHERE c.budget_id = OLD.id;
    DELETE FROM tiny_dancer.budget_holds h WHERE h.budget_id = OLD.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.close_budget() IS 'trigger: removes what was charged to a budget that is removed';

CREATE TRIGGER close_budget AFTER DELETE ON tiny_dancer.budgets
    FOR EACH ROW EXECUTE FUNCTION tiny_dancer.close_budget();

-- sql/62-recording.sql

-- Recording outcomes and feedback. This is the hot path of an application: plpgsql and two tables, and Python only
-- where a request is passed that has to be embedded.

CREATE FUNCTION tiny_dancer.require_writable(what text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'can not % in a read-only transaction', what
            USING ERRCODE = '25006',
                  HINT = CASE WHEN pg_is_in_recovery() THEN 'This server is a standby: connect to the primary.'
                              ELSE 'Use a transaction that may write.' END;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.require_writable(text) IS 'internal: refuses to record where nothing can be written';

CREATE FUNCTION tiny_dancer.are_tags(tags text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The dimensions first: array_position() fails on more than one.
    SELECT CASE WHEN pg_catalog.array_ndims(tags) > 1 THEN false
                ELSE pg_catalog.cardinality(tags) <= 100 AND pg_catalog.array_position(tags, NULL) IS NULL
           END;
END;
COMMENT ON FUNCTION tiny_dancer.are_tags(text[]) IS 'internal: whether these can be the tags of a request';

CREATE FUNCTION tiny_dancer.is_plain_outcome(
    actual_cost float8,
    success boolean,
    latency_ms float8,
    input_tokens integer,
    output_tokens integer,
    extras integer
) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT LEAST(actual_cost, latency_ms, input_tokens, output_tokens) >= 0
           AND GREATEST(actual_cost, latency_ms) <= 1e12
           AND pg_catalog.num_nulls(actual_cost, success) + extras = 0
           AND pg_catalog.current_setting('transaction_read_only') = 'off';
END;
COMMENT ON FUNCTION tiny_dancer.is_plain_outcome(float8, boolean, float8, integer, integer, integer) IS
    'internal: whether an outcome can be recorded without looking at it more closely';

CREATE FUNCTION tiny_dancer.check_outcome(
    actual_cost float8,
    success boolean,
    latency_ms float8,
    quality float8,
    input_tokens integer,
    output_tokens integer,
    tags text[],
    idempotency_key text
) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
    remedy text;
BEGIN
    CASE
        WHEN (actual_cost BETWEEN 0 AND 1e12) IS NOT TRUE THEN
            problem := 'actual_cost is ' || coalesce(actual_cost::text, 'NULL');
            remedy := 'Give what the request cost in dollars, a number from 0 to 10^12.';
        WHEN success IS NULL THEN
            problem := 'success is NULL';
            remedy := 'Say whether the agent succeeded, true or false.';
        WHEN NOT (latency_ms BETWEEN 0 AND 1e12) THEN
            problem := 'latency_ms is ' || latency_ms;
            remedy := 'Give a number of milliseconds from 0 to 10^12, or NULL if unknown.';
        WHEN NOT (quality BETWEEN 0 AND 1) THEN
            problem := 'quality is ' || quality;
            remedy := 'Give a number between 0 and 1, or NULL if unknown.';
        WHEN input_tokens < 0 OR output_tokens < 0 THEN
            problem := format('the numbers of tokens are %s and %s', input_tokens, output_tokens);
            remedy := 'Give numbers of at least 0, or NULL if unknown.';
        WHEN NOT tiny_dancer.are_tags(tags) THEN
            PERFORM tiny_dancer.check_tags(tags);
        WHEN length(idempotency_key) NOT BETWEEN 1 AND 200 THEN
            problem := format('the idempotency key has %s characters', length(idempotency_key));
            remedy := 'Give a key of 1 to 200 characters, for example a UUID.';
        ELSE
            RETURN;
    END CASE;
    RAISE EXCEPTION '%', problem USING ERRCODE = '22023', HINT = remedy;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_outcome(float8, boolean, float8, float8, integer, integer, text[], text) IS
    'internal: says what is wrong with an outcome, if anything is';

CREATE FUNCTION tiny_dancer.decided(
    decision uuid,
    agent text,
    given_tags text[],
    OUT agent_id bigint,
    OUT route_name text,
    OUT tags text[]
) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An agent that was removed since still gets the outcome of its decision. Another one that took the request
    -- over is charged as itself.
    SELECT (SELECT a.id FROM tiny_dancer.agents a WHERE a.id = d.agent_id AND a.name = agent), d.route_name,
           ARRAY(SELECT unnest(d.tags) UNION SELECT unnest(given_tags))
    INTO agent_id, route_name, tags
    FROM tiny_dancer.decisions d
    WHERE d.id = decision;
    IF NOT FOUND THEN
        tags := given_tags;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.decided(uuid, text, text[]) IS
    'internal: agent (NULL if another one acted), route and all tags of a recorded decision';

CREATE FUNCTION @extschema@.ruvector_record_usage(
    agent text,
    actual_cost float8,
    success boolean,
    latency_ms float8 DEFAULT NULL,
    decision_id uuid DEFAULT NULL,
    request text DEFAULT NULL,
    embedding real[] DEFAULT NULL,
    quality float8 DEFAULT NULL,
    input_tokens integer DEFAULT NULL,
    output_tokens integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    reservation uuid DEFAULT NULL
) RETURNS bigint
-- Without a SET clause, which would cost a tenth of the throughput: every name is qualified instead, and operators
-- are, or stand in functions that were bound when they were created.
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    acting pg_catalog.int8;
    decided_route pg_catalog.text;
    all_tags pg_catalog.text[];
    recorded pg_catalog.int8;
BEGIN
    IF tiny_dancer.is_plain_outcome(
        actual_cost, success, latency_ms, input_tokens, output_tokens,
        pg_catalog.num_nonnulls(quality, tags, idempotency_key, decision_id, reservation, request, embedding))
    THEN
        -- One statement: each further one would cost as much as what it does.
        INSERT INTO tiny_dancer.usage AS u (agent_id, cost, success, latency_ms, input_tokens, output_tokens)
        SELECT a.id, actual_cost, success, latency_ms, input_tokens, output_tokens
        FROM tiny_dancer.agents a WHERE a.name OPERATOR(pg_catalog.=) agent AND a.removed_at IS NULL
        RETURNING u.id INTO recorded;
        IF FOUND THEN
            RETURN recorded;
        END IF;
    END IF;
    PERFORM tiny_dancer.require_writable('record an outcome');
    PERFORM tiny_dancer.check_outcome(
        actual_cost, success, latency_ms, quality, input_tokens, output_tokens, tags, idempotency_key);
    SELECT d.agent_id, d.route_name, d.tags INTO acting, decided_route, all_tags
    FROM tiny_dancer.decided(decision_id, agent, tags) d;
    IF acting IS NULL THEN
        SELECT a.id INTO acting
        FROM tiny_dancer.agents a WHERE a.name OPERATOR(pg_catalog.=) agent AND a.removed_at IS NULL;
        IF acting IS NULL THEN
            PERFORM tiny_dancer.raise_unknown_agent(agent);
        END IF;
    END IF;
    INSERT INTO tiny_dancer.usage AS u
        (agent_id, cost, success, latency_ms, quality, input_tokens, output_tokens, tags, decision_id,
         route_name, reservation_id, idempotency_key, request)
    VALUES (acting, actual_cost, success, latency_ms, quality, input_tokens, output_tokens,
            coalesce(all_tags, '{}'), decision_id, decided_route, reservation, idempotency_key, request)
    RETURNING u.id INTO recorded;
    IF recorded IS NULL THEN
        SELECT k.usage_id INTO STRICT recorded
        FROM tiny_dancer.usage_keys k WHERE k.key OPERATOR(pg_catalog.=) idempotency_key;
    ELSIF request IS NOT NULL OR embedding IS NOT NULL THEN
        PERFORM tiny_dancer.record_request_vector(recorded, request, embedding);
    END IF;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_record_usage(text, float8, boolean, float8, uuid, text, real[], float8, integer, integer, text[], text, uuid) IS
    'records what an agent did and cost, in dollars, and returns the id of the outcome; a repeated idempotency key returns the first one';

CREATE FUNCTION tiny_dancer.check_feedback(quality float8) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tiny_dancer.require_writable('record feedback');
    IF (quality BETWEEN 0 AND 1) IS NOT TRUE THEN
        RAISE EXCEPTION 'quality is %', coalesce(quality::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give a number between 0 and 1.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_feedback(float8) IS 'internal: refuses feedback that can not be recorded';

CREATE FUNCTION @extschema@.ruvector_record_feedback(decision_id uuid, quality float8) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recorded bigint;
BEGIN
    PERFORM tiny_dancer.check_feedback(quality);
    IF NOT EXISTS (SELECT FROM tiny_dancer.usage u WHERE u.decision_id = ruvector_record_feedback.decision_id)
       AND NOT EXISTS (SELECT FROM tiny_dancer.decisions d WHERE d.id = ruvector_record_feedback.decision_id)
    THEN
        RAISE EXCEPTION 'unknown decision %', coalesce(quote_literal(decision_id), 'NULL')
            USING ERRCODE = '42704',
                  HINT = 'Pass the decision_id of a decision made with record := true, or that an outcome was recorded with.';
    END IF;
    INSERT INTO tiny_dancer.feedback AS f (decision_id, quality)
    VALUES (ruvector_record_feedback.decision_id, ruvector_record_feedback.quality)
    RETURNING f.id INTO recorded;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_record_feedback(uuid, float8) IS
    'records the quality in [0,1] of what a decision led to; the newest counts';

CREATE FUNCTION @extschema@.ruvector_record_feedback(usage_id bigint, quality float8) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recorded bigint;
BEGIN
    PERFORM tiny_dancer.check_feedback(quality);
    IF NOT EXISTS (SELECT FROM tiny_dancer.usage u WHERE u.id = ruvector_record_feedback.usage_id) THEN
        RAISE EXCEPTION 'unknown outcome %', coalesce(usage_id::text, 'NULL')
            USING ERRCODE = '42704', HINT = 'Pass the id that ruvector_record_usage() returned.';
    END IF;
    INSERT INTO tiny_dancer.feedback AS f (usage_id, quality)
    VALUES (ruvector_record_feedback.usage_id, ruvector_record_feedback.quality)
    RETURNING f.id INTO recorded;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_record_feedback(bigint, float8) IS
    'records the quality in [0,1] of an outcome; the newest counts';

-- sql/63-budgets.sql

-- Budgets as users meet them.

CREATE FUNCTION tiny_dancer.check_period(period text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (period IN ('hour', 'day', 'month')) IS NOT TRUE THEN
        RAISE EXCEPTION 'unknown period %', coalesce(quote_literal(period), 'NULL')
            USING ERRCODE = '22023', HINT = 'Use one of: hour, day, month.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_period(text) IS 'internal: refuses what is no period of a budget';

CREATE FUNCTION tiny_dancer.check_cost(what text, amount float8) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (amount >= 0 AND amount < 'Infinity') IS NOT TRUE THEN
        RAISE EXCEPTION '% is %', what, coalesce(amount::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give dollars, a finite number of at least 0.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_cost(text, float8) IS 'internal: refuses what is no amount of money';

CREATE FUNCTION tiny_dancer.check_tags(tags text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT tiny_dancer.are_tags(tags) THEN
        RAISE EXCEPTION 'the % tags are not a flat array of at most 100 without NULLs', cardinality(tags)
            USING ERRCODE = '22023', HINT = 'Pass an array such as ARRAY[''team-a''].';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_tags(text[]) IS 'internal: refuses what are no tags of a request';

CREATE FUNCTION tiny_dancer.require_agent(agent text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tiny_dancer.agents a WHERE a.name = agent AND a.removed_at IS NULL) THEN
        PERFORM tiny_dancer.raise_unknown_agent(agent);
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.require_agent(text) IS 'internal: refuses a name that no living agent has';

CREATE FUNCTION @extschema@.ruvector_set_budget(
    limit_amount float8,
    period text,
    agent text DEFAULT NULL,
    tag text DEFAULT NULL,
    time_zone text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text;
BEGIN
    PERFORM tiny_dancer.require_writable('set a budget');
    PERFORM tiny_dancer.check_period(period);
    IF agent IS NOT NULL AND tag IS NOT NULL THEN
        RAISE EXCEPTION 'a budget has an agent or a tag, not both'
            USING ERRCODE = '22023', HINT = 'Set two budgets: a request must fit all that apply to it.';
    END IF;
    IF limit_amount IS NULL THEN
        DELETE FROM tiny_dancer.budgets b
        WHERE b.agent_name IS NOT DISTINCT FROM agent AND b.tag IS NOT DISTINCT FROM ruvector_set_budget.tag
              AND b.period = ruvector_set_budget.period;
        RETURN FOUND;
    END IF;
    PERFORM tiny_dancer.check_cost('limit_amount', limit_amount);
    IF agent IS NOT NULL AND NOT EXISTS (SELECT FROM tiny_dancer.agents a WHERE a.name = agent) THEN
        PERFORM tiny_dancer.raise_unknown_agent(agent);
    END IF;
    IF length(tag) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'the tag has % characters', length(tag)
            USING ERRCODE = '22023', HINT = 'Give a tag of 1 to 200 characters.';
    END IF;
    IF time_zone IS NOT NULL THEN
        SELECT z.name INTO zone FROM pg_timezone_names z WHERE lower(z.name) = lower(time_zone) LIMIT 1;
        IF zone IS NULL THEN
            RAISE EXCEPTION 'unknown time zone %', quote_literal(time_zone)
                USING ERRCODE = '22023', HINT = 'Use a name of pg_timezone_names, for example Europe/Berlin.';
        END IF;
    END IF;
    INSERT INTO tiny_dancer.budgets AS b (agent_name, tag, period, limit_amount, time_zone)
    VALUES (agent, ruvector_set_budget.tag, ruvector_set_budget.period, ruvector_set_budget.limit_amount,
            coalesce(zone, 'UTC'))
    ON CONFLICT ON CONSTRAINT budgets_scope_period DO UPDATE
    SET limit_amount = excluded.limit_amount, time_zone = coalesce(zone, b.time_zone), updated_at = now();
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_budget(float8, text, text, text, text) IS
    'limits what an agent, a tag or (with neither) everything may cost in an hour, day or month, in dollars; a NULL limit removes the budget';

CREATE FUNCTION @extschema@.ruvector_budget_status(
    OUT agent text,
    OUT tag text,
    OUT period text,
    OUT limit_amount float8,
    OUT settled float8,
    OUT reserved float8,
    OUT remaining float8,
    OUT overshoot float8,
    OUT over_limit float8,
    OUT window_start timestamptz,
    OUT window_end timestamptz,
    OUT time_zone text
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 1000
BEGIN ATOMIC
    SELECT s.agent_name, s.tag, s.period, s.limit_amount::float8, s.settled::float8, s.reserved::float8,
           GREATEST(s.limit_amount - s.settled - s.reserved, 0)::float8,
           s.overshoot::float8, GREATEST(s.settled - s.limit_amount, 0)::float8,
           s.window_start, tiny_dancer.window_end(s.period, s.time_zone, s.window_start), s.time_zone
    FROM tiny_dancer.budget_balances() s
    ORDER BY s.scope COLLATE "C", s.window_start;
END;
COMMENT ON FUNCTION @extschema@.ruvector_budget_status() IS
    'every budget in its present window; overshoot is by how much actual costs exceeded their reservations, over_limit what was spent beyond the limit';

CREATE FUNCTION @extschema@.ruvector_check_budget(
    agent text,
    estimated_cost float8,
    tags text[] DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tiny_dancer.check_cost('estimated_cost', estimated_cost);
    PERFORM tiny_dancer.check_tags(tags);
    PERFORM tiny_dancer.require_agent(agent);
    RETURN NOT EXISTS (
        SELECT FROM tiny_dancer.budget_balances() s
        WHERE s.scope = ANY (tiny_dancer.budget_scopes(agent, tags))
              AND s.settled + s.reserved + estimated_cost::numeric > s.limit_amount);
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_check_budget(text, float8, text[]) IS
    'whether every budget that applies admits the cost at this moment; only a reservation makes sure of it';

CREATE FUNCTION tiny_dancer.require_fresh_snapshot() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen pg_snapshot := pg_current_snapshot();
    is_stale boolean;
    next_id bigint := pg_snapshot_xmax(seen)::text::bigint;
BEGIN
    -- A READ COMMITTED statement that follows the lock sees all that was committed before.
    IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
        RETURN;
    END IF;
    -- Above that, a transaction looks at the past. Whether anything was committed since can still be asked.
    SELECT bool_or(pg_xact_status(running) = 'committed') INTO is_stale FROM pg_snapshot_xip(seen) AS running;
    BEGIN
        WHILE is_stale IS NOT TRUE LOOP
            is_stale := pg_xact_status(next_id::text::xid8) = 'committed';
            next_id := next_id + 1;
        END LOOP;
    EXCEPTION WHEN invalid_parameter_value THEN
        -- The transaction of that number has not begun: all that have were looked at.
        RETURN;
    END;
    RAISE EXCEPTION 'could not serialize access: something was committed since this transaction''s snapshot'
        USING ERRCODE = '40001',
              DETAIL = 'What others spent or reserved meanwhile can not be seen from here.',
              HINT = 'Retry; reserve in a transaction of its own, at READ COMMITTED this does not happen.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.require_fresh_snapshot() IS
    'internal: refuses to admit spend by an old view of the budgets (REPEATABLE READ, SERIALIZABLE)';

CREATE FUNCTION tiny_dancer.raise_budget_exhausted(budget bigint, estimated_cost numeric) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    balance record;
BEGIN
    SELECT * INTO balance FROM tiny_dancer.budget_balances() s WHERE s.budget_id = budget;
    RAISE EXCEPTION 'the budget does not admit %', estimated_cost
        USING ERRCODE = 'TD002',
              DETAIL = format(
                  'Budget %s per %s: limit %s, settled %s, reserved %s, remaining %s; the next window begins at %s.',
                  CASE WHEN balance.agent_name IS NOT NULL THEN 'of agent ' || quote_literal(balance.agent_name)
                       WHEN balance.tag IS NOT NULL THEN 'of tag ' || quote_literal(balance.tag)
                       ELSE 'over all' END,
                  balance.period, trim_scale(balance.limit_amount), trim_scale(balance.settled),
                  trim_scale(balance.reserved),
                  trim_scale(greatest(balance.limit_amount - balance.settled - balance.reserved, 0)),
                  tiny_dancer.window_end(balance.period, balance.time_zone, balance.window_start)),
              HINT = 'Wait for the next window, take a cheaper agent, or have the limit raised with ruvector_set_budget().';
END
$$;
COMMENT ON FUNCTION tiny_dancer.raise_budget_exhausted(bigint, numeric) IS
    'internal: the error that a budget does not admit a cost';

CREATE FUNCTION @extschema@.ruvector_reserve_budget(
    agent text,
    estimated_cost float8,
    ttl interval DEFAULT '10 minutes',
    tags text[] DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    amount numeric := estimated_cost;
    labels text[] := ARRAY(SELECT DISTINCT unnest(tags));
    reservation uuid := gen_random_uuid();
    moment timestamptz;
    applying bigint[];
    refusing bigint;
BEGIN
    PERFORM tiny_dancer.require_writable('reserve');
    PERFORM tiny_dancer.check_cost('estimated_cost', estimated_cost);
    PERFORM tiny_dancer.check_tags(tags);
    PERFORM tiny_dancer.require_agent(agent);
    IF (ttl > '0' AND ttl <= '1 day') IS NOT TRUE THEN
        RAISE EXCEPTION 'ttl is %', coalesce(ttl::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give an interval above 0 and up to 1 day.';
    END IF;
    -- Everybody who admits something locks the budgets in the order of their ids, so nobody deadlocks; and
    -- only then looks at them and at the clock.
    SELECT array_agg(locked.id) INTO applying
    FROM (SELECT b.id FROM tiny_dancer.budgets b
          WHERE b.scope = ANY (tiny_dancer.budget_scopes(agent, labels))
          ORDER BY b.id
          FOR NO KEY UPDATE) AS locked;
    PERFORM tiny_dancer.require_fresh_snapshot();
    moment := clock_timestamp();
    IF applying IS NOT NULL THEN
        refusing := tiny_dancer.hold_budgets(reservation, applying, amount, moment, moment + ttl);
        IF refusing IS NOT NULL THEN
            PERFORM tiny_dancer.raise_budget_exhausted(refusing, amount);
        END IF;
    END IF;
    INSERT INTO tiny_dancer.reservations (id, agent_name, tags, amount, reserved_at, expires_at)
    VALUES (reservation, agent, labels, amount, moment, moment + ttl);
    RETURN reservation;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_reserve_budget(text, float8, interval, text[]) IS
    'sets dollars aside in every budget that applies, or fails with TD002; what is neither settled nor released in time is free again';

CREATE FUNCTION tiny_dancer.hold_budgets(
    reservation uuid,
    budgets bigint[],
    amount numeric,
    moment timestamptz,
    until timestamptz
) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    balance record;
BEGIN
    FOR balance IN
        SELECT s.* FROM tiny_dancer.budget_balances(moment) s
        WHERE s.budget_id = ANY (budgets) ORDER BY s.budget_id
    LOOP
        IF balance.settled + balance.reserved + amount > balance.limit_amount THEN
            RETURN balance.budget_id;
        END IF;
        INSERT INTO tiny_dancer.budget_holds (reservation_id, budget_id, window_start, amount, expires_at)
        VALUES (reservation, balance.budget_id, balance.window_start, amount, until);
        IF balance.charges > 64 THEN
            PERFORM tiny_dancer.merge_charges(balance.budget_id, balance.window_start);
        END IF;
    END LOOP;
    DELETE FROM tiny_dancer.budget_holds h
    WHERE h.ctid = ANY (ARRAY(
        SELECT s.ctid FROM tiny_dancer.budget_holds s
        WHERE s.budget_id = ANY (budgets) AND s.expires_at <= moment
        LIMIT 100
        FOR UPDATE SKIP LOCKED));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.hold_budgets(uuid, bigint[], numeric, timestamptz, timestamptz) IS
    'internal: holds an amount in locked budgets, and returns the first one that does not admit it';

CREATE FUNCTION tiny_dancer.lock_reservation(reservation uuid) RETURNS tiny_dancer.reservations
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held tiny_dancer.reservations;
BEGIN
    SELECT * INTO held FROM tiny_dancer.reservations r WHERE r.id = reservation FOR UPDATE;
    IF held.id IS NULL THEN
        RAISE EXCEPTION 'unknown reservation %', coalesce(quote_literal(reservation), 'NULL')
            USING ERRCODE = '42704', HINT = 'Pass what ruvector_reserve_budget() returned.';
    END IF;
    RETURN held;
END
$$;
COMMENT ON FUNCTION tiny_dancer.lock_reservation(uuid) IS 'internal: the reservation of that id, locked';

CREATE FUNCTION @extschema@.ruvector_settle_budget(reservation uuid, actual_cost float8) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held tiny_dancer.reservations;
BEGIN
    PERFORM tiny_dancer.require_writable('settle a reservation');
    PERFORM tiny_dancer.check_cost('actual_cost', actual_cost);
    held := tiny_dancer.lock_reservation(reservation);
    IF held.state = 'settled' THEN
        RETURN false;
    END IF;
    UPDATE tiny_dancer.reservations r
    SET state = 'settled', actual_cost = ruvector_settle_budget.actual_cost, ended_at = clock_timestamp()
    WHERE r.id = held.id;
    PERFORM tiny_dancer.charge_reservation(held, held.agent_name, held.tags, actual_cost::numeric);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_settle_budget(uuid, float8) IS
    'ends a reservation with what was spent, however late; false if it was settled already';

CREATE FUNCTION @extschema@.ruvector_release_budget(reservation uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held tiny_dancer.reservations;
BEGIN
    PERFORM tiny_dancer.require_writable('release a reservation');
    held := tiny_dancer.lock_reservation(reservation);
    IF held.state <> 'held' THEN
        RETURN false;
    END IF;
    UPDATE tiny_dancer.reservations r SET state = 'released', ended_at = clock_timestamp() WHERE r.id = held.id;
    DELETE FROM tiny_dancer.budget_holds h WHERE h.reservation_id = held.id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_release_budget(uuid) IS
    'ends a reservation of which nothing was spent; false if it had ended already';

-- sql/64-analytics.sql

-- Where the money went. Plain SQL over the ledger, by its time index, and over the sums of hours and days that
-- tiny_dancer.maintain() has made of it.

CREATE FUNCTION tiny_dancer.baseline_agent(
    OUT name text,
    OUT input_price float8,
    OUT output_price float8,
    OUT fixed_price float8
) RETURNS record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Of equally good agents the cheapest, which flatters the savings least.
    SELECT a.name,
           COALESCE(a.cost_per_1k_tokens, 0) / 1000,
           COALESCE(a.cost_per_1k_output_tokens, a.cost_per_1k_tokens, 0) / 1000,
           COALESCE(a.cost_per_call, 0) + COALESCE(a.cost_per_second * a.avg_latency_ms / 1000, 0)
    FROM tiny_dancer.agents a
    WHERE a.removed_at IS NULL AND a.active AND a.quality_score IS NOT NULL AND a.agent_type <> 'ensemble'
          AND COALESCE(a.cost_per_1k_tokens, a.cost_per_1k_output_tokens, a.cost_per_call, a.cost_per_second)
              IS NOT NULL
          AND (COALESCE(a.cost_per_second, 0) = 0 OR a.avg_latency_ms IS NOT NULL)
    ORDER BY a.quality_score DESC,
             COALESCE(a.cost_per_1k_tokens, 0) + COALESCE(a.cost_per_1k_output_tokens, a.cost_per_1k_tokens, 0)
             + COALESCE(a.cost_per_call, 0),
             a.name COLLATE "C"
    LIMIT 1;
END;
COMMENT ON FUNCTION tiny_dancer.baseline_agent() IS
    'the active agent of the highest registered quality whose price is known; dollars per token and per request';

CREATE FUNCTION tiny_dancer.rolled_period(since timestamptz, OUT began timestamptz, OUT ended timestamptz)
RETURNS record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Sums know of no row-level security: where some outcomes are hidden, only the ledger itself may answer.
    SELECT w.began, s.rolled_until
    FROM (SELECT pg_catalog.date_trunc('hour', since, 'UTC') + '1 hour'::interval AS began) w
    JOIN tiny_dancer.usage_rollup_state s ON s.rolled_until > w.began
    WHERE NOT pg_catalog.row_security_active('tiny_dancer.usage'::regclass);
END;
COMMENT ON FUNCTION tiny_dancer.rolled_period(timestamptz) IS
    'internal: the whole hours since a time that are summed up; NULL if there are none';

CREATE FUNCTION tiny_dancer.has_whole_hours(time_zone text, since timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.bool_and(pg_catalog.date_part('minute', r.began AT TIME ZONE time_zone) = 0
                               AND pg_catalog.date_part('second', r.began AT TIME ZONE time_zone) = 0)
    FROM tiny_dancer.usage_rollups r
    WHERE r.dimension = 'agent' AND r.period = 'hour' AND r.began >= since;
END;
COMMENT ON FUNCTION tiny_dancer.has_whole_hours(text, timestamptz) IS
    'internal: whether the hours of a time zone begin with those that were summed up';

CREATE FUNCTION tiny_dancer.rolled_usage(
    since timestamptz,
    rolled_since timestamptz,
    rolled_until timestamptz,
    group_by text,
    time_zone text,
    OUT agent text,
    OUT group_key text,
    OUT requests bigint,
    OUT successes bigint,
    OUT cost float8,
    OUT latencies bigint,
    OUT latency_total float8,
    OUT p50 float8,
    OUT p95 float8,
    OUT p99 float8,
    OUT compared bigint,
    OUT compared_cost float8,
    OUT input_tokens float8,
    OUT output_tokens float8,
    OUT first_at timestamptz,
    OUT last_at timestamptz
) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted text := CASE WHEN group_by IN ('route', 'tag') THEN group_by ELSE 'agent' END;
    -- Days of UTC stand for their hours wherever the hour does not matter.
    by_days boolean := group_by <> 'hour' AND (group_by <> 'day' OR lower(time_zone) = 'utc');
    first_day timestamptz := date_trunc('day', rolled_since + '24 hours'::interval - '1 us'::interval, 'UTC');
    last_day timestamptz := CASE WHEN by_days THEN date_trunc('day', rolled_until, 'UTC') END;
    stale_hours timestamptz[] := ARRAY(SELECT s.began FROM tiny_dancer.usage_rollup_stale s);
    stale_days timestamptz[] := ARRAY(SELECT date_trunc('day', s.began, 'UTC') FROM tiny_dancer.usage_rollup_stale s);
BEGIN
    RETURN QUERY
    WITH outcomes AS (
        SELECT u.agent_id, u.route_name, u.recorded_at, u.cost, u.success, u.latency_ms, u.tags,
               u.input_tokens, u.output_tokens
        FROM tiny_dancer.usage u
        WHERE u.recorded_at > since AND u.recorded_at < rolled_since
        UNION ALL
        SELECT u.agent_id, u.route_name, u.recorded_at, u.cost, u.success, u.latency_ms, u.tags,
               u.input_tokens, u.output_tokens
        FROM tiny_dancer.usage u
        WHERE u.recorded_at >= rolled_until
        UNION ALL
        SELECT u.agent_id, u.route_name, u.recorded_at, u.cost, u.success, u.latency_ms, u.tags,
               u.input_tokens, u.output_tokens
        FROM unnest(stale_hours) AS stale (began)
        JOIN tiny_dancer.usage u
            ON u.recorded_at >= stale.began AND u.recorded_at < stale.began + '1 hour'::interval
        WHERE stale.began >= rolled_since AND stale.began < rolled_until AND cardinality(stale_hours) > 0
    ),
    pieces AS (
        SELECT CASE WHEN wanted = 'agent' THEN o.agent_id END AS agent_id,
               CASE wanted WHEN 'tag' THEN t.tag WHEN 'route' THEN o.route_name END AS label,
               date_trunc('hour', o.recorded_at, 'UTC') AS began,
               count(*) AS requests, count(*) FILTER (WHERE o.success) AS successes, sum(o.cost) AS cost,
               count(o.latency_ms) AS latencies, sum(o.latency_ms) AS latency_total,
               count(*) FILTER (WHERE num_nulls(o.input_tokens, o.output_tokens) = 0) AS compared,
               sum(o.cost) FILTER (WHERE num_nulls(o.input_tokens, o.output_tokens) = 0) AS compared_cost,
               sum(o.input_tokens) FILTER (WHERE o.output_tokens IS NOT NULL) AS input_tokens,
               sum(o.output_tokens) FILTER (WHERE o.input_tokens IS NOT NULL) AS output_tokens,
               ARRAY[tiny_dancer.latency_bucket(o.latency_ms)] AS buckets, ARRAY[count(o.latency_ms)] AS bucket_counts,
               min(o.recorded_at) AS first_at, max(o.recorded_at) AS last_at
        FROM outcomes o
        CROSS JOIN LATERAL (
            SELECT NULL::text WHERE wanted <> 'tag'
            UNION ALL
            SELECT DISTINCT l.tag FROM unnest(o.tags) AS l (tag) WHERE wanted = 'tag') AS t (tag)
        GROUP BY 1, 2, 3, tiny_dancer.latency_bucket(o.latency_ms)
        UNION ALL
        SELECT r.agent_id, r.label, r.began, r.requests, r.successes, r.cost, r.latencies, r.latency_total,
               r.compared, r.compared_cost, r.input_tokens, r.output_tokens, r.buckets, r.bucket_counts,
               r.first_at, r.last_at
        FROM tiny_dancer.usage_rollups r
        WHERE r.dimension = wanted AND r.period = 'day' AND r.began >= first_day AND r.began < last_day
              AND r.began <> ALL (stale_days)
        UNION ALL
        SELECT r.agent_id, r.label, r.began, r.requests, r.successes, r.cost, r.latencies, r.latency_total,
               r.compared, r.compared_cost, r.input_tokens, r.output_tokens, r.buckets, r.bucket_counts,
               r.first_at, r.last_at
        FROM tiny_dancer.usage_rollups r
        WHERE r.dimension = wanted AND r.period = 'hour' AND r.began >= rolled_since AND r.began < rolled_until
              AND (last_day IS NULL OR r.began < first_day OR r.began >= last_day
                   OR date_trunc('day', r.began, 'UTC') = ANY (stale_days))
              AND r.began <> ALL (stale_hours)
    ),
    keyed AS (
        SELECT CASE WHEN group_by = 'agent' THEN a.name END AS agent,
               CASE group_by
                   WHEN 'agent' THEN CASE WHEN a.removed_at IS NULL THEN a.name ELSE a.name || ' (removed)' END
                   WHEN 'type' THEN a.agent_type
                   WHEN 'hour' THEN to_char(p.began AT TIME ZONE time_zone, 'YYYY-MM-DD HH24":00"')
                   WHEN 'day' THEN to_char(p.began AT TIME ZONE time_zone, 'YYYY-MM-DD')
                   WHEN 'route' THEN p.label
                   WHEN 'tag' THEN p.label END AS key,
               p.*
        FROM pieces p LEFT JOIN tiny_dancer.agents a ON a.id = p.agent_id
        WHERE group_by <> 'capability' AND (group_by NOT IN ('agent', 'type') OR a.id IS NOT NULL)
        UNION ALL
        SELECT NULL, c.capability, p.*
        FROM pieces p
        JOIN (SELECT DISTINCT a.id, lower(k) AS capability
              FROM tiny_dancer.agents a CROSS JOIN LATERAL unnest(a.capabilities) AS k) c ON c.id = p.agent_id
        WHERE group_by = 'capability'
    ),
    -- A number for each group, since texts with NULL among them are slow to group by and to join.
    numbered AS MATERIALIZED (
        SELECT dense_rank() OVER (ORDER BY k.agent COLLATE "C", k.key COLLATE "C") AS number, k.* FROM keyed k
    ),
    totals AS (
        SELECT n.number, min(n.agent) AS agent, min(n.key) AS key,
               sum(n.requests)::bigint AS requests, sum(n.successes)::bigint AS successes,
               sum(n.cost) AS cost, sum(n.latencies)::bigint AS latencies, sum(n.latency_total) AS latency_total,
               sum(n.compared)::bigint AS compared, sum(n.compared_cost) AS compared_cost,
               sum(n.input_tokens)::float8 AS input_tokens, sum(n.output_tokens)::float8 AS output_tokens,
               min(n.first_at) AS first_at, max(n.last_at) AS last_at
        FROM numbered n
        GROUP BY n.number
    ),
    spread AS (
        SELECT b.number, b.bucket, sum(b.counted)::bigint AS counted
        FROM (SELECT n.number, unnest(n.buckets) AS bucket, unnest(n.bucket_counts) AS counted FROM numbered n) b
        WHERE b.bucket IS NOT NULL
        GROUP BY b.number, b.bucket
    ),
    counted AS (
        SELECT s.number, tiny_dancer.bucket_latency(s.bucket) AS latency,
               sum(s.counted::float8) OVER (PARTITION BY s.number ORDER BY s.bucket) AS up_to
        FROM spread s
    ),
    -- As percentile_cont() does: between the two outcomes that the rank falls between.
    ranked AS (
        SELECT c.number,
               min(c.latency) FILTER (WHERE c.up_to > floor(0.5 * (t.latencies - 1))) AS low50,
               min(c.latency) FILTER (WHERE c.up_to > ceil(0.5 * (t.latencies - 1))) AS high50,
               min(c.latency) FILTER (WHERE c.up_to > floor(0.95 * (t.latencies - 1))) AS low95,
               min(c.latency) FILTER (WHERE c.up_to > ceil(0.95 * (t.latencies - 1))) AS high95,
               min(c.latency) FILTER (WHERE c.up_to > floor(0.99 * (t.latencies - 1))) AS low99,
               min(c.latency) FILTER (WHERE c.up_to > ceil(0.99 * (t.latencies - 1))) AS high99
        FROM counted c JOIN (SELECT t.number, t.latencies::float8 FROM totals t) t ON t.number = c.number
        GROUP BY c.number
    )
    SELECT t.agent, t.key, t.requests, t.successes, t.cost, t.latencies, t.latency_total,
           r.low50 + (r.high50 - r.low50) * (0.5 * l.last - floor(0.5 * l.last)),
           r.low95 + (r.high95 - r.low95) * (0.95 * l.last - floor(0.95 * l.last)),
           r.low99 + (r.high99 - r.low99) * (0.99 * l.last - floor(0.99 * l.last)),
           t.compared, t.compared_cost, t.input_tokens, t.output_tokens, t.first_at, t.last_at
    FROM totals t
    CROSS JOIN LATERAL (SELECT (t.latencies - 1)::float8 AS last) l
    LEFT JOIN ranked r ON r.number = t.number;
END
$$;
COMMENT ON FUNCTION tiny_dancer.rolled_usage(timestamptz, timestamptz, timestamptz, text, text) IS
    'internal: sums and percentiles of outcomes by group, whole hours of the period from their sums and the rest from the ledger';

CREATE FUNCTION @extschema@.ruvector_routing_analytics(
    time_range interval DEFAULT '7 days',
    group_by text DEFAULT 'agent',
    time_zone text DEFAULT 'UTC',
    OUT agent text,
    OUT group_key text,
    OUT total_requests bigint,
    OUT total_cost float8,
    OUT avg_latency_ms float8,
    OUT success_rate float8,
    OUT p50_latency_ms float8,
    OUT p95_latency_ms float8,
    OUT p99_latency_ms float8,
    OUT compared_requests bigint,
    OUT baseline_cost float8,
    OUT savings float8
) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A variable: with the function in its place, which is volatile, the index on time could not be used.
    since timestamptz := clock_timestamp() - time_range;
    rolled record;
BEGIN
    IF (group_by IN ('agent', 'type', 'route', 'capability', 'tag', 'hour', 'day')) IS NOT TRUE THEN
        RAISE EXCEPTION 'unknown group_by %', coalesce(quote_literal(group_by), 'NULL')
            USING ERRCODE = '22023', HINT = 'Use one of: agent, type, route, capability, tag, hour, day.';
    END IF;
    IF (time_range > '0') IS NOT TRUE THEN
        RAISE EXCEPTION 'time_range is %', coalesce(time_range::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give an interval above 0, for example ''7 days''.';
    END IF;
    IF time_zone IS NULL THEN
        RAISE EXCEPTION 'time_zone is NULL' USING ERRCODE = '22023', HINT = 'Give a name, for example UTC.';
    END IF;
    SELECT * INTO rolled FROM tiny_dancer.rolled_period(since);
    IF rolled.began IS NOT NULL
       AND (group_by NOT IN ('hour', 'day') OR tiny_dancer.has_whole_hours(time_zone, rolled.began))
    THEN
        RETURN QUERY
        SELECT u.agent, u.group_key, u.requests, u.cost, u.latency_total / nullif(u.latencies, 0),
               u.successes::float8 / u.requests, u.p50, u.p95, u.p99,
               CASE WHEN b.name IS NULL THEN 0 ELSE u.compared END, c.baseline, c.baseline - u.compared_cost
        FROM tiny_dancer.rolled_usage(since, rolled.began, rolled.ended, group_by, time_zone) u
        LEFT JOIN tiny_dancer.baseline_agent() b ON true
        CROSS JOIN LATERAL (
            SELECT b.input_price * u.input_tokens + b.output_price * u.output_tokens + b.fixed_price * u.compared
                   AS baseline) c
        ORDER BY CASE WHEN group_by IN ('hour', 'day') THEN u.group_key END COLLATE "C", u.cost DESC,
                 u.group_key COLLATE "C";
        RETURN;
    END IF;
    RETURN QUERY
    WITH outcomes AS NOT MATERIALIZED (
        SELECT u.agent_id, u.recorded_at, u.cost, u.success, u.latency_ms, u.route_name, u.tags,
               b.input_price * u.input_tokens + b.output_price * u.output_tokens + b.fixed_price AS baseline
        FROM tiny_dancer.usage u
        LEFT JOIN tiny_dancer.baseline_agent() b ON true
        WHERE u.recorded_at > since
    ),
    keyed AS (
        SELECT a.name AS agent,
               CASE WHEN a.removed_at IS NULL THEN a.name ELSE a.name || ' (removed)' END AS key,
               o.cost, o.success, o.latency_ms, o.baseline
        FROM outcomes o JOIN tiny_dancer.agents a ON a.id = o.agent_id
        WHERE group_by = 'agent'
        UNION ALL
        SELECT NULL, a.agent_type, o.cost, o.success, o.latency_ms, o.baseline
        FROM outcomes o JOIN tiny_dancer.agents a ON a.id = o.agent_id
        WHERE group_by = 'type'
        UNION ALL
        SELECT NULL, c.capability, o.cost, o.success, o.latency_ms, o.baseline
        FROM outcomes o
        JOIN (SELECT DISTINCT a.id, lower(k) AS capability
              FROM tiny_dancer.agents a CROSS JOIN LATERAL unnest(a.capabilities) AS k) c ON c.id = o.agent_id
        WHERE group_by = 'capability'
        UNION ALL
        SELECT NULL, t.tag, o.cost, o.success, o.latency_ms, o.baseline
        FROM outcomes o CROSS JOIN LATERAL (SELECT DISTINCT l.tag FROM unnest(o.tags) AS l (tag)) t
        WHERE group_by = 'tag'
        UNION ALL
        SELECT NULL,
               CASE group_by
                   WHEN 'route' THEN o.route_name
                   WHEN 'hour' THEN to_char(o.recorded_at AT TIME ZONE time_zone, 'YYYY-MM-DD HH24":00"')
                   ELSE to_char(o.recorded_at AT TIME ZONE time_zone, 'YYYY-MM-DD') END,
               o.cost, o.success, o.latency_ms, o.baseline
        FROM outcomes o
        WHERE group_by IN ('route', 'hour', 'day')
    )
    SELECT k.agent, k.key, count(*), sum(k.cost), avg(k.latency_ms), avg(k.success::integer)::float8,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY k.latency_ms),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY k.latency_ms),
           percentile_cont(0.99) WITHIN GROUP (ORDER BY k.latency_ms),
           count(k.baseline), sum(k.baseline),
           sum(k.baseline) - sum(k.cost) FILTER (WHERE k.baseline IS NOT NULL)
    FROM keyed k
    GROUP BY k.agent, k.key
    ORDER BY CASE WHEN group_by IN ('hour', 'day') THEN k.key END COLLATE "C", sum(k.cost) DESC, k.key COLLATE "C";
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_routing_analytics(interval, text, text) IS
    'recorded outcomes by agent, type, route, capability, tag, hour or day; savings in dollars against the same tokens at the best agent''s prices, over the outcomes whose tokens are known';

CREATE FUNCTION @extschema@.ruvector_routing_stats(
    time_range interval DEFAULT NULL,
    OUT agents bigint,
    OUT active_agents bigint,
    OUT total_decisions bigint,
    OUT total_requests bigint,
    OUT total_cost float8,
    OUT success_rate float8,
    OUT avg_latency_ms float8,
    OUT p50_latency_ms float8,
    OUT p95_latency_ms float8,
    OUT p99_latency_ms float8,
    OUT total_feedback bigint,
    OUT baseline_agent text,
    OUT compared_requests bigint,
    OUT baseline_cost float8,
    OUT savings float8,
    OUT first_recorded_at timestamptz,
    OUT last_recorded_at timestamptz
) RETURNS record
LANGUAGE sql STABLE PARALLEL SAFE COST 100000
BEGIN ATOMIC
    WITH since AS MATERIALIZED (
        SELECT m.moment, w.began, w.ended
        FROM (SELECT COALESCE(pg_catalog.clock_timestamp() - time_range, '-infinity'::timestamptz) AS moment) m
        CROSS JOIN LATERAL tiny_dancer.rolled_period(m.moment) w
    ),
    registered AS (
        SELECT pg_catalog.count(*) AS living, pg_catalog.count(*) FILTER (WHERE a.active) AS active
        FROM tiny_dancer.agents a
        WHERE a.removed_at IS NULL
    ),
    decided AS (
        SELECT pg_catalog.count(*) AS total
        FROM tiny_dancer.decisions d WHERE d.decided_at > (SELECT moment FROM since)
    ),
    judged AS (
        SELECT pg_catalog.count(*) AS total
        FROM tiny_dancer.feedback f WHERE f.given_at > (SELECT moment FROM since)
    ),
    outcomes AS (
        SELECT u.recorded_at, u.cost, u.success, u.latency_ms,
               b.input_price * u.input_tokens + b.output_price * u.output_tokens + b.fixed_price AS baseline
        FROM tiny_dancer.usage u
        LEFT JOIN tiny_dancer.baseline_agent() b ON true
        WHERE u.recorded_at > (SELECT moment FROM since) AND (SELECT ended FROM since) IS NULL
    ),
    totals AS (
        SELECT pg_catalog.count(*) AS requests,
               COALESCE(pg_catalog.sum(o.cost), 0) AS cost,
               pg_catalog.avg(o.success::integer)::float8 AS success_rate,
               pg_catalog.avg(o.latency_ms) AS latency,
               pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY o.latency_ms) AS p50,
               pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY o.latency_ms) AS p95,
               pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY o.latency_ms) AS p99,
               pg_catalog.count(o.baseline) AS compared,
               pg_catalog.sum(o.baseline) AS baseline,
               pg_catalog.sum(o.baseline) - pg_catalog.sum(o.cost) FILTER (WHERE o.baseline IS NOT NULL) AS savings,
               pg_catalog.min(o.recorded_at) AS began,
               pg_catalog.max(o.recorded_at) AS ended
        FROM outcomes o
        HAVING (SELECT ended FROM since) IS NULL
        UNION ALL
        SELECT COALESCE(u.requests, 0), COALESCE(u.cost, 0), u.successes::float8 / u.requests,
               u.latency_total / NULLIF(u.latencies, 0), u.p50, u.p95, u.p99,
               CASE WHEN b.name IS NULL THEN 0 ELSE COALESCE(u.compared, 0) END, c.baseline, c.baseline - u.compared_cost,
               u.first_at, u.last_at
        FROM since s
        LEFT JOIN LATERAL tiny_dancer.rolled_usage(s.moment, s.began, s.ended, 'all', 'UTC') u ON true
        LEFT JOIN tiny_dancer.baseline_agent() b ON true
        CROSS JOIN LATERAL (
            SELECT b.input_price * u.input_tokens + b.output_price * u.output_tokens + b.fixed_price * u.compared
                   AS baseline) c
        WHERE s.ended IS NOT NULL
    )
    SELECT r.living, r.active, d.total, t.requests, t.cost, t.success_rate, t.latency, t.p50, t.p95, t.p99, j.total,
           (SELECT b.name FROM tiny_dancer.baseline_agent() b), t.compared, t.baseline, t.savings, t.began, t.ended
    FROM registered r, decided d, judged j, totals t;
END;
COMMENT ON FUNCTION @extschema@.ruvector_routing_stats(interval) IS
    'totals of the time range, of all time where it is NULL; costs in dollars';

-- sql/65-indexes.sql

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

-- sql/66-router-models.sql

-- Router models: what they are trained from, which there are, and what came in since.

CREATE FUNCTION tiny_dancer.learnable_outcomes(
    embedding_model bigint,
    most integer,
    OUT usage_id bigint,
    OUT agent_id bigint,
    OUT quality float8,
    OUT embedding bytea,
    OUT features real[]
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 COST 100000
BEGIN ATOMIC
    WITH recent AS (
        SELECT u.id, u.agent_id, u.decision_id, u.success, u.quality
        FROM tiny_dancer.usage u
        JOIN tiny_dancer.agents a ON a.id = u.agent_id AND a.removed_at IS NULL
        ORDER BY u.recorded_at DESC, u.id DESC
        LIMIT most
    ),
    -- As in tiny_dancer.agent_outcomes(): feedback on a decision judges its last outcome.
    judged AS (
        SELECT DISTINCT ON (f.id) f.id, f.quality
        FROM (
            SELECT r.id, g.quality, g.id AS feedback_id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.usage_id = r.id
            UNION ALL
            SELECT r.id, g.quality, g.id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.decision_id = r.decision_id
            WHERE NOT EXISTS (
                SELECT FROM tiny_dancer.usage later
                WHERE later.decision_id = r.decision_id AND later.id > r.id)
        ) f
        ORDER BY f.id, f.feedback_id DESC
    ),
    vectors AS (
        SELECT DISTINCT ON (n.id) n.id, n.embedding, n.features
        FROM (
            SELECT r.id, v.embedding, v.features, v.recorded_at
            FROM recent r
            JOIN tiny_dancer.request_vectors v ON v.usage_id = r.id AND v.model_id = embedding_model
            UNION ALL
            SELECT r.id, v.embedding, v.features, v.recorded_at
            FROM recent r
            JOIN tiny_dancer.request_vectors v ON v.decision_id = r.decision_id AND v.model_id = embedding_model
        ) n
        ORDER BY n.id, n.recorded_at
    )
    SELECT r.id, r.agent_id, COALESCE(j.quality, r.quality, r.success::integer::float8),
           tiny_dancer.halfvec_bytes(v.embedding), v.features
    FROM recent r
    LEFT JOIN judged j ON j.id = r.id
    LEFT JOIN vectors v ON v.id = r.id;
END;
COMMENT ON FUNCTION tiny_dancer.learnable_outcomes(bigint, integer) IS
    'the latest outcomes of living agents with what is known of their requests; embedding is NULL where none by this model was recorded';

CREATE FUNCTION tiny_dancer.outcomes_since(
    router_model bigint,
    since bigint,
    most integer DEFAULT 300,
    OUT agent_id bigint,
    OUT outcomes bigint,
    OUT quality float8,
    OUT foreseen bigint,
    OUT foreseen_quality float8
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 10000
BEGIN ATOMIC
    WITH recent AS (
        SELECT a.id AS agent_id, u.id, u.decision_id, u.success, u.quality
        FROM tiny_dancer.agents a
        CROSS JOIN LATERAL (
            SELECT r.id, r.decision_id, r.success, r.quality
            FROM tiny_dancer.usage r
            WHERE r.agent_id = a.id AND r.id > since
            ORDER BY r.recorded_at DESC
            LIMIT most
        ) u
        WHERE a.removed_at IS NULL
    ),
    judged AS (
        SELECT DISTINCT ON (f.id) f.id, f.quality
        FROM (
            SELECT r.id, g.quality, g.id AS feedback_id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.usage_id = r.id
            UNION ALL
            SELECT r.id, g.quality, g.id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.decision_id = r.decision_id
            WHERE NOT EXISTS (
                SELECT FROM tiny_dancer.usage later
                WHERE later.decision_id = r.decision_id AND later.id > r.id)
        ) f
        ORDER BY f.id, f.feedback_id DESC
    ),
    predicted AS (
        SELECT r.id, pg_catalog.min(p.quality) AS quality
        FROM recent r
        JOIN LATERAL (
            SELECT d.learned_quality[pg_catalog.array_position(d.candidates, r.agent_id)] AS quality
            FROM tiny_dancer.decisions d
            WHERE d.id = r.decision_id AND d.router_model_id = router_model
            UNION ALL
            SELECT f.quality
            FROM tiny_dancer.foreseen_outcomes f
            WHERE f.usage_id = r.id AND f.router_model_id = router_model
        ) p ON p.quality BETWEEN 0 AND 1
        GROUP BY r.id
    )
    SELECT r.agent_id,
           pg_catalog.count(*),
           pg_catalog.avg(COALESCE(j.quality, r.quality, r.success::integer::float8)),
           pg_catalog.count(p.quality),
           pg_catalog.avg(p.quality)::float8
    FROM recent r
    LEFT JOIN judged j ON j.id = r.id
    LEFT JOIN predicted p ON p.id = r.id
    GROUP BY r.agent_id;
END;
COMMENT ON FUNCTION tiny_dancer.outcomes_since(bigint, bigint, integer) IS
    'internal: the latest outcomes of each living agent since a router model was trained, their mean quality, and what the model expected of those whose request it saw';

CREATE FUNCTION @extschema@.ruvector_router_models(
    OUT id bigint,
    OUT predictor text,
    OUT active boolean,
    OUT embedding_model text,
    OUT is_current boolean,
    OUT agents text[],
    OUT requests integer,
    OUT outcomes integer,
    OUT held_back integer,
    OUT loss float8,
    OUT means_loss float8,
    OUT prior_loss float8,
    OUT brier float8,
    OUT calibration_error float8,
    OUT prediction_us float8,
    OUT seed integer,
    OUT bytes integer,
    OUT created_at timestamptz,
    OUT created_by text,
    OUT activated_at timestamptz,
    OUT metrics jsonb
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10 COST 1000
BEGIN ATOMIC
    SELECT r.id, r.predictor, r.active, m.name, m.active,
           ARRAY(SELECT a.name FROM tiny_dancer.agents a
                 WHERE a.id = ANY (r.agent_ids) AND a.removed_at IS NULL
                 ORDER BY a.name COLLATE "C"),
           r.requests, r.outcomes, r.held_back,
           (r.metrics ->> 'loss')::float8, (r.metrics ->> 'means_loss')::float8,
           (r.metrics ->> 'prior_loss')::float8, (r.metrics ->> 'brier')::float8,
           (r.metrics ->> 'calibration_error')::float8,
           r.prediction_us, r.seed, pg_catalog.octet_length(r.weights),
           r.created_at, r.created_by::text, r.activated_at, r.metrics
    FROM tiny_dancer.router_models r
    JOIN tiny_dancer.models m ON m.id = r.model_id
    ORDER BY r.id DESC;
END;
COMMENT ON FUNCTION @extschema@.ruvector_router_models() IS
    'the trained router models, the newest first, with what was measured on the requests held back from each';

-- sql/67-routes.sql

-- The part of the semantic routes that needs no Python.

CREATE FUNCTION @extschema@.ruvector_list_routes(
    OUT route_name text,
    OUT description text,
    OUT target_agent text,
    OUT priority integer,
    OUT utterances text[],
    OUT threshold float8,
    OUT conditions jsonb,
    OUT active boolean
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    SELECT r.name, r.description, r.target_agent, r.priority,
           ARRAY(SELECT u.utterance FROM tiny_dancer.route_utterances u
                 WHERE u.route_id = r.id AND u.utterance IS NOT NULL ORDER BY u.id),
           r.threshold, r.conditions, r.active
    FROM tiny_dancer.routes r
    ORDER BY r.name COLLATE "C";
END;
COMMENT ON FUNCTION @extschema@.ruvector_list_routes() IS
    'the semantic routes by name; threshold is NULL where the default holds';

CREATE FUNCTION @extschema@.ruvector_drop_route(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tiny_dancer.routes r WHERE r.name = ruvector_drop_route.name;
    IF NOT FOUND THEN
        PERFORM tiny_dancer.raise_unknown_route(name);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_drop_route(text) IS 'drops a semantic route with its utterances';

CREATE FUNCTION @extschema@.ruvector_set_route_active(name text, is_active boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_active IS NULL THEN
        RAISE EXCEPTION 'is_active must not be NULL' USING ERRCODE = '22023', HINT = 'Pass true or false.';
    END IF;
    UPDATE tiny_dancer.routes r SET active = is_active, updated_at = now()
    WHERE r.name = ruvector_set_route_active.name;
    IF NOT FOUND THEN
        PERFORM tiny_dancer.raise_unknown_route(name);
    END IF;
    RETURN is_active;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_route_active(text, boolean) IS
    'sets whether requests are matched to a semantic route, and returns that';

CREATE FUNCTION tiny_dancer.raise_unknown_route(name text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'unknown route %', coalesce(quote_literal(name), 'NULL')
        USING ERRCODE = '42704', HINT = 'ruvector_list_routes() shows the routes.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.raise_unknown_route(text) IS 'internal: the error that no semantic route has the name';

CREATE FUNCTION tiny_dancer.rate_limit(
    conditions jsonb,
    OUT most bigint,
    OUT span interval
) RETURNS record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (CASE pg_catalog.jsonb_typeof(conditions -> 'rate_limit')
                WHEN 'number' THEN conditions ->> 'rate_limit'
                ELSE conditions -> 'rate_limit' ->> 'limit'
            END)::numeric::bigint,
           pg_catalog.make_interval(
               secs => coalesce((conditions -> 'rate_limit' ->> 'per_seconds')::float8, 60));
END;
COMMENT ON FUNCTION tiny_dancer.rate_limit(jsonb) IS
    'how many passes the conditions of a route allow in which time; NULL where they limit none';

CREATE FUNCTION tiny_dancer.exhausted_routes() RETURNS SETOF bigint
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
    SELECT r.id
    FROM tiny_dancer.route_passes p
    JOIN tiny_dancer.routes r ON r.id = p.route_id
    CROSS JOIN LATERAL tiny_dancer.rate_limit(r.conditions) l
    WHERE p.passed >= l.most AND p.window_start + l.span > pg_catalog.clock_timestamp();
END;
COMMENT ON FUNCTION tiny_dancer.exhausted_routes() IS 'routes whose rate limit is reached in the present window';

-- SECURITY DEFINER: those who use routes may count a pass, and nothing else. The limit is the route's own, so
-- no caller can bring another.
CREATE FUNCTION tiny_dancer.take_route_pass(route bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed bigint;
    span interval;
BEGIN
    SELECT l.most, l.span INTO allowed, span
    FROM tiny_dancer.routes r, tiny_dancer.rate_limit(r.conditions) l
    WHERE r.id = route AND r.active;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF allowed IS NULL THEN
        RETURN true;
    END IF;
    -- A block of its own: where the limit is reached, going back out of it releases the row, and a caller
    -- that goes on to its next route never holds one row while it waits for another.
    BEGIN
        INSERT INTO tiny_dancer.route_passes AS p (route_id, window_start, passed)
        VALUES (route, clock_timestamp(), 1)
        ON CONFLICT (route_id) DO UPDATE SET
            passed = CASE WHEN p.window_start + span <= clock_timestamp() THEN 1 ELSE p.passed + 1 END,
            window_start = CASE WHEN p.window_start + span <= clock_timestamp()
                                THEN clock_timestamp() ELSE p.window_start END
        WHERE p.window_start + span <= clock_timestamp() OR p.passed < allowed;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the rate limit of the route is reached' USING ERRCODE = 'TD003';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'TD003' OR foreign_key_violation THEN
            RETURN false;
    END;
    RETURN true;
END
$$;
COMMENT ON FUNCTION tiny_dancer.take_route_pass(bigint) IS
    'internal: counts a pass of a route, and says whether its rate limit allows it';

-- sql/68-replay.sql

-- What was recorded, as replaying another policy and calibrating the dial need it.

CREATE FUNCTION tiny_dancer.logged_decisions(
    after timestamptz,
    until timestamptz,
    embedding_model bigint,
    most integer,
    OUT agent_id bigint,
    OUT routed_by text,
    OUT input_tokens integer,
    OUT candidates bigint[],
    OUT expected_quality real[],
    OUT propensities real[],
    OUT embedding bytea,
    OUT features real[],
    OUT quality float8,
    OUT cost float8
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 COST 100000
BEGIN ATOMIC
    -- Ids are random, so the least of them are an even sample, and the same one each time.
    WITH drawn AS (
        SELECT d.id, d.agent_id, d.routed_by, d.input_tokens, d.candidates, d.expected_quality, d.propensities
        FROM tiny_dancer.decisions d
        WHERE d.decided_at > after AND d.decided_at <= until
        ORDER BY d.id
        LIMIT most
    )
    SELECT d.agent_id, d.routed_by, d.input_tokens, d.candidates, d.expected_quality, d.propensities,
           tiny_dancer.halfvec_bytes(v.embedding), v.features, COALESCE(f.quality, o.quality), o.cost
    FROM drawn d
    LEFT JOIN LATERAL (
        SELECT r.embedding, r.features
        FROM tiny_dancer.request_vectors r
        WHERE r.decision_id = d.id AND r.model_id = embedding_model
        ORDER BY r.recorded_at
        LIMIT 1
    ) v ON true
    -- A decision cost what all its attempts did, and achieved what the last one did.
    LEFT JOIN LATERAL (
        SELECT pg_catalog.sum(u.cost) AS cost, pg_catalog.max(u.id) AS last_id,
               (pg_catalog.array_agg(COALESCE(u.quality, u.success::integer::float8) ORDER BY u.id DESC))[1]
                   AS quality
        FROM tiny_dancer.usage u
        WHERE u.decision_id = d.id
    ) o ON true
    LEFT JOIN LATERAL (
        SELECT g.quality
        FROM (
            SELECT b.id, b.quality FROM tiny_dancer.feedback b WHERE b.usage_id = o.last_id
            UNION ALL
            SELECT b.id, b.quality FROM tiny_dancer.feedback b WHERE b.decision_id = d.id
        ) g
        ORDER BY g.id DESC
        LIMIT 1
    ) f ON true;
END;
COMMENT ON FUNCTION tiny_dancer.logged_decisions(timestamptz, timestamptz, bigint, integer) IS
    'internal: recorded decisions with their request and what they led to; embedding is NULL where none by this model was recorded';

CREATE FUNCTION tiny_dancer.recorded_requests(
    after timestamptz,
    embedding_model bigint,
    most integer,
    OUT input_tokens integer,
    OUT embedding bytea,
    OUT features real[]
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 COST 100000
BEGIN ATOMIC
    WITH drawn AS (
        SELECT d.id, d.input_tokens
        FROM tiny_dancer.decisions d
        WHERE d.decided_at > after
        ORDER BY d.id
        LIMIT most
    )
    SELECT d.input_tokens, tiny_dancer.halfvec_bytes(v.embedding), v.features
    FROM drawn d
    CROSS JOIN LATERAL (
        SELECT r.embedding, r.features
        FROM tiny_dancer.request_vectors r
        WHERE r.decision_id = d.id AND r.model_id = embedding_model
        ORDER BY r.recorded_at
        LIMIT 1
    ) v;
END;
COMMENT ON FUNCTION tiny_dancer.recorded_requests(timestamptz, bigint, integer) IS
    'internal: length and embedding of the requests of recorded decisions, an even sample where there are more';

-- sql/68-route-fits.sql

-- The fits of the semantic routes: which there are, and which is used.

CREATE FUNCTION @extschema@.ruvector_route_fits(
    OUT id bigint,
    OUT model text,
    OUT fitted_at timestamptz,
    OUT active boolean,
    OUT routes integer,
    OUT acceptance float8,
    OUT seed bigint,
    OUT metrics jsonb
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 5
BEGIN ATOMIC
    SELECT h.id, m.name, h.fitted_at, h.active, pg_catalog.cardinality(h.route_ids), h.acceptance, h.seed, h.metrics
    FROM tiny_dancer.route_heads h JOIN tiny_dancer.models m ON m.id = h.model_id
    ORDER BY h.id DESC;
END;
COMMENT ON FUNCTION @extschema@.ruvector_route_fits() IS
    'the fits of the semantic routes, the latest first, with what was measured on examples held back';

CREATE FUNCTION @extschema@.ruvector_activate_route_fit(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Waits for whoever changes routes, so that what follows sees what they did.
    UPDATE tiny_dancer.route_heads SET active = false WHERE false;
    IF id IS NOT NULL AND NOT EXISTS (
        SELECT FROM tiny_dancer.route_heads h WHERE h.id = ruvector_activate_route_fit.id
    ) THEN
        RAISE EXCEPTION 'unknown route fit %', id
            USING ERRCODE = '42704', HINT = 'ruvector_route_fits() shows the fits.';
    END IF;
    UPDATE tiny_dancer.route_heads h SET active = false
    WHERE h.active AND (ruvector_activate_route_fit.id IS NULL OR h.model_id = (
        SELECT o.model_id FROM tiny_dancer.route_heads o WHERE o.id = ruvector_activate_route_fit.id));
    UPDATE tiny_dancer.route_heads h SET active = true WHERE h.id = ruvector_activate_route_fit.id;
    RETURN id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_activate_route_fit(bigint) IS
    'uses a fit of the semantic routes instead of the present one of its model; NULL uses none';

-- sql/70-breakers.sql

-- The circuit breaker of an agent: closed, open, half_open.

CREATE TYPE tiny_dancer.breaker_rules AS (
    failures integer,
    failure_window interval,
    cooldown interval,
    longest_cooldown interval,
    successes integer
);
COMMENT ON TYPE tiny_dancer.breaker_rules IS 'the settings of the circuit breakers';

-- In PL/pgSQL, which keeps its plans: what is called with every outcome must not be planned every time.
CREATE FUNCTION tiny_dancer.breaker_rules() RETURNS tiny_dancer.breaker_rules
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rules tiny_dancer.breaker_rules;
BEGIN
    SELECT coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_failures'), '5'),
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_window_seconds'), '60')::float8 * '1 s'::interval,
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_cooldown_seconds'), '30')::float8 * '1 s'::interval,
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_max_cooldown_seconds'), '600')::float8 * '1 s'::interval,
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_successes'), '2')
    INTO rules
    FROM tiny_dancer.settings s
    WHERE s.name LIKE 'breaker\_%';
    RETURN rules;
END
$$;
COMMENT ON FUNCTION tiny_dancer.breaker_rules() IS 'internal: the settings of the circuit breakers in force';

CREATE FUNCTION tiny_dancer.breaker_cooldown(openings integer, rules tiny_dancer.breaker_rules) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The exponent is bounded, since an interval can overflow.
    SELECT greatest(rules.cooldown,
                    least(rules.cooldown * power(2, least(openings, 20) - 1), rules.longest_cooldown));
END;
COMMENT ON FUNCTION tiny_dancer.breaker_cooldown(integer, tiny_dancer.breaker_rules) IS
    'internal: how long a breaker stays open, doubled with every opening in a row up to the longest';

-- Only what an agent did since its breaker changed says anything about it: a request that began before the breaker
-- opened may end well long after, and one that hung through an outage may fail after it is over.
CREATE FUNCTION tiny_dancer.request_began(outcome tiny_dancer.usage) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Bounded, since a time can overflow: a month is older than anything that is judged.
    seconds float8 := least(coalesce(outcome.latency_ms, 0) / 1000, 2592000);
    decided_at timestamptz;
BEGIN
    IF outcome.decision_id IS NOT NULL THEN
        SELECT min(d.decided_at) INTO decided_at FROM tiny_dancer.decisions d WHERE d.id = outcome.decision_id;
    END IF;
    RETURN least(decided_at, outcome.recorded_at - make_interval(secs => seconds));
END
$$;
COMMENT ON FUNCTION tiny_dancer.request_began(tiny_dancer.usage) IS
    'internal: when the request of an outcome began, as far as its decision and its latency tell';

CREATE FUNCTION tiny_dancer.recovered_at(agent_id bigint, since timestamptz, successes integer) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
BEGIN
    SELECT u.recorded_at INTO moment
    FROM tiny_dancer.usage u
    WHERE u.agent_id = recovered_at.agent_id AND u.recorded_at >= recovered_at.since AND u.success
          AND tiny_dancer.request_began(u) >= recovered_at.since
    ORDER BY u.recorded_at
    OFFSET successes - 1 LIMIT 1;
    RETURN moment;
END
$$;
COMMENT ON FUNCTION tiny_dancer.recovered_at(bigint, timestamptz, integer) IS
    'internal: when an agent had so many successes of requests that began since a time; NULL if it has not';

-- The latest change of state that was written, and what was recorded since. A change that nobody has written yet is
-- found here, by every reader alike: the successes that close a breaker write nothing, and two failures recorded at
-- the same time do not see each other, so both may miss the opening that they make together. The next failure or
-- lease writes it.
-- As the owner, since it looks at outcomes; it tells nothing of them but the state.
CREATE FUNCTION tiny_dancer.breaker_state(
    agent_id bigint,
    moment timestamptz,
    rules tiny_dancer.breaker_rules,
    OUT state text,
    OUT failures integer,
    OUT opened_at timestamptz,
    OUT retry_at timestamptz,
    OUT openings integer,
    OUT since timestamptz,
    OUT is_written boolean
) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written tiny_dancer.breaker_events;
    last_failure timestamptz;
    closed_at timestamptz;
    burst integer;
BEGIN
    state := 'closed';
    failures := 0;
    openings := 0;
    since := '-infinity';
    is_written := true;
    IF rules.failures = 0
       OR NOT EXISTS (SELECT FROM tiny_dancer.breaker_events e WHERE e.agent_id = breaker_state.agent_id) THEN
        RETURN;
    END IF;
    SELECT e.* INTO written
    FROM tiny_dancer.breaker_events e
    WHERE e.agent_id = breaker_state.agent_id AND e.event IN ('opened', 'closed')
    ORDER BY e.happened_at DESC, e.id DESC
    LIMIT 1;
    IF written.event = 'opened' THEN
        opened_at := written.happened_at;
        retry_at := written.retry_at;
        openings := written.openings;
        since := retry_at;
    ELSIF written.event = 'closed' THEN
        since := written.happened_at;
    END IF;

    SELECT max(e.happened_at) INTO last_failure
    FROM tiny_dancer.breaker_events e
    WHERE e.agent_id = breaker_state.agent_id AND e.event = 'failure' AND e.happened_at >= since;
    SELECT count(*) FILTER (WHERE e.happened_at > moment - rules.failure_window),
           count(*) FILTER (WHERE e.happened_at > last_failure - rules.failure_window)
    INTO failures, burst
    FROM tiny_dancer.breaker_events e
    WHERE e.agent_id = breaker_state.agent_id AND e.event = 'failure'
          AND e.happened_at > least(moment, last_failure) - rules.failure_window
          AND (opened_at IS NOT NULL OR e.happened_at >= since);

    -- An opening that nobody has written is not for ever: it goes when the agent was left alone for a window.
    IF (opened_at IS NOT NULL AND last_failure IS NOT NULL)
       OR (opened_at IS NULL AND burst >= rules.failures AND last_failure > moment - rules.failure_window) THEN
        opened_at := last_failure;
        openings := openings + 1;
        retry_at := opened_at + tiny_dancer.breaker_cooldown(openings, rules);
        since := retry_at;
        is_written := false;
    END IF;
    IF opened_at IS NOT NULL AND moment >= retry_at THEN
        closed_at := tiny_dancer.recovered_at(agent_id, retry_at, rules.successes);
        IF closed_at IS NOT NULL THEN
            opened_at := NULL;
            retry_at := NULL;
            openings := 0;
            failures := 0;
            since := closed_at;
            is_written := false;
        END IF;
    END IF;
    IF opened_at IS NOT NULL THEN
        state := CASE WHEN moment < retry_at THEN 'open' ELSE 'half_open' END;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.breaker_state(bigint, timestamptz, tiny_dancer.breaker_rules) IS
    'internal: state of an agent''s circuit breaker at a moment; outcomes of requests that began before since do not count, is_written says whether the ledger shows this state';

CREATE FUNCTION tiny_dancer.write_breaker_state(
    agent_id bigint, moment timestamptz, rules tiny_dancer.breaker_rules
) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present record;
BEGIN
    SELECT * INTO present FROM tiny_dancer.breaker_state(agent_id, moment, rules);
    IF NOT present.is_written THEN
        INSERT INTO tiny_dancer.breaker_events (agent_id, happened_at, event, retry_at, openings)
        VALUES (write_breaker_state.agent_id, coalesce(present.opened_at, present.since),
                CASE WHEN present.opened_at IS NULL THEN 'closed' ELSE 'opened' END,
                present.retry_at, nullif(present.openings, 0));
    END IF;
    RETURN present.state;
END
$$;
COMMENT ON FUNCTION tiny_dancer.write_breaker_state(bigint, timestamptz, tiny_dancer.breaker_rules) IS
    'internal: writes a change of state that outcomes have made; returns the state';

CREATE FUNCTION tiny_dancer.forget_breaker_events(agent_id bigint, before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forgotten bigint;
BEGIN
    -- Rows that another session is deleting are skipped and not waited for. With an older snapshot that would be
    -- a serialisation failure.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN 0;
    END IF;
    DELETE FROM tiny_dancer.breaker_events e
    WHERE e.id = ANY (ARRAY(
        SELECT old.id FROM tiny_dancer.breaker_events old
        WHERE old.agent_id = forget_breaker_events.agent_id AND old.happened_at < before
              AND old.id IS DISTINCT FROM (
                  SELECT w.id FROM tiny_dancer.breaker_events w
                  WHERE w.agent_id = forget_breaker_events.agent_id AND w.event IN ('opened', 'closed')
                  ORDER BY w.happened_at DESC, w.id DESC
                  LIMIT 1)
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;
COMMENT ON FUNCTION tiny_dancer.forget_breaker_events(bigint, timestamptz) IS
    'internal: deletes what no longer bears on the state of an agent''s breaker; keeps the latest change of state';

-- Called by the trigger on the ledger, for failures alone: a success costs nothing here.
CREATE FUNCTION tiny_dancer.observe_failure(failure tiny_dancer.usage) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rules tiny_dancer.breaker_rules := tiny_dancer.breaker_rules();
    present record;
BEGIN
    IF rules.failures = 0 THEN
        RETURN;
    END IF;
    SELECT * INTO present FROM tiny_dancer.breaker_state(failure.agent_id, failure.recorded_at, rules);
    IF NOT present.is_written THEN
        PERFORM tiny_dancer.write_breaker_state(failure.agent_id, failure.recorded_at, rules);
    END IF;
    IF present.state = 'open' OR tiny_dancer.request_began(failure) < present.since THEN
        RETURN;
    END IF;
    INSERT INTO tiny_dancer.breaker_events (agent_id, happened_at, event)
    VALUES (failure.agent_id, failure.recorded_at, 'failure');
    PERFORM tiny_dancer.write_breaker_state(failure.agent_id, failure.recorded_at, rules);
    PERFORM tiny_dancer.forget_breaker_events(failure.agent_id, failure.recorded_at - 2 * rules.failure_window);
END
$$;
COMMENT ON FUNCTION tiny_dancer.observe_failure(tiny_dancer.usage) IS
    'internal: lets a recorded failure count for the circuit breaker of its agent';

CREATE FUNCTION tiny_dancer.reset_breaker(agent text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reset_agent bigint;
    present text;
BEGIN
    SELECT a.id INTO reset_agent FROM tiny_dancer.agents a WHERE a.name = agent AND a.removed_at IS NULL;
    IF reset_agent IS NULL THEN
        PERFORM tiny_dancer.raise_unknown_agent(agent);
    END IF;
    SELECT b.state INTO present
    FROM tiny_dancer.breaker_state(reset_agent, clock_timestamp(), tiny_dancer.breaker_rules()) b;
    INSERT INTO tiny_dancer.breaker_events (agent_id, happened_at, event)
    VALUES (reset_agent, clock_timestamp(), 'closed');
    RETURN present <> 'closed';
END
$$;
COMMENT ON FUNCTION tiny_dancer.reset_breaker(text) IS
    'closes the circuit breaker of an agent and forgets its failures; returns whether it was open or half-open';

-- sql/71-load.sql

-- What agents are doing: slots held, circuit breakers, and who can take a request.

CREATE FUNCTION tiny_dancer.agent_load(
    agent_id bigint,
    active boolean,
    max_concurrent integer,
    moment timestamptz,
    rules tiny_dancer.breaker_rules,
    OUT in_flight integer,
    OUT free_slots integer,
    OUT breaker text,
    OUT failures integer,
    OUT opened_at timestamptz,
    OUT retry_at timestamptz,
    OUT is_written boolean,
    OUT refusal text
) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    probes integer;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE l.is_probe) INTO in_flight, probes
    FROM tiny_dancer.leases l
    WHERE l.agent_id = agent_load.agent_id AND l.expires_at > moment;
    free_slots := CASE WHEN max_concurrent IS NOT NULL THEN greatest(max_concurrent - in_flight, 0) END;
    SELECT b.state, b.failures, b.opened_at, b.retry_at, b.is_written
    INTO breaker, failures, opened_at, retry_at, is_written
    FROM tiny_dancer.breaker_state(agent_id, moment, rules) b;
    refusal := CASE
        WHEN NOT active THEN 'is inactive'
        WHEN breaker = 'open' THEN format('has its circuit breaker open until %s', retry_at)
        WHEN breaker = 'half_open' AND probes > 0 THEN 'is being probed after failures'
        WHEN free_slots = 0 THEN format('is full (%s of %s)', in_flight, max_concurrent)
    END;
END
$$;
COMMENT ON FUNCTION tiny_dancer.agent_load(bigint, boolean, integer, timestamptz, tiny_dancer.breaker_rules) IS
    'internal: slots and circuit breaker of an agent; refusal says why it can not take a request, NULL if it can';

CREATE FUNCTION tiny_dancer.present_load(
    agent_id bigint,
    OUT max_concurrent integer,
    OUT breaker text,
    OUT is_written boolean,
    OUT refusal text
) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT a.max_concurrent, load.breaker, load.is_written, load.refusal
    INTO max_concurrent, breaker, is_written, refusal
    FROM tiny_dancer.agents a
    CROSS JOIN tiny_dancer.breaker_rules() AS rules
    CROSS JOIN LATERAL tiny_dancer.agent_load(a.id, a.active, a.max_concurrent, clock_timestamp(), rules) AS load
    WHERE a.id = present_load.agent_id AND a.removed_at IS NULL;
    IF NOT FOUND THEN
        refusal := 'is not registered any more';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.present_load(bigint) IS
    'internal: limit, circuit breaker and refusal of an agent at this moment';

CREATE FUNCTION tiny_dancer.agent_health(
    OUT agent_id bigint,
    OUT available boolean,
    OUT state text,
    OUT in_flight integer,
    OUT free_slots integer
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    WITH eventful AS (
        SELECT l.agent_id FROM tiny_dancer.leases l WHERE l.expires_at > clock_timestamp()
        UNION
        SELECT e.agent_id FROM tiny_dancer.breaker_events e
    )
    SELECT a.id, load.refusal IS NULL, load.breaker, load.in_flight, load.free_slots
    FROM eventful
    JOIN tiny_dancer.agents a ON a.id = eventful.agent_id AND a.removed_at IS NULL
    CROSS JOIN tiny_dancer.breaker_rules() AS rules
    CROSS JOIN LATERAL tiny_dancer.agent_load(a.id, a.active, a.max_concurrent, clock_timestamp(), rules) AS load
    WHERE load.breaker <> 'closed' OR load.in_flight > 0;
END;
COMMENT ON FUNCTION tiny_dancer.agent_health() IS
    'the living agents that are not closed and idle; free_slots is NULL where there is no limit';

CREATE FUNCTION @extschema@.ruvector_pool_status(
    OUT pool text,
    OUT agent_name text,
    OUT active boolean,
    OUT weight float8,
    OUT in_flight integer,
    OUT max_concurrent integer,
    OUT free_slots integer,
    OUT breaker text,
    OUT failures integer,
    OUT opened_at timestamptz,
    OUT retry_at timestamptz,
    OUT available boolean
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    SELECT a.pool, a.name, a.active, a.weight, load.in_flight, a.max_concurrent, load.free_slots, load.breaker,
           load.failures, load.opened_at, load.retry_at, load.refusal IS NULL
    FROM tiny_dancer.agents a
    CROSS JOIN tiny_dancer.breaker_rules() AS rules
    CROSS JOIN LATERAL tiny_dancer.agent_load(a.id, a.active, a.max_concurrent, clock_timestamp(), rules) AS load
    WHERE a.removed_at IS NULL
    ORDER BY a.pool COLLATE "C" NULLS LAST, a.name COLLATE "C";
END;
COMMENT ON FUNCTION @extschema@.ruvector_pool_status() IS
    'the living agents by pool: slots held and free, circuit breaker (closed, open, half_open), and who can take a request';

-- sql/72-leases.sql

-- Slots of agents, held for a time by leases.

CREATE FUNCTION tiny_dancer.lease_duration(ttl interval) RETURNS interval
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds float8 := extract(epoch FROM ttl);
    most float8;
BEGIN
    SELECT coalesce(max(s.value), '3600')::float8 INTO most
    FROM tiny_dancer.settings s
    WHERE s.name = 'lease_max_seconds';
    IF ttl IS NULL OR seconds < 0.001 OR seconds > most THEN
        RAISE EXCEPTION 'a lease can not last %', coalesce(quote_literal(ttl::text), 'NULL')
            USING ERRCODE = '22023',
                  DETAIL = format('It lasts from 0.001 to %s seconds; the latter is the setting lease_max_seconds.', most),
                  HINT = 'Give a short time, and renew the lease while the work goes on.';
    END IF;
    RETURN make_interval(secs => seconds);
END
$$;
COMMENT ON FUNCTION tiny_dancer.lease_duration(interval) IS 'internal: the duration of a lease, checked';

CREATE FUNCTION tiny_dancer.refuse_lease_writes() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'leases can not be taken, renewed or released in a read-only transaction'
            USING ERRCODE = '25006',
                  HINT = 'Connect to the primary server, in a transaction that may write; ruvector_pool_status() works here.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.refuse_lease_writes() IS 'internal: the error of leases where nothing can be written';

-- As the owner: those who use the router have no other way to write leases.
-- An agent that turns out to be unable is let go of at once (the block that fails gives back its row lock), so
-- nobody waits for one agent while holding another.
CREATE FUNCTION tiny_dancer.take_slot(
    agent_id bigint,
    ttl interval,
    may_wait boolean,
    OUT lease uuid,
    OUT expires_at timestamptz,
    OUT refusal text
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    duration interval := tiny_dancer.lease_duration(ttl);
    present record;
    held integer;
    probes integer;
BEGIN
    -- Who is full or open is found without a lock, and not queued at.
    SELECT * INTO present FROM tiny_dancer.present_load(agent_id);
    refusal := present.refusal;
    IF refusal IS NOT NULL THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM tiny_dancer.agent_slots s WHERE s.agent_id = take_slot.agent_id) THEN
        INSERT INTO tiny_dancer.agent_slots (agent_id) VALUES (take_slot.agent_id) ON CONFLICT DO NOTHING;
    END IF;
    BEGIN
        IF may_wait THEN
            PERFORM FROM tiny_dancer.agent_slots s WHERE s.agent_id = take_slot.agent_id FOR UPDATE;
        ELSE
            PERFORM FROM tiny_dancer.agent_slots s WHERE s.agent_id = take_slot.agent_id FOR UPDATE SKIP LOCKED;
        END IF;
        IF NOT FOUND THEN
            refusal := 'is busy';
            RETURN;
        END IF;
        -- One that has expired and is locked is being renewed at this moment: it stays, and counts.
        DELETE FROM tiny_dancer.leases l
        WHERE l.id = ANY (ARRAY(
            SELECT past.id FROM tiny_dancer.leases past
            WHERE past.agent_id = take_slot.agent_id AND past.expires_at <= clock_timestamp()
            FOR UPDATE SKIP LOCKED));
        SELECT count(*), count(*) FILTER (WHERE l.is_probe) INTO held, probes
        FROM tiny_dancer.leases l
        WHERE l.agent_id = take_slot.agent_id;
        SELECT * INTO present FROM tiny_dancer.present_load(agent_id);
        refusal := CASE
            WHEN present.refusal IS NOT NULL THEN present.refusal
            WHEN held >= present.max_concurrent THEN format('is full (%s of %s)', held, present.max_concurrent)
            WHEN present.breaker = 'half_open' AND probes > 0 THEN 'is being probed after failures'
        END;
        IF refusal IS NOT NULL THEN
            RAISE EXCEPTION 'no free slot' USING ERRCODE = 'TD003';
        END IF;
        INSERT INTO tiny_dancer.leases AS l (id, agent_id, acquired_at, expires_at, is_probe)
        SELECT gen_random_uuid(), take_slot.agent_id, moment, moment + duration, present.breaker = 'half_open'
        FROM clock_timestamp() AS moment
        RETURNING l.id, l.expires_at INTO lease, expires_at;
        UPDATE tiny_dancer.agent_slots s SET leases_taken = s.leases_taken + 1 WHERE s.agent_id = take_slot.agent_id;
        IF NOT present.is_written THEN
            PERFORM tiny_dancer.write_breaker_state(agent_id, clock_timestamp(), tiny_dancer.breaker_rules());
        END IF;
    EXCEPTION WHEN SQLSTATE 'TD003' THEN
        RETURN;
    END;
END
$$;
COMMENT ON FUNCTION tiny_dancer.take_slot(bigint, interval, boolean) IS
    'internal: takes a slot of an agent, or says why it has none; may_wait says whether to queue behind who is taking one';

-- Two rounds: the first passes over members at which somebody is taking a slot right now, the second waits for
-- them, one at a time. So who is refused saw every member unable.
CREATE FUNCTION @extschema@.ruvector_acquire(
    pool_or_agent text,
    ttl interval DEFAULT '1 minute',
    OUT lease uuid,
    OUT agent_name text,
    OUT expires_at timestamptz
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    members bigint[];
    names text[];
    refusals text[];
    may_wait boolean;
    attempt record;
BEGIN
    PERFORM tiny_dancer.refuse_lease_writes();
    SELECT m.members, m.names INTO members, names FROM tiny_dancer.slot_holders(pool_or_agent) m;
    IF members IS NULL THEN
        RAISE EXCEPTION 'unknown agent or pool %', coalesce(quote_literal(pool_or_agent), 'NULL')
            USING ERRCODE = '42704', HINT = 'ruvector_pool_status() shows the agents and their pools.';
    END IF;
    refusals := array_fill('is busy'::text, ARRAY[cardinality(members)]);
    FOREACH may_wait IN ARRAY CASE cardinality(members) WHEN 1 THEN '{true}' ELSE '{false,true}' END::boolean[] LOOP
        FOR i IN 1 .. cardinality(members) LOOP
            CONTINUE WHEN refusals[i] <> 'is busy';
            SELECT * INTO attempt FROM tiny_dancer.take_slot(members[i], ttl, may_wait);
            IF attempt.lease IS NOT NULL THEN
                lease := attempt.lease;
                agent_name := names[i];
                expires_at := attempt.expires_at;
                RETURN;
            END IF;
            refusals[i] := attempt.refusal;
        END LOOP;
    END LOOP;
    RAISE EXCEPTION 'no free slot at %', quote_literal(pool_or_agent)
        USING ERRCODE = 'TD003',
              DETAIL = tiny_dancer.refusal_detail(names, refusals),
              HINT = 'Try again later; ruvector_pool_status() shows who is free.';
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_acquire(text, interval) IS
    'takes a slot of the agent of that name or else of the pool''s member with the least in flight for its weight; the lease ends by itself after ttl';

CREATE FUNCTION tiny_dancer.slot_holders(pool_or_agent text, OUT members bigint[], OUT names text[]) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT ARRAY[a.id], ARRAY[a.name] INTO members, names
    FROM tiny_dancer.agents a
    WHERE a.name = pool_or_agent AND a.removed_at IS NULL;
    IF FOUND THEN
        RETURN;
    END IF;
    -- Who waits for its probe comes first: with the others free, the turn of the last by name would never come.
    SELECT array_agg(m.id ORDER BY m.is_on_probation DESC, m.in_flight / m.weight, m.name COLLATE "C"),
           array_agg(m.name ORDER BY m.is_on_probation DESC, m.in_flight / m.weight, m.name COLLATE "C")
    INTO members, names
    FROM (
        SELECT a.id, a.name, a.weight, load.in_flight, load.breaker = 'half_open' AS is_on_probation
        FROM tiny_dancer.agents a
        CROSS JOIN tiny_dancer.breaker_rules() AS rules
        CROSS JOIN LATERAL tiny_dancer.agent_load(a.id, a.active, a.max_concurrent, clock_timestamp(), rules) AS load
        WHERE a.pool = pool_or_agent AND a.removed_at IS NULL
    ) AS m;
END
$$;
COMMENT ON FUNCTION tiny_dancer.slot_holders(text) IS
    'internal: the agent of that name or else the members of that pool, in the order in which they are asked for a slot';

CREATE FUNCTION tiny_dancer.refusal_detail(names text[], refusals text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('Agent %s%s.', string_agg(format('%L %s', r.name, r.refusal), '; ' ORDER BY r.place),
                  CASE WHEN cardinality(names) > 10 THEN format('; and %s more', cardinality(names) - 10) END)
    FROM ROWS FROM (unnest(names), unnest(refusals)) WITH ORDINALITY AS r (name, refusal, place)
    WHERE r.place <= 10;
END;
COMMENT ON FUNCTION tiny_dancer.refusal_detail(text[], text[]) IS 'internal: why agents have no free slot, as a sentence';

CREATE FUNCTION @extschema@.ruvector_renew(lease uuid, ttl interval DEFAULT '1 minute') RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    duration interval := tiny_dancer.lease_duration(ttl);
    renewed timestamptz;
BEGIN
    PERFORM tiny_dancer.refuse_lease_writes();
    UPDATE tiny_dancer.leases l SET expires_at = clock_timestamp() + duration
    WHERE l.id = lease AND l.expires_at > clock_timestamp()
    RETURNING l.expires_at INTO renewed;
    IF renewed IS NULL THEN
        RAISE EXCEPTION 'lease % is not held', coalesce(lease::text, 'NULL')
            USING ERRCODE = '42704',
                  DETAIL = 'It has expired, was released, or never was.',
                  HINT = 'Its slot may be taken by now: acquire a new lease before going on.';
    END IF;
    RETURN renewed;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_renew(uuid, interval) IS
    'lets a lease that is still held end a ttl from now; returns when that is';

CREATE FUNCTION @extschema@.ruvector_release(lease uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended timestamptz;
BEGIN
    PERFORM tiny_dancer.refuse_lease_writes();
    DELETE FROM tiny_dancer.leases l WHERE l.id = lease RETURNING l.expires_at INTO ended;
    RETURN coalesce(ended > clock_timestamp(), false);
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_release(uuid) IS
    'gives the slot of a lease back; false if it was not held any more (expired, released before, or never taken)';

CREATE FUNCTION tiny_dancer.forget_pool_history() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
    forgotten bigint;
    rules tiny_dancer.breaker_rules := tiny_dancer.breaker_rules();
BEGIN
    DELETE FROM tiny_dancer.leases l
    WHERE l.id = ANY (ARRAY(
        SELECT past.id FROM tiny_dancer.leases past WHERE past.expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    -- What is known of an agent's recovery must not go with the outcomes that show it.
    PERFORM tiny_dancer.write_breaker_state(e.agent_id, clock_timestamp(), rules)
    FROM (SELECT DISTINCT b.agent_id FROM tiny_dancer.breaker_events b) AS e;
    SELECT coalesce(sum(tiny_dancer.forget_breaker_events(e.agent_id, clock_timestamp() - 2 * rules.failure_window)), 0)
    INTO forgotten
    FROM (SELECT DISTINCT b.agent_id FROM tiny_dancer.breaker_events b) AS e;
    RETURN deleted + forgotten;
END
$$;
COMMENT ON FUNCTION tiny_dancer.forget_pool_history() IS
    'deletes leases that have expired and failures that no longer bear on a circuit breaker, and writes down its state; returns how many rows it deleted; run it before old outcomes are deleted';

-- sql/73-capability-aliases.sql

-- Other names of capabilities. Here an alias stands for a capability and never for another alias, so that a list of
-- aliases can be read without following chains. (Chains that were written to the table itself are followed.)

CREATE FUNCTION tiny_dancer.capability_name(capability text, what text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    trimmed text := btrim(capability);
BEGIN
    IF trimmed IS NULL OR length(trimmed) NOT BETWEEN 1 AND 200 OR trimmed ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION '% can not be %', what, coalesce(quote_literal(left(capability, 80)), 'NULL')
            USING ERRCODE = '22023', HINT = 'Give 1 to 200 printable characters.';
    END IF;
    RETURN trimmed;
END
$$;
COMMENT ON FUNCTION tiny_dancer.capability_name(text, text) IS 'internal: a capability or an alias without white space around it, checked';

CREATE FUNCTION @extschema@.ruvector_set_capability_alias(alias text, capability text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_alias text := lower(tiny_dancer.capability_name(alias, 'alias'));
    meant text := tiny_dancer.capability_name(capability, 'capability');
    other tiny_dancer.capability_aliases;
BEGIN
    INSERT INTO tiny_dancer.capability_aliases VALUES (new_alias, meant)
    ON CONFLICT ON CONSTRAINT capability_aliases_pkey DO UPDATE SET capability = excluded.capability;
    -- Looked at afterwards: writers queue at the epoch, so this sees what the one before has written.
    SELECT c.* INTO other
    FROM tiny_dancer.capability_aliases c
    WHERE c.alias = lower(meant) OR lower(btrim(c.capability)) = new_alias
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'alias % for % would be an alias of an alias', quote_literal(new_alias), quote_literal(meant)
            USING ERRCODE = '22023',
                  DETAIL = format('Alias %L stands for %L.', other.alias, other.capability),
                  HINT = 'Let every alias stand for a capability that agents are registered with.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_capability_alias(text, text) IS
    'makes an alias stand for a capability, or for another one than before; case does not matter';

CREATE FUNCTION @extschema@.ruvector_drop_capability_alias(alias text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tiny_dancer.capability_aliases c
    WHERE c.alias = lower(btrim(ruvector_drop_capability_alias.alias));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unknown capability alias %', coalesce(quote_literal(alias), 'NULL')
            USING ERRCODE = '42704', HINT = 'ruvector_list_capability_aliases() shows them.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_drop_capability_alias(text) IS 'removes an alias of a capability';

CREATE FUNCTION @extschema@.ruvector_list_capability_aliases(OUT alias text, OUT capability text) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    SELECT c.alias, c.capability
    FROM tiny_dancer.capability_aliases c
    ORDER BY lower(c.capability) COLLATE "C", c.alias COLLATE "C";
END;
COMMENT ON FUNCTION @extschema@.ruvector_list_capability_aliases() IS 'the aliases by the capability they stand for';

-- sql/74-partitions.sql

-- Months of the ledgers, each a partition, made at run time by whoever owns the extension. They belong to no extension,
-- so a dump takes them along as tables of their own. Dynamic SQL stands in this file only; all that goes into it
-- are names made from a month.

CREATE FUNCTION tiny_dancer.month_of(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
END;
COMMENT ON FUNCTION tiny_dancer.month_of(timestamptz) IS 'internal: when the month of UTC began that a time lies in';

CREATE FUNCTION tiny_dancer.months_after(month timestamptz, months integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (month AT TIME ZONE 'UTC' + months * '1 month'::interval) AT TIME ZONE 'UTC';
END;
COMMENT ON FUNCTION tiny_dancer.months_after(timestamptz, integer) IS
    'internal: when another month of UTC begins, so many after one';

CREATE FUNCTION tiny_dancer.month_partition(ledger text, month timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT ledger || pg_catalog.to_char(month AT TIME ZONE 'UTC', '_YYYY_MM');
END;
COMMENT ON FUNCTION tiny_dancer.month_partition(text, timestamptz) IS
    'internal: the name of the partition for a month of a ledger';

CREATE FUNCTION tiny_dancer.time_column(ledger text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE ledger WHEN 'usage' THEN 'recorded_at' WHEN 'decisions' THEN 'decided_at' END;
END;
COMMENT ON FUNCTION tiny_dancer.time_column(text) IS 'internal: the column that a ledger is partitioned by';

CREATE FUNCTION tiny_dancer.month_partitions(ledger text, OUT partition text, OUT month timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    SELECT c.relname::text,
           pg_catalog.make_date(pg_catalog.split_part(pg_catalog.right(c.relname::text, 7), '_', 1)::integer,
                                pg_catalog.right(c.relname::text, 2)::integer, 1)::timestamp AT TIME ZONE 'UTC'
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = pg_catalog.to_regclass('tiny_dancer.' || ledger)::oid
          AND c.relname::text OPERATOR(pg_catalog.~) ('^' || ledger || '_[0-9]{4}_[0-9]{2}$');
END;
COMMENT ON FUNCTION tiny_dancer.month_partitions(text) IS 'internal: the partitions that were made for months of a ledger';

CREATE FUNCTION tiny_dancer.lock_briefly(relation text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    usual_timeout text := current_setting('lock_timeout');
    is_locked boolean := false;
BEGIN
    -- Whoever comes after waits behind this, so it does not wait for long itself.
    PERFORM set_config('lock_timeout', '500ms', true);
    FOR attempt IN 1..4 LOOP
        BEGIN
            EXECUTE format('LOCK TABLE tiny_dancer.%I IN ACCESS EXCLUSIVE MODE', relation);
            is_locked := true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.05 * attempt);
        END;
        EXIT WHEN is_locked;
    END LOOP;
    PERFORM set_config('lock_timeout', usual_timeout, true);
    RETURN is_locked;
END
$$;
COMMENT ON FUNCTION tiny_dancer.lock_briefly(text) IS
    'internal: locks a table, with pauses for those who use it; false if it stays in use';

CREATE FUNCTION tiny_dancer.missing_months(ledger text, moment timestamptz) RETURNS timestamptz[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    months timestamptz[];
BEGIN
    -- Not the present month: a session that is recording into the default partition while a partition for just that
    -- time is attached would get an error. Its rows are moved when it is over.
    -- The newest first and not too many at once: each takes some locks. Times that are no dates stay where they are.
    EXECUTE format(
        'SELECT array_agg(m.month) FROM ('
        'SELECT n.month FROM ('
        'SELECT DISTINCT tiny_dancer.month_of(d.%1$I) AS month FROM tiny_dancer.%2$I d '
        'WHERE d.%1$I >= ''0001-02-01 00:00+00'' AND d.%1$I < tiny_dancer.month_of($1) '
        'UNION SELECT tiny_dancer.months_after(tiny_dancer.month_of($1), ahead) FROM generate_series(1, 2) AS ahead) n '
        'WHERE n.month NOT IN (SELECT p.month FROM tiny_dancer.month_partitions(%3$L) p) '
        'ORDER BY n.month DESC LIMIT 60) m',
        tiny_dancer.time_column(ledger), ledger || '_default', ledger)
    INTO months USING moment;
    RETURN months;
END
$$;
COMMENT ON FUNCTION tiny_dancer.missing_months(text, timestamptz) IS
    'internal: months that have no partition and need one: the next two, and those that are over and have rows';

CREATE FUNCTION tiny_dancer.move_rows(ledger text, since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
BEGIN
    -- Into a table that is no partition yet, so that no trigger takes the rows for new ones.
    EXECUTE format(
        'WITH gone AS (DELETE FROM tiny_dancer.%1$I d WHERE d.%2$I >= $1 AND d.%2$I < $2 RETURNING d.*) '
        'INSERT INTO tiny_dancer.%3$I SELECT * FROM gone',
        ledger || '_default', tiny_dancer.time_column(ledger),
        tiny_dancer.month_partition(ledger, tiny_dancer.month_of(since)))
    USING since, until;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION tiny_dancer.move_rows(text, timestamptz, timestamptz) IS
    'internal: moves rows of a time out of the default partition into the table made for their month';

CREATE FUNCTION tiny_dancer.make_month(ledger text, month timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made text := tiny_dancer.month_partition(ledger, month);
    until timestamptz := tiny_dancer.months_after(month, 1);
    day timestamptz;
    moved bigint := 0;
BEGIN
    EXECUTE format('CREATE TABLE tiny_dancer.%I (LIKE tiny_dancer.%I INCLUDING ALL)', made, ledger || '_default');
    EXECUTE format('COMMENT ON TABLE tiny_dancer.%I IS %L', made, ledger || ' of one month, made by tiny_dancer.maintain()');
    EXECUTE format('REVOKE ALL ON tiny_dancer.%I FROM PUBLIC', made);
    -- Known to be within the bounds, so that attaching it need not look at each row while everybody waits.
    EXECUTE format(
        'ALTER TABLE tiny_dancer.%I ADD CONSTRAINT within_month CHECK (%I >= %L AND %2$I < %4$L)',
        made, tiny_dancer.time_column(ledger), tiny_dancer.instant(month), tiny_dancer.instant(until));
    FOR day IN SELECT d FROM generate_series(month, until - '1 us'::interval, '24 hours'::interval) AS d LOOP
        moved := moved + tiny_dancer.move_rows(ledger, day, least(day + '24 hours'::interval, until));
    END LOOP;
    IF moved > 0 THEN
        RAISE NOTICE 'moved % rows into %', moved, made;
        EXECUTE format('ANALYZE tiny_dancer.%I', made);
    END IF;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION tiny_dancer.make_month(text, timestamptz) IS
    'internal: makes the table for a month and moves into it what the default partition has of it';

CREATE FUNCTION tiny_dancer.instant(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"+00"');
END;
COMMENT ON FUNCTION tiny_dancer.instant(timestamptz) IS 'internal: a time as text, whatever DateStyle and TimeZone are';

CREATE FUNCTION tiny_dancer.attach_month(ledger text, month timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made text := tiny_dancer.month_partition(ledger, month);
    until timestamptz := tiny_dancer.months_after(month, 1);
    moved bigint := tiny_dancer.move_rows(ledger, month, until);
BEGIN
    EXECUTE format('ALTER TABLE tiny_dancer.%I ATTACH PARTITION tiny_dancer.%I FOR VALUES FROM (%L) TO (%L)',
                   ledger, made, tiny_dancer.instant(month), tiny_dancer.instant(until));
    -- Each check of a table is parsed anew for each row that is recorded.
    EXECUTE format('ALTER TABLE tiny_dancer.%I DROP CONSTRAINT within_month', made);
    RETURN moved;
END
$$;
COMMENT ON FUNCTION tiny_dancer.attach_month(text, timestamptz) IS
    'internal: turns the table made for a month into a partition, with the default partition locked';

CREATE FUNCTION tiny_dancer.make_partitions(
    ledger text,
    moment timestamptz,
    OUT made integer,
    OUT moved bigint
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    months timestamptz[] := tiny_dancer.missing_months(ledger, moment);
    month timestamptz;
BEGIN
    made := 0;
    moved := 0;
    -- All that takes long comes before the lock.
    FOREACH month IN ARRAY coalesce(months, '{}') LOOP
        moved := moved + tiny_dancer.make_month(ledger, month);
    END LOOP;
    IF months IS NOT NULL THEN
        IF NOT tiny_dancer.lock_briefly(ledger || '_default') THEN
            RAISE EXCEPTION 'the default partition of % is in use', ledger USING ERRCODE = '55P03';
        END IF;
        FOREACH month IN ARRAY months LOOP
            moved := moved + tiny_dancer.attach_month(ledger, month);
            made := made + 1;
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.make_partitions(text, timestamptz) IS
    'internal: makes the partitions that a ledger lacks and moves rows into them; 55P03 if the default partition stays in use';

CREATE FUNCTION tiny_dancer.drop_months(ledger text, before timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    past text;
    dropped integer := 0;
BEGIN
    FOR past IN
        SELECT p.partition FROM tiny_dancer.month_partitions(ledger) p
        WHERE tiny_dancer.months_after(p.month, 1) <= before
        ORDER BY p.month
    LOOP
        IF NOT tiny_dancer.lock_briefly(ledger) OR NOT tiny_dancer.lock_briefly(ledger || '_default') THEN
            RAISE EXCEPTION 'the partitions of % are in use', ledger USING ERRCODE = '55P03';
        END IF;
        EXECUTE format('DROP TABLE tiny_dancer.%I', past);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION tiny_dancer.drop_months(text, timestamptz) IS
    'internal: drops partitions of which everything is older than a time; 55P03 if they stay in use';

CREATE FUNCTION tiny_dancer.delete_old(target text, time_name text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    EXECUTE format('DELETE FROM tiny_dancer.%I t WHERE t.%I < $1', target, time_name) USING before;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        RAISE NOTICE 'deleted % rows of %', deleted, target;
    END IF;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION tiny_dancer.delete_old(text, text, timestamptz) IS
    'internal: deletes the rows of a table or of one partition that are older than a time';

CREATE FUNCTION tiny_dancer.delete_old_rows(ledger text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part text;
    deleted bigint := 0;
BEGIN
    -- From the partitions themselves: a month that is past as a whole is dropped instead.
    FOR part IN
        SELECT ledger || '_default'
        UNION ALL
        SELECT p.partition FROM tiny_dancer.month_partitions(ledger) p
        WHERE p.month < before AND tiny_dancer.months_after(p.month, 1) > before
    LOOP
        deleted := deleted + tiny_dancer.delete_old(part, tiny_dancer.time_column(ledger), before);
    END LOOP;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION tiny_dancer.delete_old_rows(text, timestamptz) IS
    'internal: deletes the rows of a ledger that are older than a time, but for months that are past as a whole';

-- sql/75-rollups.sql

-- Summing the ledger up by hour and by day.

CREATE FUNCTION tiny_dancer.roll_hours(since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made bigint;
BEGIN
    -- All dimensions by name, so that the index serves.
    DELETE FROM tiny_dancer.usage_rollups r
    WHERE r.dimension = ANY ('{agent,route,tag}') AND r.period = 'hour' AND r.began >= since AND r.began < until;
    INSERT INTO tiny_dancer.usage_rollups
    SELECT 'hour', t.hour, t.dimension, t.agent_id, t.label, sum(t.requests), sum(t.successes), sum(t.cost),
           sum(t.latencies), sum(t.latency_total), sum(t.compared), sum(t.compared_cost),
           sum(t.input_tokens), sum(t.output_tokens),
           array_agg(t.bucket ORDER BY t.bucket) FILTER (WHERE t.bucket IS NOT NULL),
           array_agg(t.latencies ORDER BY t.bucket) FILTER (WHERE t.bucket IS NOT NULL),
           min(t.first_at), max(t.last_at)
    FROM (
        SELECT date_trunc('hour', u.recorded_at, 'UTC') AS hour, k.dimension, k.agent_id, k.label,
               tiny_dancer.latency_bucket(u.latency_ms) AS bucket,
               count(*) AS requests, count(*) FILTER (WHERE u.success) AS successes, sum(u.cost) AS cost,
               count(u.latency_ms) AS latencies, sum(u.latency_ms) AS latency_total,
               count(*) FILTER (WHERE num_nulls(u.input_tokens, u.output_tokens) = 0) AS compared,
               sum(u.cost) FILTER (WHERE num_nulls(u.input_tokens, u.output_tokens) = 0) AS compared_cost,
               sum(u.input_tokens) FILTER (WHERE u.output_tokens IS NOT NULL) AS input_tokens,
               sum(u.output_tokens) FILTER (WHERE u.input_tokens IS NOT NULL) AS output_tokens,
               min(u.recorded_at) AS first_at, max(u.recorded_at) AS last_at
        FROM tiny_dancer.usage u
        CROSS JOIN LATERAL (
            VALUES ('agent', u.agent_id, NULL), ('route', NULL, u.route_name)
            UNION ALL
            -- Each tag once, without a sort for each outcome.
            SELECT 'tag', NULL::bigint, l.tag
            FROM unnest(u.tags) WITH ORDINALITY AS l (tag, place)
            WHERE array_position(u.tags, l.tag) - array_lower(u.tags, 1) + 1 = l.place
        ) AS k (dimension, agent_id, label)
        WHERE u.recorded_at >= since AND u.recorded_at < until
        GROUP BY 1, 2, 3, 4, 5
    ) t
    GROUP BY t.hour, t.dimension, t.agent_id, t.label;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION tiny_dancer.roll_hours(timestamptz, timestamptz) IS
    'internal: sums outcomes of whole hours up, in place of what there was of these hours';

CREATE FUNCTION tiny_dancer.roll_day(day timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made bigint;
BEGIN
    DELETE FROM tiny_dancer.usage_rollups r
    WHERE r.dimension = ANY ('{agent,route,tag}') AND r.period = 'day' AND r.began = day;
    WITH hours AS (
        SELECT r.* FROM tiny_dancer.usage_rollups r
        WHERE r.dimension = ANY ('{agent,route,tag}') AND r.period = 'hour'
              AND r.began >= day AND r.began < day + '24 hours'::interval
    ),
    pieces AS (
        SELECT h.dimension, h.agent_id, h.label, NULL::integer AS bucket, NULL::bigint AS counted,
               h.requests, h.successes, h.cost, h.latencies, h.latency_total, h.compared, h.compared_cost,
               h.input_tokens, h.output_tokens, h.first_at, h.last_at
        FROM hours h
        UNION ALL
        SELECT h.dimension, h.agent_id, h.label, b.bucket, sum(b.counted)::bigint,
               NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM hours h CROSS JOIN LATERAL unnest(h.buckets, h.bucket_counts) AS b (bucket, counted)
        GROUP BY 1, 2, 3, 4
    )
    INSERT INTO tiny_dancer.usage_rollups
    SELECT 'day', day, p.dimension, p.agent_id, p.label, sum(p.requests), sum(p.successes), sum(p.cost),
           sum(p.latencies), sum(p.latency_total), sum(p.compared), sum(p.compared_cost),
           sum(p.input_tokens), sum(p.output_tokens),
           array_agg(p.bucket ORDER BY p.bucket) FILTER (WHERE p.bucket IS NOT NULL),
           array_agg(p.counted ORDER BY p.bucket) FILTER (WHERE p.bucket IS NOT NULL),
           min(p.first_at), max(p.last_at)
    FROM pieces p
    GROUP BY p.dimension, p.agent_id, p.label;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION tiny_dancer.roll_day(timestamptz) IS 'internal: sums the hours of a day of UTC up';

-- Whoever records an outcome locks the ledger first, then gives the outcome its time, and lets go at the end of the
-- transaction. So once nobody is left of those who held that lock, all outcomes of earlier times can be seen.
CREATE FUNCTION tiny_dancer.wait_for_recording(patience interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + patience;
    recording text[] := tiny_dancer.recording_transactions();
BEGIN
    WHILE recording && tiny_dancer.recording_transactions() LOOP
        IF clock_timestamp() > deadline THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION tiny_dancer.wait_for_recording(interval) IS
    'internal: waits for the transactions that are recording outcomes at this moment; false if they take longer';

CREATE FUNCTION tiny_dancer.recording_transactions() RETURNS text[]
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.array_agg(l.virtualtransaction), '{}')
    FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
          AND l.relation IN (SELECT t.relid FROM pg_catalog.pg_partition_tree('tiny_dancer.usage') t)
          AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid();
END;
COMMENT ON FUNCTION tiny_dancer.recording_transactions() IS
    'internal: the other transactions that have recorded outcomes and are still open';

CREATE FUNCTION tiny_dancer.roll_up(
    moment timestamptz,
    deadline timestamptz,
    OUT hours bigint,
    OUT rows_made bigint,
    OUT is_done boolean
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Some minutes of grace, in case the clock was put back.
    goal timestamptz := date_trunc('hour', moment - '5 minutes'::interval, 'UTC');
    state tiny_dancer.usage_rollup_state;
    stale timestamptz;
    next_at timestamptz;
    until timestamptz;
    resumed_at timestamptz;
    day timestamptz;
BEGIN
    hours := 0;
    rows_made := 0;
    is_done := false;
    INSERT INTO tiny_dancer.usage_rollup_state (only_row) VALUES (true) ON CONFLICT DO NOTHING;
    SELECT * INTO state FROM tiny_dancer.usage_rollup_state FOR UPDATE;

    FOR stale IN SELECT s.began FROM tiny_dancer.usage_rollup_stale s ORDER BY s.began LOOP
        IF stale >= state.rolled_from AND stale < state.rolled_until THEN
            hours := hours + 1;
            rows_made := rows_made + tiny_dancer.roll_hours(stale, stale + '1 hour'::interval);
            IF date_trunc('day', stale, 'UTC') < date_trunc('day', state.rolled_until, 'UTC') THEN
                rows_made := rows_made + tiny_dancer.roll_day(date_trunc('day', stale, 'UTC'));
            END IF;
        END IF;
        DELETE FROM tiny_dancer.usage_rollup_stale s WHERE s.began = stale;
    END LOOP;

    DELETE FROM tiny_dancer.usage_rollups r
    WHERE r.began >= date_trunc('day', state.rolled_until, 'UTC')
          AND (r.period = 'day' OR r.began >= state.rolled_until);
    resumed_at := state.rolled_until;
    LOOP
        -- Days without outcomes are passed over.
        SELECT min(u.recorded_at) INTO next_at
        FROM tiny_dancer.usage u WHERE u.recorded_at >= state.rolled_until AND u.recorded_at > '-infinity';
        is_done := next_at IS NULL OR next_at >= goal;
        -- At least one day with each run, or none would ever be done.
        EXIT WHEN is_done OR (clock_timestamp() > deadline AND until IS NOT NULL);
        state.rolled_until := greatest(state.rolled_until, date_trunc('hour', next_at, 'UTC'));
        until := least(date_trunc('day', state.rolled_until, 'UTC') + '24 hours'::interval, goal);
        RAISE NOTICE 'summing up outcomes of %', to_char(state.rolled_until AT TIME ZONE 'UTC', 'YYYY-MM-DD');
        rows_made := rows_made + tiny_dancer.roll_hours(state.rolled_until, until);
        hours := hours + ceil(extract(epoch FROM until - state.rolled_until) / 3600);
        state.rolled_until := until;
    END LOOP;
    IF is_done THEN
        state.rolled_until := greatest(state.rolled_until, goal);
    END IF;
    FOR day IN
        SELECT DISTINCT date_trunc('day', r.began, 'UTC') FROM tiny_dancer.usage_rollups r
        WHERE r.dimension = 'agent' AND r.period = 'hour' AND r.began >= date_trunc('day', resumed_at, 'UTC')
              AND r.began < date_trunc('day', state.rolled_until, 'UTC')
    LOOP
        rows_made := rows_made + tiny_dancer.roll_day(day);
    END LOOP;
    UPDATE tiny_dancer.usage_rollup_state SET rolled_until = state.rolled_until;
END
$$;
COMMENT ON FUNCTION tiny_dancer.roll_up(timestamptz, timestamptz) IS
    'internal: sums up the hours that have ended, and those again that got outcomes since, until a deadline';

-- sql/76-maintenance.sql

-- What keeps growing tables fast. Nothing here is needed for right answers.

CREATE FUNCTION tiny_dancer.days_kept(name text) RETURNS interval
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The defaults are those of the library; a test compares them.
    SELECT COALESCE(
               (SELECT s.value FROM tiny_dancer.settings s WHERE s.name = days_kept.name),
               CASE days_kept.name WHEN 'idempotency_key_days' THEN '90' ELSE '36500' END)::integer
           * '1 day'::interval;
END;
COMMENT ON FUNCTION tiny_dancer.days_kept(text) IS 'internal: a setting of days to keep rows for';

CREATE FUNCTION tiny_dancer.expire_reservations(moment timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    DELETE FROM tiny_dancer.budget_holds h
    WHERE h.ctid = ANY (ARRAY(
        SELECT s.ctid FROM tiny_dancer.budget_holds s WHERE s.expires_at <= moment FOR UPDATE SKIP LOCKED));
    -- A budget that is opened counts what was settled in its window, which is at most 31 days long.
    DELETE FROM tiny_dancer.reservations r
    WHERE r.id = ANY (ARRAY(
        SELECT s.id FROM tiny_dancer.reservations s
        WHERE coalesce(s.ended_at, s.expires_at) < moment - '40 days'::interval FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION tiny_dancer.expire_reservations(timestamptz) IS
    'internal: deletes holds that have expired and reservations that ended or expired 40 days ago';

CREATE FUNCTION tiny_dancer.merge_all_charges() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    split record;
    merged bigint := 0;
BEGIN
    FOR split IN
        SELECT c.budget_id, c.window_start FROM tiny_dancer.budget_charges c
        GROUP BY c.budget_id, c.window_start HAVING count(*) > 1
    LOOP
        PERFORM tiny_dancer.merge_charges(split.budget_id, split.window_start);
        merged := merged + 1;
    END LOOP;
    RETURN merged;
END
$$;
COMMENT ON FUNCTION tiny_dancer.merge_all_charges() IS
    'internal: replaces charges by their sum, for each window of a budget; returns how many windows';

CREATE FUNCTION tiny_dancer.lock_rollups(patience interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + patience;
BEGIN
    WHILE NOT pg_try_advisory_xact_lock(tiny_dancer.rollup_lock(), 1) LOOP
        IF clock_timestamp() > deadline THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
    RETURN tiny_dancer.wait_for_recording(patience);
END
$$;
COMMENT ON FUNCTION tiny_dancer.lock_rollups(interval) IS
    'internal: keeps outcomes of the past out, once those that are being recorded are in; false if that takes longer';

CREATE FUNCTION tiny_dancer.maintain(
    time_limit interval DEFAULT '10 minutes',
    OUT step text,
    OUT affected bigint,
    OUT note text
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    rolled record;
    made record;
    ledger text;
    can_roll boolean;
    is_rolled boolean := false;
    usage_cutoff timestamptz;
    decisions_cutoff timestamptz := moment - tiny_dancer.days_kept('decision_retention_days');
BEGIN
    PERFORM tiny_dancer.require_writable('maintain');
    IF (time_limit > '0') IS NOT TRUE THEN
        RAISE EXCEPTION 'time_limit is %', coalesce(time_limit::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give an interval above 0, for example ''10 minutes''.';
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'maintenance needs a transaction at READ COMMITTED'
            USING ERRCODE = '25001', HINT = 'Call tiny_dancer.maintain() outside of a transaction block.';
    END IF;
    IF NOT pg_try_advisory_xact_lock(tiny_dancer.rollup_lock(), 0) THEN
        step := 'maintenance';
        affected := 0;
        note := 'left to another session, which is at it';
        RETURN NEXT;
        RETURN;
    END IF;

    step := 'leases and failures forgotten';
    -- Before outcomes are deleted: what is known of an agent's recovery must not go with them.
    affected := tiny_dancer.forget_pool_history();
    RETURN NEXT;
    step := 'reservations expired';
    affected := tiny_dancer.expire_reservations(moment);
    RETURN NEXT;
    step := 'windows of budgets merged';
    affected := tiny_dancer.merge_all_charges();
    RETURN NEXT;
    step := 'idempotency keys expired';
    affected := tiny_dancer.delete_old(
        'usage_keys', 'recorded_at', moment - tiny_dancer.days_kept('idempotency_key_days'));
    RETURN NEXT;

    step := 'hours summed up';
    can_roll := tiny_dancer.lock_rollups(least(time_limit, '5 seconds'));
    IF can_roll THEN
        SELECT * INTO rolled FROM tiny_dancer.roll_up(moment, moment + time_limit);
        affected := rolled.hours;
        is_rolled := rolled.is_done;
        note := CASE WHEN NOT is_rolled THEN 'the time limit was reached: run it again for the rest' END;
    ELSE
        affected := 0;
        note := 'put off: a transaction that recorded outcomes is still open';
    END IF;
    RETURN NEXT;

    step := 'outcomes deleted';
    affected := 0;
    IF is_rolled THEN
        note := NULL;
        -- Whatever the setting says: a budget that is set late counts what its window has seen, up to a month of it.
        SELECT date_trunc('hour', least(s.rolled_until, moment - '35 days'::interval,
                                        moment - tiny_dancer.days_kept('usage_retention_days')), 'UTC')
        INTO usage_cutoff FROM tiny_dancer.usage_rollup_state s;
        affected := tiny_dancer.delete_old_rows('usage', usage_cutoff);
        UPDATE tiny_dancer.usage_rollup_state SET rolled_from = usage_cutoff WHERE rolled_from < usage_cutoff;
    ELSE
        note := 'put off: they are summed up first';
    END IF;
    RETURN NEXT;
    note := NULL;
    step := 'feedback deleted';
    affected := CASE WHEN usage_cutoff IS NULL THEN 0
                     ELSE tiny_dancer.delete_old('feedback', 'given_at', least(usage_cutoff, decisions_cutoff)) END;
    RETURN NEXT;
    step := 'expected qualities deleted';
    affected := CASE WHEN usage_cutoff IS NULL THEN 0
                     ELSE tiny_dancer.delete_old('foreseen_outcomes', 'recorded_at', usage_cutoff) END;
    RETURN NEXT;
    step := 'decisions deleted';
    affected := tiny_dancer.delete_old_rows('decisions', decisions_cutoff);
    RETURN NEXT;
    step := 'vectors deleted';
    affected := tiny_dancer.delete_old(
        'request_vectors', 'recorded_at', moment - tiny_dancer.days_kept('vector_retention_days'));
    RETURN NEXT;

    -- Last, since this locks out everybody else until the end of the transaction.
    FOREACH ledger IN ARRAY ARRAY['usage', 'decisions'] LOOP
        step := format('partitions of %s made', ledger);
        BEGIN
            SELECT * INTO made FROM tiny_dancer.make_partitions(ledger, moment);
            affected := made.made;
            note := CASE WHEN made.moved > 0 THEN format('moved %s rows out of the default partition', made.moved) END;
        EXCEPTION WHEN lock_not_available THEN
            affected := 0;
            note := 'put off: ' || SQLERRM;
        END;
        RETURN NEXT;
        step := format('partitions of %s dropped', ledger);
        BEGIN
            affected := tiny_dancer.drop_months(
                ledger, CASE ledger WHEN 'usage' THEN coalesce(usage_cutoff, '-infinity') ELSE decisions_cutoff END);
            note := NULL;
        EXCEPTION WHEN lock_not_available THEN
            affected := 0;
            note := 'put off: ' || SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tiny_dancer.maintain(interval) IS
    'sums outcomes up, deletes what has expired, makes partitions; to be run from time to time, returns what it did';

-- sql/90-privileges.sql

-- Nothing is for PUBLIC. Two levels of rights are handed out by role and remembered, because grants made in an
-- update script do not survive a dump: tiny_dancer.regrant() gives the remembered roles what is new.

CREATE TABLE tiny_dancer.granted_roles (
    role_name name NOT NULL,
    level text NOT NULL CHECK (level IN ('usage', 'admin')),
    PRIMARY KEY (role_name, level)
);
COMMENT ON TABLE tiny_dancer.granted_roles IS 'roles that grant_usage() and grant_admin() gave rights to';
REVOKE ALL ON tiny_dancer.granted_roles FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.granted_roles', '');

CREATE FUNCTION tiny_dancer.privileges(
    OUT level text,
    OUT kind text,
    OUT object text,
    OUT rights text
) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 40
BEGIN ATOMIC
    SELECT * FROM (VALUES
        ('usage', 'function', 'ruvector_acquire', 'EXECUTE'),
        ('usage', 'function', 'ruvector_batch_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_budget_status', 'EXECUTE'),
        ('usage', 'function', 'ruvector_check_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_classify_capabilities', 'EXECUTE'),
        ('usage', 'function', 'ruvector_classify_request', 'EXECUTE'),
        ('usage', 'function', 'ruvector_embed', 'EXECUTE'),
        ('usage', 'function', 'ruvector_embed_batch', 'EXECUTE'),
        ('usage', 'function', 'ruvector_explain_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_find_agents_by_capability', 'EXECUTE'),
        ('usage', 'function', 'ruvector_get_agent', 'EXECUTE'),
        ('usage', 'function', 'ruvector_list_agents', 'EXECUTE'),
        ('usage', 'function', 'ruvector_list_capability_aliases', 'EXECUTE'),
        ('usage', 'function', 'ruvector_list_routes', 'EXECUTE'),
        ('usage', 'function', 'ruvector_optimize_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_pool_status', 'EXECUTE'),
        ('usage', 'function', 'ruvector_predict_quality', 'EXECUTE'),
        ('usage', 'function', 'ruvector_record_feedback', 'EXECUTE'),
        ('usage', 'function', 'ruvector_record_usage', 'EXECUTE'),
        ('usage', 'function', 'ruvector_release', 'EXECUTE'),
        ('usage', 'function', 'ruvector_release_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_renew', 'EXECUTE'),
        ('usage', 'function', 'ruvector_reserve_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_route_fits', 'EXECUTE'),
        ('usage', 'function', 'ruvector_route_multi', 'EXECUTE'),
        ('usage', 'function', 'ruvector_router_models', 'EXECUTE'),
        ('usage', 'function', 'ruvector_routing_analytics', 'EXECUTE'),
        ('usage', 'function', 'ruvector_routing_stats', 'EXECUTE'),
        ('usage', 'function', 'ruvector_semantic_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_settle_budget', 'EXECUTE'),
        ('usage', 'function', 'agent_budgets', 'EXECUTE'),
        ('usage', 'function', 'agent_health', 'EXECUTE'),
        ('usage', 'function', 'agent_load', 'EXECUTE'),
        ('usage', 'function', 'agent_outcomes', 'EXECUTE'),
        ('usage', 'function', 'are_tags', 'EXECUTE'),
        ('usage', 'function', 'baseline_agent', 'EXECUTE'),
        ('usage', 'function', 'batch_route', 'EXECUTE'),
        ('usage', 'function', 'blended', 'EXECUTE'),
        ('usage', 'function', 'boot', 'EXECUTE'),
        ('usage', 'function', 'breaker_cooldown', 'EXECUTE'),
        ('usage', 'function', 'breaker_rules', 'EXECUTE'),
        ('usage', 'function', 'breaker_state', 'EXECUTE'),
        ('usage', 'function', 'bucket_latency', 'EXECUTE'),
        ('usage', 'function', 'budget_balances', 'EXECUTE'),
        ('usage', 'function', 'budget_scopes', 'EXECUTE'),
        ('usage', 'function', 'check_cost', 'EXECUTE'),
        ('usage', 'function', 'check_feedback', 'EXECUTE'),
        ('usage', 'function', 'check_outcome', 'EXECUTE'),
        ('usage', 'function', 'check_tags', 'EXECUTE'),
        ('usage', 'function', 'decided', 'EXECUTE'),
        ('usage', 'function', 'doctor', 'EXECUTE'),
        ('usage', 'function', 'exhausted_routes', 'EXECUTE'),
        ('usage', 'function', 'first_instant', 'EXECUTE'),
        ('usage', 'function', 'has_whole_hours', 'EXECUTE'),
        ('usage', 'function', 'is_plain_outcome', 'EXECUTE'),
        ('usage', 'function', 'latency_bucket', 'EXECUTE'),
        ('usage', 'function', 'list_settings', 'EXECUTE'),
        ('usage', 'function', 'load_library', 'EXECUTE'),
        ('usage', 'function', 'outcomes_since', 'EXECUTE'),
        ('usage', 'function', 'raise_unknown_agent', 'EXECUTE'),
        ('usage', 'function', 'rate_limit', 'EXECUTE'),
        ('usage', 'function', 'record_request_vector', 'EXECUTE'),
        ('usage', 'function', 'refusal_detail', 'EXECUTE'),
        ('usage', 'function', 'refuse_lease_writes', 'EXECUTE'),
        ('usage', 'function', 'require_agent', 'EXECUTE'),
        ('usage', 'function', 'require_writable', 'EXECUTE'),
        ('usage', 'function', 'rolled_period', 'EXECUTE'),
        ('usage', 'function', 'rolled_usage', 'EXECUTE'),
        ('usage', 'function', 'slot_holders', 'EXECUTE'),
        ('usage', 'function', 'tag_budgets', 'EXECUTE'),
        ('usage', 'function', 'take_route_pass', 'EXECUTE'),
        ('usage', 'function', 'take_slot', 'EXECUTE'),
        ('usage', 'function', 'to_halfvec', 'EXECUTE'),
        ('usage', 'function', 'to_vector', 'EXECUTE'),
        ('usage', 'function', 'vector_bytes', 'EXECUTE'),
        ('usage', 'function', 'warmup', 'EXECUTE'),
        ('usage', 'function', 'window_end', 'EXECUTE'),
        ('usage', 'function', 'window_start', 'EXECUTE'),
        ('usage', 'table', 'agent_embeddings', 'SELECT'),
        ('usage', 'table', 'agents', 'SELECT'),
        ('usage', 'table', 'breaker_events', 'SELECT'),
        ('usage', 'table', 'budget_charges', 'SELECT'),
        -- Not the ids of reservations: whoever knows one can end it.
        ('usage', 'table', 'budget_holds', 'SELECT (budget_id, window_start, amount, expires_at)'),
        ('usage', 'table', 'budgets', 'SELECT'),
        ('usage', 'table', 'capability_aliases', 'SELECT'),
        ('usage', 'table', 'classifiers', 'SELECT'),
        ('usage', 'table', 'decisions',
         'SELECT (id, decided_at, agent_id, route_name, tags, candidates, router_model_id, learned_quality), '
         'INSERT (id, agent_id, optimize_for, routed_by, route_name, tags, input_tokens, estimated_cost, candidates, '
         'expected_quality, propensities, propensity, request, router_model_id, learned_quality)'),
        ('usage', 'table', 'epochs', 'SELECT'),
        ('usage', 'table', 'feedback', 'SELECT, INSERT (usage_id, decision_id, quality)'),
        ('usage', 'table', 'foreseen_outcomes', 'SELECT, INSERT (usage_id, router_model_id, quality)'),
        ('usage', 'table', 'leases', 'SELECT (agent_id, acquired_at, expires_at, is_probe)'),
        ('usage', 'table', 'models', 'SELECT'),
        ('usage', 'table', 'request_vectors', 'INSERT (decision_id, usage_id, model_id, embedding, features)'),
        ('usage', 'table', 'route_heads', 'SELECT'),
        ('usage', 'table', 'route_indexes', 'SELECT'),
        ('usage', 'table', 'route_passes', 'SELECT'),
        ('usage', 'table', 'route_utterances', 'SELECT'),
        ('usage', 'table', 'router_models', 'SELECT'),
        ('usage', 'table', 'routes', 'SELECT'),
        ('usage', 'table', 'settings', 'SELECT'),
        ('usage', 'table', 'usage',
         'SELECT (id, recorded_at, agent_id, cost, success, latency_ms, quality, input_tokens, output_tokens, tags, '
         'decision_id, route_name), '
         'INSERT (agent_id, cost, success, latency_ms, quality, input_tokens, output_tokens, tags, decision_id, '
         'route_name, reservation_id, idempotency_key, request)'),
        ('usage', 'table', 'usage_keys', 'SELECT'),
        ('usage', 'table', 'usage_rollup_stale', 'SELECT'),
        ('usage', 'table', 'usage_rollup_state', 'SELECT'),
        ('usage', 'table', 'usage_rollups', 'SELECT'),
        ('usage', 'sequence', 'usage_ids', 'USAGE'),
        ('admin', 'function', 'ruvector_activate_route_fit', 'EXECUTE'),
        ('admin', 'function', 'ruvector_activate_router', 'EXECUTE'),
        ('admin', 'function', 'ruvector_calibrate_router', 'EXECUTE'),
        ('admin', 'function', 'ruvector_create_route', 'EXECUTE'),
        ('admin', 'function', 'ruvector_drop_capability_alias', 'EXECUTE'),
        ('admin', 'function', 'ruvector_drop_route', 'EXECUTE'),
        ('admin', 'function', 'ruvector_evaluate_routes', 'EXECUTE'),
        ('admin', 'function', 'ruvector_fit_routes', 'EXECUTE'),
        ('admin', 'function', 'ruvector_register_agent', 'EXECUTE'),
        ('admin', 'function', 'ruvector_remove_agent', 'EXECUTE'),
        ('admin', 'function', 'ruvector_replay', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_agent_active', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_budget', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_capability_alias', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_route_active', 'EXECUTE'),
        ('admin', 'function', 'ruvector_train_classifier', 'EXECUTE'),
        ('admin', 'function', 'ruvector_train_router', 'EXECUTE'),
        ('admin', 'function', 'capability_name', 'EXECUTE'),
        ('admin', 'function', 'check_period', 'EXECUTE'),
        ('admin', 'function', 'forget_pool_history', 'EXECUTE'),
        ('admin', 'function', 'halfvec_bytes', 'EXECUTE'),
        ('admin', 'function', 'judged_requests', 'EXECUTE'),
        ('admin', 'function', 'labelled_texts', 'EXECUTE'),
        ('admin', 'function', 'learnable_outcomes', 'EXECUTE'),
        ('admin', 'function', 'logged_decisions', 'EXECUTE'),
        ('admin', 'function', 'maintain', 'EXECUTE'),
        ('admin', 'function', 'raise_unknown_route', 'EXECUTE'),
        ('admin', 'function', 'recorded_requests', 'EXECUTE'),
        ('admin', 'function', 'request_texts', 'EXECUTE'),
        ('admin', 'function', 'reset_breaker', 'EXECUTE'),
        ('admin', 'function', 'set', 'EXECUTE'),
        ('admin', 'function', 'setup', 'EXECUTE'),
        ('admin', 'function', 'use_model', 'EXECUTE'),
        ('admin', 'table', 'agent_embeddings', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'agents', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'breaker_events', 'INSERT (agent_id, happened_at, event)'),
        -- Not when it was opened: a budget that seems to be opened is not charged with what was spent before.
        ('admin', 'table', 'budgets',
         'INSERT (agent_name, tag, period, limit_amount, time_zone), UPDATE (limit_amount, time_zone, updated_at), '
         'DELETE'),
        ('admin', 'table', 'capability_aliases', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'classifiers', 'INSERT, UPDATE, DELETE'),
        -- Whoever replays or calibrates needs a grant on request_vectors, too: they are as sensitive as the text.
        ('admin', 'table', 'decisions',
         'SELECT (routed_by, input_tokens, expected_quality, propensities)'),
        ('admin', 'table', 'epochs', 'UPDATE'),
        ('admin', 'table', 'granted_roles', 'SELECT'),
        ('admin', 'table', 'leases', 'SELECT'),
        ('admin', 'table', 'models', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'route_heads', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'route_utterances', 'INSERT, DELETE'),
        ('admin', 'table', 'router_models', 'INSERT, UPDATE (active, activated_at), DELETE'),
        ('admin', 'table', 'router_training_requests', 'SELECT, INSERT, DELETE'),
        ('admin', 'table', 'routes', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'settings', 'INSERT, UPDATE, DELETE'),
        ('admin', 'sequence', 'epoch_values', 'USAGE')
    ) AS granted (level, kind, object, rights);
END;
COMMENT ON FUNCTION tiny_dancer.privileges() IS
    'what a level of rights comprises; admin has what usage has, too';

CREATE FUNCTION tiny_dancer.grant_level(role_name name, level text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    installed_in regnamespace;
    granted record;
    target regprocedure;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA tiny_dancer TO %I', role_name);
    FOR installed_in IN
        SELECT DISTINCT e.extnamespace FROM pg_extension e WHERE e.extname IN ('tiny_dancer', 'vector')
    LOOP
        IF NOT has_schema_privilege(role_name, installed_in, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', installed_in, role_name);
        END IF;
    END LOOP;
    FOR granted IN
        SELECT p.* FROM tiny_dancer.privileges() p WHERE p.level IN ('usage', grant_level.level)
    LOOP
        IF granted.kind = 'function' THEN
            FOR target IN
                SELECT d.objid::regprocedure
                FROM pg_depend d
                JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
                JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
                WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e' AND p.proname = granted.object
            LOOP
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', target, role_name);
            END LOOP;
        ELSE
            EXECUTE format('GRANT %s ON %s tiny_dancer.%I TO %I',
                           granted.rights, granted.kind, granted.object, role_name);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tiny_dancer.grant_level(name, text) IS 'internal: gives a role the rights of a level';

CREATE FUNCTION tiny_dancer.grant_remembered(role_name name, level text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role_name IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) THEN
        RAISE EXCEPTION 'unknown role %', coalesce(quote_literal(role_name), 'NULL')
            USING ERRCODE = '42704', HINT = 'Create the role first.';
    END IF;
    PERFORM tiny_dancer.grant_level(role_name, level);
    INSERT INTO tiny_dancer.granted_roles VALUES (role_name, level) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION tiny_dancer.grant_remembered(name, text) IS
    'internal: gives an existing role the rights of a level and remembers it';

CREATE FUNCTION tiny_dancer.grant_usage(role_name name) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT tiny_dancer.grant_remembered(role_name, 'usage');
END;
COMMENT ON FUNCTION tiny_dancer.grant_usage(name) IS 'lets a role route and look, and nothing else';

CREATE FUNCTION tiny_dancer.grant_admin(role_name name) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT tiny_dancer.grant_remembered(role_name, 'admin');
END;
COMMENT ON FUNCTION tiny_dancer.grant_admin(name) IS 'lets a role change agents, models and settings, too';

CREATE FUNCTION tiny_dancer.regrant() RETURNS SETOF name
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remembered tiny_dancer.granted_roles;
BEGIN
    FOR remembered IN SELECT * FROM tiny_dancer.granted_roles ORDER BY 1, 2 LOOP
        IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = remembered.role_name) THEN
            PERFORM tiny_dancer.grant_level(remembered.role_name, remembered.level);
            RETURN NEXT remembered.role_name;
        ELSE
            RAISE WARNING 'role % no longer exists', quote_literal(remembered.role_name)
                USING HINT = 'Delete it from tiny_dancer.granted_roles, or create it again.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tiny_dancer.regrant() IS
    'gives the roles of grant_usage() and grant_admin() what is new; run it after an update or a restore';

-- sql/99-revoke.sql

-- Functions are for PUBLIC unless that is taken away. Last, so that none is missed.

DO $$
DECLARE
    member regprocedure;
BEGIN
    FOR member IN
        SELECT d.objid::pg_catalog.regprocedure
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e
            ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e'
              AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', member);
    END LOOP;
END
$$;
