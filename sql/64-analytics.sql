-- Where the money went. Plain SQL over the ledger, by its time index.

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
    WITH since AS (
        SELECT COALESCE(pg_catalog.clock_timestamp() - time_range, '-infinity'::timestamptz) AS moment
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
        WHERE u.recorded_at > (SELECT moment FROM since)
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
    )
    SELECT r.living, r.active, d.total, t.requests, t.cost, t.success_rate, t.latency, t.p50, t.p95, t.p99, j.total,
           (SELECT b.name FROM tiny_dancer.baseline_agent() b), t.compared, t.baseline, t.savings, t.began, t.ended
    FROM registered r, decided d, judged j, totals t;
END;
COMMENT ON FUNCTION @extschema@.ruvector_routing_stats(interval) IS
    'totals of the time range, of all time where it is NULL; costs in dollars';
