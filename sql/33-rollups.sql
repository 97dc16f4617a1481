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
