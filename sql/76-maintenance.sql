-- What keeps growing tables fast. Nothing here is needed for right answers.

CREATE FUNCTION tiny_dancer.days_kept(name text) RETURNS interval
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The defaults are those of the library; a test compares them.
    SELECT COALESCE(
               (SELECT s.value FROM tiny_dancer.settings s WHERE s.name = days_kept.name),
               CASE days_kept.name WHEN 'idempotency_key_days' THEN '90' ELSE '36500' END)::integer
           * '1 day'::interval;
END;
COMMENT ON FUNCTION tiny_dancer.days_kept(text) IS 'internal: a setting of days to keep rows for';

CREATE FUNCTION tiny_dancer.expire_reservations(moment timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    DELETE FROM tiny_dancer.budget_holds h
    WHERE h.ctid = ANY (ARRAY(
        SELECT s.ctid FROM tiny_dancer.budget_holds s WHERE s.expires_at <= moment FOR UPDATE SKIP LOCKED));
    -- A budget that is opened counts what was settled in its window, which is at most 31 days long.
    DELETE FROM tiny_dancer.reservations r
    WHERE r.id = ANY (ARRAY(
        SELECT s.id FROM tiny_dancer.reservations s
        WHERE coalesce(s.ended_at, s.expires_at) < moment - '40 days'::interval FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION tiny_dancer.expire_reservations(timestamptz) IS
    'internal: deletes holds that have expired and reservations that ended or expired 40 days ago';

CREATE FUNCTION tiny_dancer.merge_all_charges() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    split record;
    merged bigint := 0;
BEGIN
    FOR split IN
        SELECT c.budget_id, c.window_start FROM tiny_dancer.budget_charges c
        GROUP BY c.budget_id, c.window_start HAVING count(*) > 1
    LOOP
        PERFORM tiny_dancer.merge_charges(split.budget_id, split.window_start);
        merged := merged + 1;
    END LOOP;
    RETURN merged;
END
$$;
COMMENT ON FUNCTION tiny_dancer.merge_all_charges() IS
    'internal: replaces charges by their sum, for each window of a budget; returns how many windows';

CREATE FUNCTION tiny_dancer.lock_rollups(patience interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + patience;
BEGIN
    WHILE NOT pg_try_advisory_xact_lock(tiny_dancer.rollup_lock(), 1) LOOP
        IF clock_timestamp() > deadline THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
    RETURN tiny_dancer.wait_for_recording(patience);
END
$$;
COMMENT ON FUNCTION tiny_dancer.lock_rollups(interval) IS
    'internal: keeps outcomes of the past out, once those that are being recorded are in; false if that takes longer';

CREATE FUNCTION tiny_dancer.maintain(
    time_limit interval DEFAULT '10 minutes',
    OUT step text,
    OUT affected bigint,
    OUT note text
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    rolled record;
    made record;
    ledger text;
    can_roll boolean;
    is_rolled boolean := false;
    usage_cutoff timestamptz;
    decisions_cutoff timestamptz := moment - tiny_dancer.days_kept('decision_retention_days');
BEGIN
    PERFORM tiny_dancer.require_writable('maintain');
    IF (time_limit > '0') IS NOT TRUE THEN
        RAISE EXCEPTION 'time_limit is %', coalesce(time_limit::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give an interval above 0, for example ''10 minutes''.';
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'maintenance needs a transaction at READ COMMITTED'
            USING ERRCODE = '25001', HINT = 'Call tiny_dancer.maintain() outside of a transaction block.';
    END IF;
    IF NOT pg_try_advisory_xact_lock(tiny_dancer.rollup_lock(), 0) THEN
        step := 'maintenance';
        affected := 0;
        note := 'left to another session, which is at it';
        RETURN NEXT;
        RETURN;
    END IF;

    step := 'leases and failures forgotten';
    -- Before outcomes are deleted: what is known of an agent's recovery must not go with them.
    affected := tiny_dancer.forget_pool_history();
    RETURN NEXT;
    step := 'reservations expired';
    affected := tiny_dancer.expire_reservations(moment);
    RETURN NEXT;
    step := 'windows of budgets merged';
    affected := tiny_dancer.merge_all_charges();
    RETURN NEXT;
    step := 'idempotency keys expired';
    affected := tiny_dancer.delete_old(
        'usage_keys', 'recorded_at', moment - tiny_dancer.days_kept('idempotency_key_days'));
    RETURN NEXT;

    step := 'hours summed up';
    can_roll := tiny_dancer.lock_rollups(least(time_limit, '5 seconds'));
    IF can_roll THEN
        SELECT * INTO rolled FROM tiny_dancer.roll_up(moment, moment + time_limit);
        affected := rolled.hours;
        is_rolled := rolled.is_done;
        note := CASE WHEN NOT is_rolled THEN 'the time limit was reached: run it again for the rest' END;
    ELSE
        affected := 0;
        note := 'put off: a transaction that recorded outcomes is still open';
    END IF;
    RETURN NEXT;

    step := 'outcomes deleted';
    affected := 0;
    IF is_rolled THEN
        note := NULL;
        -- Whatever the setting says: a budget that is set late counts what its window has seen, up to a month of it.
        SELECT date_trunc('hour', least(s.rolled_until, moment - '35 days'::interval,
                                        moment - tiny_dancer.days_kept('usage_retention_days')), 'UTC')
        INTO usage_cutoff FROM tiny_dancer.usage_rollup_state s;
        affected := tiny_dancer.delete_old_rows('usage', usage_cutoff);
        UPDATE tiny_dancer.usage_rollup_state SET rolled_from = usage_cutoff WHERE rolled_from < usage_cutoff;
    ELSE
        note := 'put off: they are summed up first';
    END IF;
    RETURN NEXT;
    note := NULL;
    step := 'feedback deleted';
    affected := CASE WHEN usage_cutoff IS NULL THEN 0
                     ELSE tiny_dancer.delete_old('feedback', 'given_at', least(usage_cutoff, decisions_cutoff)) END;
    RETURN NEXT;
    step := 'decisions deleted';
    affected := tiny_dancer.delete_old_rows('decisions', decisions_cutoff);
    RETURN NEXT;
    step := 'vectors deleted';
    affected := tiny_dancer.delete_old(
        'request_vectors', 'recorded_at', moment - tiny_dancer.days_kept('vector_retention_days'));
    RETURN NEXT;

    -- Last, since this locks out everybody else until the end of the transaction.
    FOREACH ledger IN ARRAY ARRAY['usage', 'decisions'] LOOP
        step := format('partitions of %s made', ledger);
        BEGIN
            SELECT * INTO made FROM tiny_dancer.make_partitions(ledger, moment);
            affected := made.made;
            note := CASE WHEN made.moved > 0 THEN format('moved %s rows out of the default partition', made.moved) END;
        EXCEPTION WHEN lock_not_available THEN
            affected := 0;
            note := 'put off: ' || SQLERRM;
        END;
        RETURN NEXT;
        step := format('partitions of %s dropped', ledger);
        BEGIN
            affected := tiny_dancer.drop_months(
                ledger, CASE ledger WHEN 'usage' THEN coalesce(usage_cutoff, '-infinity') ELSE decisions_cutoff END);
            note := NULL;
        EXCEPTION WHEN lock_not_available THEN
            affected := 0;
            note := 'put off: ' || SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tiny_dancer.maintain(interval) IS
    'sums outcomes up, deletes what has expired, makes partitions; to be run from time to time, returns what it did';
