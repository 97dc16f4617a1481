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
