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
CREATE TABLE tiny_dancer.request_vectors (
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    decision_id uuid,
    usage_id bigint,
    model_id bigint NOT NULL,
    embedding halfvec NOT NULL,
    features real[],
    CHECK ((decision_id IS NULL) OPERATOR(pg_catalog.<>) (usage_id IS NULL))
);
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
