-- Budgets as users meet them.

CREATE FUNCTION tiny_dancer.check_period(period text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (period IN ('hour', 'day', 'month')) IS NOT TRUE THEN
        RAISE EXCEPTION 'unknown period %', coalesce(quote_literal(period), 'NULL')
            USING ERRCODE = '22023', HINT = 'Use one of: hour, day, month.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_period(text) IS 'internal: refuses what is no period of a budget';

CREATE FUNCTION tiny_dancer.check_cost(what text, amount float8) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (amount >= 0 AND amount < 'Infinity') IS NOT TRUE THEN
        RAISE EXCEPTION '% is %', what, coalesce(amount::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give dollars, a finite number of at least 0.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_cost(text, float8) IS 'internal: refuses what is no amount of money';

CREATE FUNCTION tiny_dancer.check_tags(tags text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT tiny_dancer.are_tags(tags) THEN
        RAISE EXCEPTION 'the % tags are not a flat array of at most 100 without NULLs', cardinality(tags)
            USING ERRCODE = '22023', HINT = 'Pass an array such as ARRAY[''team-a''].';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_tags(text[]) IS 'internal: refuses what are no tags of a request';

CREATE FUNCTION tiny_dancer.require_agent(agent text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tiny_dancer.agents a WHERE a.name = agent AND a.removed_at IS NULL) THEN
        PERFORM tiny_dancer.raise_unknown_agent(agent);
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.require_agent(text) IS 'internal: refuses a name that no living agent has';

CREATE FUNCTION @extschema@.ruvector_set_budget(
    limit_amount float8,
    period text,
    agent text DEFAULT NULL,
    tag text DEFAULT NULL,
    time_zone text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text;
BEGIN
    PERFORM tiny_dancer.require_writable('set a budget');
    PERFORM tiny_dancer.check_period(period);
    IF agent IS NOT NULL AND tag IS NOT NULL THEN
        RAISE EXCEPTION 'a budget has an agent or a tag, not both'
            USING ERRCODE = '22023', HINT = 'Set two budgets: a request must fit all that apply to it.';
    END IF;
    IF limit_amount IS NULL THEN
        DELETE FROM tiny_dancer.budgets b
        WHERE b.agent_name IS NOT DISTINCT FROM agent AND b.tag IS NOT DISTINCT FROM ruvector_set_budget.tag
              AND b.period = ruvector_set_budget.period;
        RETURN FOUND;
    END IF;
    PERFORM tiny_dancer.check_cost('limit_amount', limit_amount);
    IF agent IS NOT NULL AND NOT EXISTS (SELECT FROM tiny_dancer.agents a WHERE a.name = agent) THEN
        PERFORM tiny_dancer.raise_unknown_agent(agent);
    END IF;
    IF length(tag) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'the tag has % characters', length(tag)
            USING ERRCODE = '22023', HINT = 'Give a tag of 1 to 200 characters.';
    END IF;
    IF time_zone IS NOT NULL THEN
        SELECT z.name INTO zone FROM pg_timezone_names z WHERE lower(z.name) = lower(time_zone) LIMIT 1;
        IF zone IS NULL THEN
            RAISE EXCEPTION 'unknown time zone %', quote_literal(time_zone)
                USING ERRCODE = '22023', HINT = 'Use a name of pg_timezone_names, for example Europe/Berlin.';
        END IF;
    END IF;
    INSERT INTO tiny_dancer.budgets AS b (agent_name, tag, period, limit_amount, time_zone)
    VALUES (agent, ruvector_set_budget.tag, ruvector_set_budget.period, ruvector_set_budget.limit_amount,
            coalesce(zone, 'UTC'))
    ON CONFLICT ON CONSTRAINT budgets_scope_period DO UPDATE
    SET limit_amount = excluded.limit_amount, time_zone = coalesce(zone, b.time_zone), updated_at = now();
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_budget(float8, text, text, text, text) IS
    'limits what an agent, a tag or (with neither) everything may cost in an hour, day or month, in dollars; a NULL limit removes the budget';

CREATE FUNCTION @extschema@.ruvector_budget_status(
    OUT agent text,
    OUT tag text,
    OUT period text,
    OUT limit_amount float8,
    OUT settled float8,
    OUT reserved float8,
    OUT remaining float8,
    OUT overshoot float8,
    OUT over_limit float8,
    OUT window_start timestamptz,
    OUT window_end timestamptz,
    OUT time_zone text
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 1000
BEGIN ATOMIC
    SELECT s.agent_name, s.tag, s.period, s.limit_amount::float8, s.settled::float8, s.reserved::float8,
           GREATEST(s.limit_amount - s.settled - s.reserved, 0)::float8,
           s.overshoot::float8, GREATEST(s.settled - s.limit_amount, 0)::float8,
           s.window_start, tiny_dancer.window_end(s.period, s.time_zone, s.window_start), s.time_zone
    FROM tiny_dancer.budget_balances() s
    ORDER BY s.scope COLLATE "C", s.window_start;
END;
COMMENT ON FUNCTION @extschema@.ruvector_budget_status() IS
    'every budget in its present window; overshoot is by how much actual costs exceeded their reservations, over_limit what was spent beyond the limit';

CREATE FUNCTION @extschema@.ruvector_check_budget(
    agent text,
    estimated_cost float8,
    tags text[] DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tiny_dancer.check_cost('estimated_cost', estimated_cost);
    PERFORM tiny_dancer.check_tags(tags);
    PERFORM tiny_dancer.require_agent(agent);
    RETURN NOT EXISTS (
        SELECT FROM tiny_dancer.budget_balances() s
        WHERE s.scope = ANY (tiny_dancer.budget_scopes(agent, tags))
              AND s.settled + s.reserved + estimated_cost::numeric > s.limit_amount);
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_check_budget(text, float8, text[]) IS
    'whether every budget that applies admits the cost at this moment; only a reservation makes sure of it';

CREATE FUNCTION tiny_dancer.require_fresh_snapshot() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen pg_snapshot := pg_current_snapshot();
    is_stale boolean;
    next_id bigint := pg_snapshot_xmax(seen)::text::bigint;
BEGIN
    -- A READ COMMITTED statement that follows the lock sees all that was committed before.
    IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
        RETURN;
    END IF;
    -- Above that, a transaction looks at the past. Whether anything was committed since can still be asked.
    SELECT bool_or(pg_xact_status(running) = 'committed') INTO is_stale FROM pg_snapshot_xip(seen) AS running;
    BEGIN
        WHILE is_stale IS NOT TRUE LOOP
            is_stale := pg_xact_status(next_id::text::xid8) = 'committed';
            next_id := next_id + 1;
        END LOOP;
    EXCEPTION WHEN invalid_parameter_value THEN
        -- The transaction of that number has not begun: all that have were looked at.
        RETURN;
    END;
    RAISE EXCEPTION 'could not serialize access: something was committed since this transaction''s snapshot'
        USING ERRCODE = '40001',
              DETAIL = 'What others spent or reserved meanwhile can not be seen from here.',
              HINT = 'Retry; reserve in a transaction of its own, at READ COMMITTED this does not happen.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.require_fresh_snapshot() IS
    'internal: refuses to admit spend by an old view of the budgets (REPEATABLE READ, SERIALIZABLE)';

CREATE FUNCTION tiny_dancer.raise_budget_exhausted(budget bigint, estimated_cost numeric) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    balance record;
BEGIN
    SELECT * INTO balance FROM tiny_dancer.budget_balances() s WHERE s.budget_id = budget;
    RAISE EXCEPTION 'the budget does not admit %', estimated_cost
        USING ERRCODE = 'TD002',
              DETAIL = format(
                  'Budget %s per %s: limit %s, settled %s, reserved %s, remaining %s; the next window begins at %s.',
                  CASE WHEN balance.agent_name IS NOT NULL THEN 'of agent ' || quote_literal(balance.agent_name)
                       WHEN balance.tag IS NOT NULL THEN 'of tag ' || quote_literal(balance.tag)
                       ELSE 'over all' END,
                  balance.period, trim_scale(balance.limit_amount), trim_scale(balance.settled),
                  trim_scale(balance.reserved),
                  trim_scale(greatest(balance.limit_amount - balance.settled - balance.reserved, 0)),
                  tiny_dancer.window_end(balance.period, balance.time_zone, balance.window_start)),
              HINT = 'Wait for the next window, take a cheaper agent, or have the limit raised with ruvector_set_budget().';
END
$$;
COMMENT ON FUNCTION tiny_dancer.raise_budget_exhausted(bigint, numeric) IS
    'internal: the error that a budget does not admit a cost';

CREATE FUNCTION @extschema@.ruvector_reserve_budget(
    agent text,
    estimated_cost float8,
    ttl interval DEFAULT '10 minutes',
    tags text[] DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    amount numeric := estimated_cost;
    labels text[] := ARRAY(SELECT DISTINCT unnest(tags));
    reservation uuid := gen_random_uuid();
    moment timestamptz;
    applying bigint[];
    refusing bigint;
BEGIN
    PERFORM tiny_dancer.require_writable('reserve');
    PERFORM tiny_dancer.check_cost('estimated_cost', estimated_cost);
    PERFORM tiny_dancer.check_tags(tags);
    PERFORM tiny_dancer.require_agent(agent);
    IF (ttl > '0' AND ttl <= '1 day') IS NOT TRUE THEN
        RAISE EXCEPTION 'ttl is %', coalesce(ttl::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give an interval above 0 and up to 1 day.';
    END IF;
    -- Everybody who admits something locks the budgets in the order of their ids, so nobody deadlocks; and
    -- only then looks at them and at the clock.
    SELECT array_agg(locked.id) INTO applying
    FROM (SELECT b.id FROM tiny_dancer.budgets b
          WHERE b.scope = ANY (tiny_dancer.budget_scopes(agent, labels))
          ORDER BY b.id
          FOR NO KEY UPDATE) AS locked;
    PERFORM tiny_dancer.require_fresh_snapshot();
    moment := clock_timestamp();
    IF applying IS NOT NULL THEN
        refusing := tiny_dancer.hold_budgets(reservation, applying, amount, moment, moment + ttl);
        IF refusing IS NOT NULL THEN
            PERFORM tiny_dancer.raise_budget_exhausted(refusing, amount);
        END IF;
    END IF;
    INSERT INTO tiny_dancer.reservations (id, agent_name, tags, amount, reserved_at, expires_at)
    VALUES (reservation, agent, labels, amount, moment, moment + ttl);
    RETURN reservation;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_reserve_budget(text, float8, interval, text[]) IS
    'sets dollars aside in every budget that applies, or fails with TD002; what is neither settled nor released in time is free again';

CREATE FUNCTION tiny_dancer.hold_budgets(
    reservation uuid,
    budgets bigint[],
    amount numeric,
    moment timestamptz,
    until timestamptz
) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    balance record;
BEGIN
    FOR balance IN
        SELECT s.* FROM tiny_dancer.budget_balances(moment) s
        WHERE s.budget_id = ANY (budgets) ORDER BY s.budget_id
    LOOP
        IF balance.settled + balance.reserved + amount > balance.limit_amount THEN
            RETURN balance.budget_id;
        END IF;
        INSERT INTO tiny_dancer.budget_holds (reservation_id, budget_id, window_start, amount, expires_at)
        VALUES (reservation, balance.budget_id, balance.window_start, amount, until);
        IF balance.charges > 64 THEN
            PERFORM tiny_dancer.merge_charges(balance.budget_id, balance.window_start);
        END IF;
    END LOOP;
    DELETE FROM tiny_dancer.budget_holds h
    WHERE h.ctid = ANY (ARRAY(
        SELECT s.ctid FROM tiny_dancer.budget_holds s
        WHERE s.budget_id = ANY (budgets) AND s.expires_at <= moment
        LIMIT 100
        FOR UPDATE SKIP LOCKED));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.hold_budgets(uuid, bigint[], numeric, timestamptz, timestamptz) IS
    'internal: holds an amount in locked budgets, and returns the first one that does not admit it';

CREATE FUNCTION tiny_dancer.lock_reservation(reservation uuid) RETURNS tiny_dancer.reservations
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held tiny_dancer.reservations;
BEGIN
    SELECT * INTO held FROM tiny_dancer.reservations r WHERE r.id = reservation FOR UPDATE;
    IF held.id IS NULL THEN
        RAISE EXCEPTION 'unknown reservation %', coalesce(quote_literal(reservation), 'NULL')
            USING ERRCODE = '42704', HINT = 'Pass what ruvector_reserve_budget() returned.';
    END IF;
    RETURN held;
END
$$;
COMMENT ON FUNCTION tiny_dancer.lock_reservation(uuid) IS 'internal: the reservation of that id, locked';

CREATE FUNCTION @extschema@.ruvector_settle_budget(reservation uuid, actual_cost float8) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held tiny_dancer.reservations;
BEGIN
    PERFORM tiny_dancer.require_writable('settle a reservation');
    PERFORM tiny_dancer.check_cost('actual_cost', actual_cost);
    held := tiny_dancer.lock_reservation(reservation);
    IF held.state = 'settled' THEN
        RETURN false;
    END IF;
    UPDATE tiny_dancer.reservations r
    SET state = 'settled', actual_cost = ruvector_settle_budget.actual_cost, ended_at = clock_timestamp()
    WHERE r.id = held.id;
    PERFORM tiny_dancer.charge_reservation(held, held.agent_name, held.tags, actual_cost::numeric);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_settle_budget(uuid, float8) IS
    'ends a reservation with what was spent, however late; false if it was settled already';

CREATE FUNCTION @extschema@.ruvector_release_budget(reservation uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held tiny_dancer.reservations;
BEGIN
    PERFORM tiny_dancer.require_writable('release a reservation');
    held := tiny_dancer.lock_reservation(reservation);
    IF held.state <> 'held' THEN
        RETURN false;
    END IF;
    UPDATE tiny_dancer.reservations r SET state = 'released', ended_at = clock_timestamp() WHERE r.id = held.id;
    DELETE FROM tiny_dancer.budget_holds h WHERE h.reservation_id = held.id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_release_budget(uuid) IS
    'ends a reservation of which nothing was spent; false if it had ended already';
