-- Slots of agents, held for a time by leases.

CREATE FUNCTION tiny_dancer.lease_duration(ttl interval) RETURNS interval
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds float8 := extract(epoch FROM ttl);
    most float8;
BEGIN
    SELECT coalesce(max(s.value), '3600')::float8 INTO most
    FROM tiny_dancer.settings s
    WHERE s.name = 'lease_max_seconds';
    IF ttl IS NULL OR seconds < 0.001 OR seconds > most THEN
        RAISE EXCEPTION 'a lease can not last %', coalesce(quote_literal(ttl::text), 'NULL')
            USING ERRCODE = '22023',
                  DETAIL = format('It lasts from 0.001 to %s seconds; the latter is the setting lease_max_seconds.', most),
                  HINT = 'Give a short time, and renew the lease while the work goes on.';
    END IF;
    RETURN make_interval(secs => seconds);
END
$$;
COMMENT ON FUNCTION tiny_dancer.lease_duration(interval) IS 'internal: the duration of a lease, checked';

CREATE FUNCTION tiny_dancer.refuse_lease_writes() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'leases can not be taken, renewed or released in a read-only transaction'
            USING ERRCODE = '25006',
                  HINT = 'Connect to the primary server, in a transaction that may write; ruvector_pool_status() works here.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.refuse_lease_writes() IS 'internal: the error of leases where nothing can be written';

-- As the owner: those who use the router have no other way to write leases.
-- An agent that turns out to be unable is let go of at once (the block that fails gives back its row lock), so
-- nobody waits for one agent while holding another.
CREATE FUNCTION tiny_dancer.take_slot(
    agent_id bigint,
    ttl interval,
    may_wait boolean,
    OUT lease uuid,
    OUT expires_at timestamptz,
    OUT refusal text
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    duration interval := tiny_dancer.lease_duration(ttl);
    present record;
    held integer;
    probes integer;
BEGIN
    -- Who is full or open is found without a lock, and not queued at.
    SELECT * INTO present FROM tiny_dancer.present_load(agent_id);
    refusal := present.refusal;
    IF refusal IS NOT NULL THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM tiny_dancer.agent_slots s WHERE s.agent_id = take_slot.agent_id) THEN
        INSERT INTO tiny_dancer.agent_slots (agent_id) VALUES (take_slot.agent_id) ON CONFLICT DO NOTHING;
    END IF;
    BEGIN
        IF may_wait THEN
            PERFORM FROM tiny_dancer.agent_slots s WHERE s.agent_id = take_slot.agent_id FOR UPDATE;
        ELSE
            PERFORM FROM tiny_dancer.agent_slots s WHERE s.agent_id = take_slot.agent_id FOR UPDATE SKIP LOCKED;
        END IF;
        IF NOT FOUND THEN
            refusal := 'is busy';
            RETURN;
        END IF;
        -- One that has expired and is locked is being renewed at this moment: it stays, and counts.
        DELETE FROM tiny_dancer.leases l
        WHERE l.id = ANY (ARRAY(
            SELECT past.id FROM tiny_dancer.leases past
            WHERE past.agent_id = take_slot.agent_id AND past.expires_at <= clock_timestamp()
            FOR UPDATE SKIP LOCKED));
        SELECT count(*), count(*) FILTER (WHERE l.is_probe) INTO held, probes
        FROM tiny_dancer.leases l
        WHERE l.agent_id = take_slot.agent_id;
        SELECT * INTO present FROM tiny_dancer.present_load(agent_id);
        refusal := CASE
            WHEN present.refusal IS NOT NULL THEN present.refusal
            WHEN held >= present.max_concurrent THEN format('is full (%s of %s)', held, present.max_concurrent)
            WHEN present.breaker = 'half_open' AND probes > 0 THEN 'is being probed after failures'
        END;
        IF refusal IS NOT NULL THEN
            RAISE EXCEPTION 'no free slot' USING ERRCODE = 'TD003';
        END IF;
        INSERT INTO tiny_dancer.leases AS l (id, agent_id, acquired_at, expires_at, is_probe)
        SELECT gen_random_uuid(), take_slot.agent_id, moment, moment + duration, present.breaker = 'half_open'
        FROM clock_timestamp() AS moment
        RETURNING l.id, l.expires_at INTO lease, expires_at;
        UPDATE tiny_dancer.agent_slots s SET leases_taken = s.leases_taken + 1 WHERE s.agent_id = take_slot.agent_id;
        IF NOT present.is_written THEN
            PERFORM tiny_dancer.write_breaker_state(agent_id, clock_timestamp(), tiny_dancer.breaker_rules());
        END IF;
    EXCEPTION WHEN SQLSTATE 'TD003' THEN
        RETURN;
    END;
