-- Months of the ledgers, each a partition, made at run time by whoever owns the extension. They belong to no extension,
-- so a dump takes them along as tables of their own. Dynamic SQL stands in this file only; all that goes into it
-- are names made from a month.

CREATE FUNCTION tiny_dancer.month_of(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
END;
COMMENT ON FUNCTION tiny_dancer.month_of(timestamptz) IS 'internal: when the month of UTC began that a time lies in';

CREATE FUNCTION tiny_dancer.months_after(month timestamptz, months integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (month AT TIME ZONE 'UTC' + months * '1 month'::interval) AT TIME ZONE 'UTC';
END;
COMMENT ON FUNCTION tiny_dancer.months_after(timestamptz, integer) IS
    'internal: when another month of UTC begins, so many after one';

CREATE FUNCTION tiny_dancer.month_partition(ledger text, month timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT ledger || pg_catalog.to_char(month AT TIME ZONE 'UTC', '_YYYY_MM');
END;
COMMENT ON FUNCTION tiny_dancer.month_partition(text, timestamptz) IS
    'internal: the name of the partition for a month of a ledger';

CREATE FUNCTION tiny_dancer.time_column(ledger text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE ledger WHEN 'usage' THEN 'recorded_at' WHEN 'decisions' THEN 'decided_at' END;
END;
COMMENT ON FUNCTION tiny_dancer.time_column(text) IS 'internal: the column that a ledger is partitioned by';

CREATE FUNCTION tiny_dancer.month_partitions(ledger text, OUT partition text, OUT month timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    SELECT c.relname::text,
           pg_catalog.make_date(pg_catalog.split_part(pg_catalog.right(c.relname::text, 7), '_', 1)::integer,
                                pg_catalog.right(c.relname::text, 2)::integer, 1)::timestamp AT TIME ZONE 'UTC'
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = pg_catalog.to_regclass('tiny_dancer.' || ledger)::oid
          AND c.relname::text OPERATOR(pg_catalog.~) ('^' || ledger || '_[0-9]{4}_[0-9]{2}$');
END;
COMMENT ON FUNCTION tiny_dancer.month_partitions(text) IS 'internal: the partitions that were made for months of a ledger';

CREATE FUNCTION tiny_dancer.lock_briefly(relation text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    usual_timeout text := current_setting('lock_timeout');
    is_locked boolean := false;
BEGIN
    -- Whoever comes after waits behind this, so it does not wait for long itself.
    PERFORM set_config('lock_timeout', '500ms', true);
    FOR attempt IN 1..4 LOOP
        BEGIN
            EXECUTE format('LOCK TABLE tiny_dancer.%I IN ACCESS EXCLUSIVE MODE', relation);
            is_locked := true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.05 * attempt);
        END;
        EXIT WHEN is_locked;
    END LOOP;
    PERFORM set_config('lock_timeout', usual_timeout, true);
    RETURN is_locked;
END
$$;
COMMENT ON FUNCTION tiny_dancer.lock_briefly(text) IS
    'internal: locks a table, with pauses for those who use it; false if it stays in use';

CREATE FUNCTION tiny_dancer.missing_months(ledger text, moment timestamptz) RETURNS timestamptz[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    months timestamptz[];
BEGIN
    -- Not the present month: a session that is recording into the default partition while a partition for just that
    -- time is attached would get an error. Its rows are moved when it is over.
    -- The newest first and not too many at once: each takes some locks. Times that are no dates stay where they are.
    EXECUTE format(
        'SELECT array_agg(m.month) FROM ('
        'SELECT n.month FROM ('
        'SELECT DISTINCT tiny_dancer.month_of(d.%1$I) AS month FROM tiny_dancer.%2$I d '
        'WHERE d.%1$I >= ''0001-02-01 00:00+00'' AND d.%1$I < tiny_dancer.month_of($1) '
        'UNION SELECT tiny_dancer.months_after(tiny_dancer.month_of($1), ahead) FROM generate_series(1, 2) AS ahead) n '
        'WHERE n.month NOT IN (SELECT p.month FROM tiny_dancer.month_partitions(%3$L) p) '
        'ORDER BY n.month DESC LIMIT 60) m',
        tiny_dancer.time_column(ledger), ledger || '_default', ledger)
    INTO months USING moment;
    RETURN months;
END
$$;
COMMENT ON FUNCTION tiny_dancer.missing_months(text, timestamptz) IS
    'internal: months that have no partition and need one: the next two, and those that are over and have rows';

CREATE FUNCTION tiny_dancer.move_rows(ledger text, since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
BEGIN
    -- Into a table that is no partition yet, so that no trigger takes the rows for new ones.
    EXECUTE format(
        'WITH gone AS (DELETE FROM tiny_dancer.%1$I d WHERE d.%2$I >= $1 AND d.%2$I < $2 RETURNING d.*) '
        'INSERT INTO tiny_dancer.%3$I SELECT * FROM gone',
        ledger || '_default', tiny_dancer.time_column(ledger),
        tiny_dancer.month_partition(ledger, tiny_dancer.month_of(since)))
    USING since, until;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION tiny_dancer.move_rows(text, timestamptz, timestamptz) IS
    'internal: moves rows of a time out of the default partition into the table made for their month';

CREATE FUNCTION tiny_dancer.make_month(ledger text, month timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made text := tiny_dancer.month_partition(ledger, month);
    until timestamptz := tiny_dancer.months_after(month, 1);
    day timestamptz;
    moved bigint := 0;
BEGIN
    EXECUTE format('CREATE TABLE tiny_dancer.%I (LIKE tiny_dancer.%I INCLUDING ALL)', made, ledger || '_default');
    EXECUTE format('COMMENT ON TABLE tiny_dancer.%I IS %L', made, ledger || ' of one month, made by tiny_dancer.maintain()');
    EXECUTE format('REVOKE ALL ON tiny_dancer.%I FROM PUBLIC', made);
    -- Known to be within the bounds, so that attaching it need not look at each row while everybody waits.
    EXECUTE format(
        'ALTER TABLE tiny_dancer.%I ADD CONSTRAINT within_month CHECK (%I >= %L AND %2$I < %4$L)',
        made, tiny_dancer.time_column(ledger), tiny_dancer.instant(month), tiny_dancer.instant(until));
    FOR day IN SELECT d FROM generate_series(month, until - '1 us'::interval, '24 hours'::interval) AS d LOOP
        moved := moved + tiny_dancer.move_rows(ledger, day, least(day + '24 hours'::interval, until));
    END LOOP;
    IF moved > 0 THEN
        RAISE NOTICE 'moved % rows into %', moved, made;
        EXECUTE format('ANALYZE tiny_dancer.%I', made);
    END IF;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION tiny_dancer.make_month(text, timestamptz) IS
    'internal: makes the table for a month and moves into it what the default partition has of it';

CREATE FUNCTION tiny_dancer.instant(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"+00"');
END;
COMMENT ON FUNCTION tiny_dancer.instant(timestamptz) IS 'internal: a time as text, whatever DateStyle and TimeZone are';

CREATE FUNCTION tiny_dancer.attach_month(ledger text, month timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made text := tiny_dancer.month_partition(ledger, month);
    until timestamptz := tiny_dancer.months_after(month, 1);
    moved bigint := tiny_dancer.move_rows(ledger, month, until);
BEGIN
    EXECUTE format('ALTER TABLE tiny_dancer.%I ATTACH PARTITION tiny_dancer.%I FOR VALUES FROM (%L) TO (%L)',
                   ledger, made, tiny_dancer.instant(month), tiny_dancer.instant(until));
    -- Each check of a table is parsed anew for each row that is recorded.
    EXECUTE format('ALTER TABLE tiny_dancer.%I DROP CONSTRAINT within_month', made);
    RETURN moved;
END
$$;
COMMENT ON FUNCTION tiny_dancer.attach_month(text, timestamptz) IS
    'internal: turns the table made for a month into a partition, with the default partition locked';

CREATE FUNCTION tiny_dancer.make_partitions(
    ledger text,
    moment timestamptz,
    OUT made integer,
    OUT moved bigint
) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    months timestamptz[] := tiny_dancer.missing_months(ledger, moment);
    month timestamptz;
BEGIN
    made := 0;
    moved := 0;
    -- All that takes long comes before the lock.
    FOREACH month IN ARRAY coalesce(months, '{}') LOOP
        moved := moved + tiny_dancer.make_month(ledger, month);
    END LOOP;
    IF months IS NOT NULL THEN
        IF NOT tiny_dancer.lock_briefly(ledger || '_default') THEN
            RAISE EXCEPTION 'the default partition of % is in use', ledger USING ERRCODE = '55P03';
        END IF;
        FOREACH month IN ARRAY months LOOP
            moved := moved + tiny_dancer.attach_month(ledger, month);
            made := made + 1;
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.make_partitions(text, timestamptz) IS
    'internal: makes the partitions that a ledger lacks and moves rows into them; 55P03 if the default partition stays in use';

CREATE FUNCTION tiny_dancer.drop_months(ledger text, before timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    past text;
    dropped integer := 0;
BEGIN
    FOR past IN
        SELECT p.partition FROM tiny_dancer.month_partitions(ledger) p
        WHERE tiny_dancer.months_after(p.month, 1) <= before
        ORDER BY p.month
    LOOP
        IF NOT tiny_dancer.lock_briefly(ledger) OR NOT tiny_dancer.lock_briefly(ledger || '_default') THEN
            RAISE EXCEPTION 'the partitions of % are in use', ledger USING ERRCODE = '55P03';
        END IF;
        EXECUTE format('DROP TABLE tiny_dancer.%I', past);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION tiny_dancer.drop_months(text, timestamptz) IS
    'internal: drops partitions of which everything is older than a time; 55P03 if they stay in use';

CREATE FUNCTION tiny_dancer.delete_old(target text, time_name text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    EXECUTE format('DELETE FROM tiny_dancer.%I t WHERE t.%I < $1', target, time_name) USING before;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        RAISE NOTICE 'deleted % rows of %', deleted, target;
    END IF;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION tiny_dancer.delete_old(text, text, timestamptz) IS
    'internal: deletes the rows of a table or of one partition that are older than a time';

CREATE FUNCTION tiny_dancer.delete_old_rows(ledger text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part text;
    deleted bigint := 0;
BEGIN
    -- From the partitions themselves: a month that is past as a whole is dropped instead.
    FOR part IN
        SELECT ledger || '_default'
        UNION ALL
        SELECT p.partition FROM tiny_dancer.month_partitions(ledger) p
        WHERE p.month < before AND tiny_dancer.months_after(p.month, 1) > before
    LOOP
        deleted := deleted + tiny_dancer.delete_old(part, tiny_dancer.time_column(ledger), before);
    END LOOP;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION tiny_dancer.delete_old_rows(text, timestamptz) IS
    'internal: deletes the rows of a ledger that are older than a time, but for months that are past as a whole';
