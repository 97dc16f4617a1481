-- The circuit breaker of an agent: closed, open, half_open.

CREATE TYPE tiny_dancer.breaker_rules AS (
    failures integer,
    failure_window interval,
    cooldown interval,
    longest_cooldown interval,
    successes integer
);
COMMENT ON TYPE tiny_dancer.breaker_rules IS 'the settings of the circuit breakers';

-- In PL/pgSQL, which keeps its plans: what is called with every outcome must not be planned every time.
CREATE FUNCTION tiny_dancer.breaker_rules() RETURNS tiny_dancer.breaker_rules
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rules tiny_dancer.breaker_rules;
BEGIN
    SELECT coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_failures'), '5'),
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_window_seconds'), '60')::float8 * '1 s'::interval,
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_cooldown_seconds'), '30')::float8 * '1 s'::interval,
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_max_cooldown_seconds'), '600')::float8 * '1 s'::interval,
           coalesce(max(s.value) FILTER (WHERE s.name = 'breaker_successes'), '2')
    INTO rules
    FROM tiny_dancer.settings s
    WHERE s.name LIKE 'breaker\_%';
    RETURN rules;
END
$$;
COMMENT ON FUNCTION tiny_dancer.breaker_rules() IS 'internal: the settings of the circuit breakers in force';

CREATE FUNCTION tiny_dancer.breaker_cooldown(openings integer, rules tiny_dancer.breaker_rules) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The exponent is bounded, since an interval can overflow.
    SELECT greatest(rules.cooldown,
                    least(rules.cooldown * power(2, least(openings, 20) - 1), rules.longest_cooldown));
END;
COMMENT ON FUNCTION tiny_dancer.breaker_cooldown(integer, tiny_dancer.breaker_rules) IS
    'internal: how long a breaker stays open, doubled with every opening in a row up to the longest';

-- Only what an agent did since its breaker changed says anything about it: a request that began before the breaker
-- opened may end well long after, and one that hung through an outage may fail after it is over.
CREATE FUNCTION tiny_dancer.request_began(outcome tiny_dancer.usage) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Bounded, since a time can overflow: a month is older than anything that is judged.
    seconds float8 := least(coalesce(outcome.latency_ms, 0) / 1000, 2592000);
    decided_at timestamptz;
BEGIN
    IF outcome.decision_id IS NOT NULL THEN
        SELECT min(d.decided_at) INTO decided_at FROM tiny_dancer.decisions d WHERE d.id = outcome.decision_id;
    END IF;
    RETURN least(decided_at, outcome.recorded_at - make_interval(secs => seconds));
END
$$;
COMMENT ON FUNCTION tiny_dancer.request_began(tiny_dancer.usage) IS
    'internal: when the request of an outcome began, as far as its decision and its latency tell';

CREATE FUNCTION tiny_dancer.recovered_at(agent_id bigint, since timestamptz, successes integer) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
BEGIN
    SELECT u.recorded_at INTO moment
    FROM tiny_dancer.usage u
    WHERE u.agent_id = recovered_at.agent_id AND u.recorded_at >= recovered_at.since AND u.success
          AND tiny_dancer.request_began(u) >= recovered_at.since
    ORDER BY u.recorded_at
    OFFSET successes - 1 LIMIT 1;
    RETURN moment;
END
$$;
COMMENT ON FUNCTION tiny_dancer.recovered_at(bigint, timestamptz, integer) IS
    'internal: when an agent had so many successes of requests that began since a time; NULL if it has not';

-- The latest change of state that was written, and what was recorded since. A change that nobody has written yet is
-- found here, by every reader alike: the successes that close a breaker write nothing, and two failures recorded at
-- the same time do not see each other, so both may miss the opening that they make together. The next failure or
-- lease writes it.
-- As the owner, since it looks at outcomes; it tells nothing of them but the state.
CREATE FUNCTION tiny_dancer.breaker_state(
    agent_id bigint,
    moment timestamptz,
    rules tiny_dancer.breaker_rules,
    OUT state text,
    OUT failures integer,
    OUT opened_at timestamptz,
    OUT retry_at timestamptz,
    OUT openings integer,
    OUT since timestamptz,
    OUT is_written boolean
) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written tiny_dancer.breaker_events;
    last_failure timestamptz;
    closed_at timestamptz;
    burst integer;
