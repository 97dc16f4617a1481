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
