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
            SELECT DISTINCT 'tag', NULL::bigint, l.tag FROM unnest(u.tags) AS l (tag)
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