BEGIN
    state := 'closed';
    failures := 0;
    openings := 0;
    since := '-infinity';
    is_written := true;
    IF rules.failures = 0
       OR NOT EXISTS (SELECT FROM tiny_dancer.breaker_events e WHERE e.agent_id = breaker_state.agent_id) THEN
        RETURN;
    END IF;
    SELECT e.* INTO written
    FROM tiny_dancer.breaker_events e
    WHERE e.agent_id = breaker_state.agent_id AND e.event IN ('opened', 'closed')
    ORDER BY e.happened_at DESC, e.id DESC
    LIMIT 1;
    IF written.event = 'opened' THEN
        opened_at := written.happened_at;
        retry_at := written.retry_at;
        openings := written.openings;
        since := retry_at;
    ELSIF written.event = 'closed' THEN
        since := written.happened_at;
    END IF;

    SELECT max(e.happened_at) INTO last_failure
    FROM tiny_dancer.breaker_events e
    WHERE e.agent_id = breaker_state.agent_id AND e.event = 'failure' AND e.happened_at >= since;
    SELECT count(*) FILTER (WHERE e.happened_at > moment - rules.failure_window),
           count(*) FILTER (WHERE e.happened_at > last_failure - rules.failure_window)
    INTO failures, burst
    FROM tiny_dancer.breaker_events e
    WHERE e.agent_id = breaker_state.agent_id AND e.event = 'failure'
          AND e.happened_at > least(moment, last_failure) - rules.failure_window
          AND (opened_at IS NOT NULL OR e.happened_at >= since);

    -- An opening that nobody has written is not for ever: it goes when the agent was left alone for a window.
    IF (opened_at IS NOT NULL AND last_failure IS NOT NULL)
       OR (opened_at IS NULL AND burst >= rules.failures AND last_failure > moment - rules.failure_window) THEN
        opened_at := last_failure;
        openings := openings + 1;
        retry_at := opened_at + tiny_dancer.breaker_cooldown(openings, rules);
        since := retry_at;
        is_written := false;
    END IF;
    IF opened_at IS NOT NULL AND moment >= retry_at THEN
        closed_at := tiny_dancer.recovered_at(agent_id, retry_at, rules.successes);
        IF closed_at IS NOT NULL THEN
            opened_at := NULL;
            retry_at := NULL;
            openings := 0;
            failures := 0;
            since := closed_at;
            is_written := false;
        END IF;
    END IF;
    IF opened_at IS NOT NULL THEN
        state := CASE WHEN moment < retry_at THEN 'open' ELSE 'half_open' END;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.breaker_state(bigint, timestamptz, tiny_dancer.breaker_rules) IS
    'internal: state of an agent''s circuit breaker at a moment; outcomes of requests that began before since do not count, is_written says whether the ledger shows this state';

CREATE FUNCTION tiny_dancer.write_breaker_state(
    agent_id bigint, moment timestamptz, rules tiny_dancer.breaker_rules
) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present record;
BEGIN
    SELECT * INTO present FROM tiny_dancer.breaker_state(agent_id, moment, rules);
    IF NOT present.is_written THEN
        INSERT INTO tiny_dancer.breaker_events (agent_id, happened_at, event, retry_at, openings)
        VALUES (write_breaker_state.agent_id, coalesce(present.opened_at, present.since),
                CASE WHEN present.opened_at IS NULL THEN 'closed' ELSE 'opened' END,
                present.retry_at, nullif(present.openings, 0));
    END IF;
    RETURN present.state;
END
$$;
COMMENT ON FUNCTION tiny_dancer.write_breaker_state(bigint, timestamptz, tiny_dancer.breaker_rules) IS
    'internal: writes a change of state that outcomes have made; returns the state';

CREATE FUNCTION tiny_dancer.forget_breaker_events(agent_id bigint, before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forgotten bigint;
BEGIN
    -- Rows that another session is deleting are skipped and not waited for. With an older snapshot that would be
    -- a serialisation failure.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN 0;
    END IF;
    DELETE FROM tiny_dancer.breaker_events e
    WHERE e.id = ANY (ARRAY(
        SELECT old.id FROM tiny_dancer.breaker_events old
        WHERE old.agent_id = forget_breaker_events.agent_id AND old.happened_at < before
              AND old.id IS DISTINCT FROM (
                  SELECT w.id FROM tiny_dancer.breaker_events w
                  WHERE w.agent_id = forget_breaker_events.agent_id AND w.event IN ('opened', 'closed')
                  ORDER BY w.happened_at DESC, w.id DESC
                  LIMIT 1)
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;
COMMENT ON FUNCTION tiny_dancer.forget_breaker_events(bigint, timestamptz) IS
    'internal: deletes what no longer bears on the state of an agent''s breaker; keeps the latest change of state';

-- Called by the trigger on the ledger, for failures alone: a success costs nothing here.
CREATE FUNCTION tiny_dancer.observe_failure(failure tiny_dancer.usage) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rules tiny_dancer.breaker_rules := tiny_dancer.breaker_rules();
    present record;
BEGIN
    IF rules.failures = 0 THEN
        RETURN;
    END IF;
    SELECT * INTO present FROM tiny_dancer.breaker_state(failure.agent_id, failure.recorded_at, rules);
    IF NOT present.is_written THEN
        PERFORM tiny_dancer.write_breaker_state(failure.agent_id, failure.recorded_at, rules);
    END IF;
    IF present.state = 'open' OR tiny_dancer.request_began(failure) < present.since THEN
        RETURN;
    END IF;
    INSERT INTO tiny_dancer.breaker_events (agent_id, happened_at, event)
    VALUES (failure.agent_id, failure.recorded_at, 'failure');
    PERFORM tiny_dancer.write_breaker_state(failure.agent_id, failure.recorded_at, rules);
    PERFORM tiny_dancer.forget_breaker_events(failure.agent_id, failure.recorded_at - 2 * rules.failure_window);
END
$$;
COMMENT ON FUNCTION tiny_dancer.observe_failure(tiny_dancer.usage) IS
    'internal: lets a recorded failure count for the circuit breaker of its agent';

CREATE FUNCTION tiny_dancer.reset_breaker(agent text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reset_agent bigint;
    present text;
BEGIN
    SELECT a.id INTO reset_agent FROM tiny_dancer.agents a WHERE a.name = agent AND a.removed_at IS NULL;
    IF reset_agent IS NULL THEN
        PERFORM tiny_dancer.raise_unknown_agent(agent);
    END IF;
    SELECT b.state INTO present
    FROM tiny_dancer.breaker_state(reset_agent, clock_timestamp(), tiny_dancer.breaker_rules()) b;
    INSERT INTO tiny_dancer.breaker_events (agent_id, happened_at, event)
    VALUES (reset_agent, clock_timestamp(), 'closed');
    RETURN present <> 'closed';
END
$$;
COMMENT ON FUNCTION tiny_dancer.reset_breaker(text) IS
    'closes the circuit breaker of an agent and forgets its failures; returns whether it was open or half-open';