END
$$;
COMMENT ON FUNCTION tiny_dancer.take_slot(bigint, interval, boolean) IS
    'internal: takes a slot of an agent, or says why it has none; may_wait says whether to queue behind who is taking one';

-- Two rounds: the first passes over members at which somebody is taking a slot right now, the second waits for
-- them, one at a time. So who is refused saw every member unable.
CREATE FUNCTION @extschema@.ruvector_acquire(
    pool_or_agent text,
    ttl interval DEFAULT '1 minute',
    OUT lease uuid,
    OUT agent_name text,
    OUT expires_at timestamptz
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    members bigint[];
    names text[];
    refusals text[];
    may_wait boolean;
    attempt record;
BEGIN
    PERFORM tiny_dancer.refuse_lease_writes();
    SELECT m.members, m.names INTO members, names FROM tiny_dancer.slot_holders(pool_or_agent) m;
    IF members IS NULL THEN
        RAISE EXCEPTION 'unknown agent or pool %', coalesce(quote_literal(pool_or_agent), 'NULL')
            USING ERRCODE = '42704', HINT = 'ruvector_pool_status() shows the agents and their pools.';
    END IF;
    refusals := array_fill('is busy'::text, ARRAY[cardinality(members)]);
    FOREACH may_wait IN ARRAY CASE cardinality(members) WHEN 1 THEN '{true}' ELSE '{false,true}' END::boolean[] LOOP
        FOR i IN 1 .. cardinality(members) LOOP
            CONTINUE WHEN refusals[i] <> 'is busy';
            SELECT * INTO attempt FROM tiny_dancer.take_slot(members[i], ttl, may_wait);
            IF attempt.lease IS NOT NULL THEN
                lease := attempt.lease;
                agent_name := names[i];
                expires_at := attempt.expires_at;
                RETURN;
            END IF;
            refusals[i] := attempt.refusal;
        END LOOP;
    END LOOP;
    RAISE EXCEPTION 'no free slot at %', quote_literal(pool_or_agent)
        USING ERRCODE = 'TD003',
              DETAIL = tiny_dancer.refusal_detail(names, refusals),
              HINT = 'Try again later; ruvector_pool_status() shows who is free.';
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_acquire(text, interval) IS
    'takes a slot of the agent of that name or else of the pool''s member with the least in flight for its weight; the lease ends by itself after ttl';

CREATE FUNCTION tiny_dancer.slot_holders(pool_or_agent text, OUT members bigint[], OUT names text[]) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT ARRAY[a.id], ARRAY[a.name] INTO members, names
    FROM tiny_dancer.agents a
    WHERE a.name = pool_or_agent AND a.removed_at IS NULL;
    IF FOUND THEN
        RETURN;
    END IF;
    -- Who waits for its probe comes first: with the others free, the turn of the last by name would never come.
    SELECT array_agg(m.id ORDER BY m.is_on_probation DESC, m.in_flight / m.weight, m.name COLLATE "C"),
           array_agg(m.name ORDER BY m.is_on_probation DESC, m.in_flight / m.weight, m.name COLLATE "C")
    INTO members, names
    FROM (
        SELECT a.id, a.name, a.weight, load.in_flight, load.breaker = 'half_open' AS is_on_probation
        FROM tiny_dancer.agents a
        CROSS JOIN tiny_dancer.breaker_rules() AS rules
        CROSS JOIN LATERAL tiny_dancer.agent_load(a.id, a.active, a.max_concurrent, clock_timestamp(), rules) AS load
        WHERE a.pool = pool_or_agent AND a.removed_at IS NULL
    ) AS m;
END
$$;
COMMENT ON FUNCTION tiny_dancer.slot_holders(text) IS
    'internal: the agent of that name or else the members of that pool, in the order in which they are asked for a slot';

CREATE FUNCTION tiny_dancer.refusal_detail(names text[], refusals text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('Agent %s%s.', string_agg(format('%L %s', r.name, r.refusal), '; ' ORDER BY r.place),
                  CASE WHEN cardinality(names) > 10 THEN format('; and %s more', cardinality(names) - 10) END)
    FROM ROWS FROM (unnest(names), unnest(refusals)) WITH ORDINALITY AS r (name, refusal, place)
    WHERE r.place <= 10;
END;
COMMENT ON FUNCTION tiny_dancer.refusal_detail(text[], text[]) IS 'internal: why agents have no free slot, as a sentence';

CREATE FUNCTION @extschema@.ruvector_renew(lease uuid, ttl interval DEFAULT '1 minute') RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    duration interval := tiny_dancer.lease_duration(ttl);
    renewed timestamptz;
BEGIN
    PERFORM tiny_dancer.refuse_lease_writes();
    UPDATE tiny_dancer.leases l SET expires_at = clock_timestamp() + duration
    WHERE l.id = lease AND l.expires_at > clock_timestamp()
    RETURNING l.expires_at INTO renewed;
    IF renewed IS NULL THEN
        RAISE EXCEPTION 'lease % is not held', coalesce(lease::text, 'NULL')
            USING ERRCODE = '42704',
                  DETAIL = 'It has expired, was released, or never was.',
                  HINT = 'Its slot may be taken by now: acquire a new lease before going on.';
    END IF;
    RETURN renewed;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_renew(uuid, interval) IS
    'lets a lease that is still held end a ttl from now; returns when that is';

CREATE FUNCTION @extschema@.ruvector_release(lease uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended timestamptz;
BEGIN
    PERFORM tiny_dancer.refuse_lease_writes();
    DELETE FROM tiny_dancer.leases l WHERE l.id = lease RETURNING l.expires_at INTO ended;
    RETURN coalesce(ended > clock_timestamp(), false);
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_release(uuid) IS
    'gives the slot of a lease back; false if it was not held any more (expired, released before, or never taken)';

CREATE FUNCTION tiny_dancer.forget_pool_history() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
    forgotten bigint;
    rules tiny_dancer.breaker_rules := tiny_dancer.breaker_rules();
BEGIN
    DELETE FROM tiny_dancer.leases l
    WHERE l.id = ANY (ARRAY(
        SELECT past.id FROM tiny_dancer.leases past WHERE past.expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    -- What is known of an agent's recovery must not go with the outcomes that show it.
    PERFORM tiny_dancer.write_breaker_state(e.agent_id, clock_timestamp(), rules)
    FROM (SELECT DISTINCT b.agent_id FROM tiny_dancer.breaker_events b) AS e;
    SELECT coalesce(sum(tiny_dancer.forget_breaker_events(e.agent_id, clock_timestamp() - 2 * rules.failure_window)), 0)
    INTO forgotten
    FROM (SELECT DISTINCT b.agent_id FROM tiny_dancer.breaker_events b) AS e;
    RETURN deleted + forgotten;
END
$$;
COMMENT ON FUNCTION tiny_dancer.forget_pool_history() IS
    'deletes leases that have expired and failures that no longer bear on a circuit breaker, and writes down its state; returns how many rows it deleted; run it before old outcomes are deleted';
