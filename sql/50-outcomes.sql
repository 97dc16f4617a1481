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
