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
    WITH parts AS (
        SELECT since AS after, rolled_since AS before
        UNION ALL
        SELECT rolled_until - '1 us'::interval, 'infinity'
        UNION ALL
        SELECT s.began - '1 us'::interval, s.began + '1 hour'::interval
        FROM unnest(stale_hours) AS s (began)
        WHERE s.began >= rolled_since AND s.began < rolled_until
    ),
    pieces AS (
        SELECT o.agent_id, CASE WHEN wanted = 'tag' THEN t.tag ELSE o.route_name END AS label,
               date_trunc('hour', o.recorded_at, 'UTC') AS began,
               count(*) AS requests, count(*) FILTER (WHERE o.success) AS successes, sum(o.cost) AS cost,
               count(o.latency_ms) AS latencies, sum(o.latency_ms) AS latency_total,
               count(o.input_tokens + o.output_tokens) AS compared,
               sum(o.cost) FILTER (WHERE o.input_tokens + o.output_tokens IS NOT NULL) AS compared_cost,
               sum(o.input_tokens) FILTER (WHERE o.output_tokens IS NOT NULL) AS input_tokens,
               sum(o.output_tokens) FILTER (WHERE o.input_tokens IS NOT NULL) AS output_tokens,
               ARRAY[o.bucket] AS buckets, ARRAY[count(o.latency_ms)] AS bucket_counts,
               min(o.recorded_at) AS first_at, max(o.recorded_at) AS last_at
        FROM parts
        CROSS JOIN LATERAL (
            SELECT u.agent_id, u.route_name, u.recorded_at, u.cost, u.success, u.latency_ms, u.tags,
                   u.input_tokens::bigint, u.output_tokens::bigint,
                   tiny_dancer.latency_bucket(u.latency_ms) AS bucket
            FROM tiny_dancer.usage u
            WHERE u.recorded_at > parts.after AND u.recorded_at < parts.before) o
        CROSS JOIN LATERAL (
            SELECT NULL::text WHERE wanted <> 'tag'
            UNION ALL
            SELECT DISTINCT l.tag FROM unnest(o.tags) AS l (tag) WHERE wanted = 'tag') AS t (tag)
        GROUP BY o.agent_id, 2, 3, o.bucket
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
    totals AS (
        SELECT k.agent, k.key, sum(k.requests)::bigint AS requests, sum(k.successes)::bigint AS successes,
               sum(k.cost) AS cost, sum(k.latencies)::bigint AS latencies, sum(k.latency_total) AS latency_total,
               sum(k.compared)::bigint AS compared, sum(k.compared_cost) AS compared_cost,
               sum(k.input_tokens)::float8 AS input_tokens, sum(k.output_tokens)::float8 AS output_tokens,
               min(k.first_at) AS first_at, max(k.last_at) AS last_at
        FROM keyed k
        GROUP BY k.agent, k.key
    ),
    spread AS (
        SELECT k.agent, k.key, b.bucket, sum(b.counted)::bigint AS counted
        FROM keyed k CROSS JOIN LATERAL unnest(k.buckets, k.bucket_counts) AS b (bucket, counted)
        WHERE b.bucket IS NOT NULL
        GROUP BY k.agent, k.key, b.bucket
    ),
    counted AS (
        SELECT s.agent, s.key, tiny_dancer.bucket_latency(s.bucket) AS latency,
               sum(s.counted) OVER (PARTITION BY s.agent, s.key ORDER BY s.bucket) AS up_to,
               sum(s.counted) OVER (PARTITION BY s.agent, s.key) - 1 AS last
        FROM spread s
    ),
    -- As percentile_cont() does: between the two outcomes that the rank falls between.
    ranked AS (
        SELECT c.agent, c.key,
               min(c.latency) FILTER (WHERE c.up_to > floor(0.5 * c.last)) AS low50,
               min(c.latency) FILTER (WHERE c.up_to > ceil(0.5 * c.last)) AS high50,
               min(c.latency) FILTER (WHERE c.up_to > floor(0.95 * c.last)) AS low95,
               min(c.latency) FILTER (WHERE c.up_to > ceil(0.95 * c.last)) AS high95,
               min(c.latency) FILTER (WHERE c.up_to > floor(0.99 * c.last)) AS low99,
               min(c.latency) FILTER (WHERE c.up_to > ceil(0.99 * c.last)) AS high99,
               max(c.last)::float8 AS last
        FROM counted c
        GROUP BY c.agent, c.key
    )
    SELECT t.agent, t.key, t.requests, t.successes, t.cost, t.latencies, t.latency_total,
           r.low50 + (r.high50 - r.low50) * (0.5 * r.last - floor(0.5 * r.last)),
           r.low95 + (r.high95 - r.low95) * (0.95 * r.last - floor(0.95 * r.last)),
           r.low99 + (r.high99 - r.low99) * (0.99 * r.last - floor(0.99 * r.last)),
           t.compared, t.compared_cost, t.input_tokens, t.output_tokens, t.first_at, t.last_at
    FROM totals t
    -- In texts that NULL has no part in: equality knows no NULL, and nothing else can be hashed.
    LEFT JOIN ranked r ON coalesce('=' || r.key, '') = coalesce('=' || t.key, '')
                          AND coalesce('=' || r.agent, '') = coalesce('=' || t.agent, '');
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
