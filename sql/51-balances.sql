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
