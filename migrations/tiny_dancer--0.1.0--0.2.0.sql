-- From 0.1.0 to 0.2.0. What is written by hand here is what CREATE OR REPLACE FUNCTION can not do; see
-- docs/upgrading.md.

-- maintain() deletes by this time, and read the whole table to find it.
CREATE INDEX foreseen_outcomes_time ON tiny_dancer.foreseen_outcomes USING brin (recorded_at);

-- Models learn from the requests held back, too, once they were judged by them.
ALTER TABLE tiny_dancer.router_training_requests ADD COLUMN judged_weights bytea;
ALTER TABLE tiny_dancer.router_training_requests ALTER COLUMN judged_weights SET STORAGE EXTERNAL;

-- What tiny_dancer.route() returns.
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

-- @FUNCTIONS@

-- It takes vectors in one piece now, and ruvector_batch_route(), replaced above, calls no more the one of 0.1.0.
DROP FUNCTION tiny_dancer.batch_route(text[], text, text[], float8, float8, float8, text[], float8, bytea[], float8, float8, text[]);
