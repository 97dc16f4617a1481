-- Charging: what happens to budgets when an outcome is recorded or a reservation ends. Functions here run with
-- their owner's rights, since nobody else may write to budgets' tables; they take no SQL from anybody.

CREATE FUNCTION tiny_dancer.charge_budgets(scopes text[], at timestamptz, amount numeric, overshoot numeric)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF amount > 0 THEN
        INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount, overshoot)
        SELECT b.id, tiny_dancer.window_start(b.period, b.time_zone, at),
               charge_budgets.amount, charge_budgets.overshoot
        FROM tiny_dancer.budgets b
        WHERE b.scope = ANY (scopes);
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.charge_budgets(text[], timestamptz, numeric, numeric) IS
    'internal: adds a cost to every budget of the scopes, in the window of that time';

CREATE FUNCTION tiny_dancer.merge_charges(budget bigint, window_begin timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Rows that another session is merging are left to it. Above READ COMMITTED a row that was merged since
    -- the transaction began would be a serialisation failure, and nothing here is worth failing for.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN;
    END IF;
    WITH taken AS (
        DELETE FROM tiny_dancer.budget_charges c
        WHERE c.ctid = ANY (ARRAY(
            SELECT s.ctid FROM tiny_dancer.budget_charges s
            WHERE s.budget_id = budget AND s.window_start = window_begin
            LIMIT 10000
            FOR UPDATE SKIP LOCKED))
        RETURNING c.amount, c.overshoot
    )
    INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount, overshoot)
    SELECT budget, window_begin, sum(t.amount), sum(t.overshoot) FROM taken t HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION tiny_dancer.merge_charges(bigint, timestamptz) IS
    'internal: replaces the charges of a window by their sum, as far as no other session is at it';

CREATE FUNCTION tiny_dancer.charge_reservation(
    held tiny_dancer.reservations,
    agent text,
    tags text[],
    cost numeric
) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    scopes text[] := tiny_dancer.budget_scopes(agent, ARRAY(SELECT unnest(held.tags) UNION SELECT unnest(tags)));
    covered numeric := 0;
BEGIN
    DELETE FROM tiny_dancer.budget_holds h WHERE h.reservation_id = held.id;
    -- What was reserved counts in the window in which it was admitted, and the excess now. An expired
    -- reservation covers nothing any more, or old ones could be kept to spend in windows that have passed.
    IF held.state = 'held' AND held.expires_at > clock_timestamp() THEN
        covered := least(cost, held.amount);
        PERFORM tiny_dancer.charge_budgets(scopes, held.reserved_at, covered, 0);
    END IF;
    PERFORM tiny_dancer.charge_budgets(
        scopes, clock_timestamp(), cost - covered, greatest(cost - held.amount, 0));
END
$$;
COMMENT ON FUNCTION tiny_dancer.charge_reservation(tiny_dancer.reservations, text, text[], numeric) IS
    'internal: frees what a reservation holds and charges what was spent instead';

CREATE FUNCTION tiny_dancer.settle_by_outcome(outcome tiny_dancer.usage) RETURNS numeric
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cost numeric := outcome.cost;
    held tiny_dancer.reservations;
BEGIN
    SELECT * INTO held FROM tiny_dancer.reservations r WHERE r.id = outcome.reservation_id FOR UPDATE;
    IF held.state = 'held' THEN
        UPDATE tiny_dancer.reservations r
        SET state = 'settled', actual_cost = cost, ended_at = clock_timestamp(), usage_id = outcome.id
        WHERE r.id = held.id;
        PERFORM tiny_dancer.charge_reservation(
            held, (SELECT a.name FROM tiny_dancer.agents a WHERE a.id = outcome.agent_id), outcome.tags, cost);
        RETURN 0;
    ELSIF held.state = 'settled' AND held.usage_id IS NULL THEN
        -- Charged when it was settled. What the outcome cost beyond that was not.
        UPDATE tiny_dancer.reservations r SET usage_id = outcome.id WHERE r.id = held.id;
        RETURN greatest(cost - held.actual_cost, 0);
    END IF;
    RETURN cost;
END
$$;
COMMENT ON FUNCTION tiny_dancer.settle_by_outcome(tiny_dancer.usage) IS
    'internal: settles the reservation that an outcome names, and returns what of its cost is still to be charged';

CREATE FUNCTION tiny_dancer.count_usage() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    due numeric;
BEGIN
    -- The hot path of every outcome. The sequence says whether there ever was a budget, in a tenth of the time of a
    -- query.
    IF NEW.success AND NEW.recorded_at >= statement_timestamp() AND num_nonnulls(
        NEW.idempotency_key, NEW.request, NEW.reservation_id,
        pg_sequence_last_value('tiny_dancer.budgets_id_seq')) = 0
    THEN
        RETURN NEW;
    END IF;
    -- Usage roles can not give the time, so theirs is later than when the statement began. A row that brings an
    -- earlier one was recorded before, and comes from a dump with the charges that it made.
    IF NEW.recorded_at < statement_timestamp() THEN
        PERFORM tiny_dancer.note_late_outcome(NEW.recorded_at);
        RETURN NEW;
    END IF;
    IF NEW.idempotency_key IS NOT NULL THEN
        INSERT INTO tiny_dancer.usage_keys (key, usage_id) VALUES (NEW.idempotency_key, NEW.id)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    IF NEW.request IS NOT NULL AND NOT EXISTS (
        SELECT FROM tiny_dancer.settings s WHERE s.name = 'store_request_text' AND s.value = '1')
    THEN
        NEW.request := NULL;
    END IF;
    IF NOT NEW.success THEN
        PERFORM tiny_dancer.observe_failure(NEW);
    END IF;
    due := CASE WHEN NEW.reservation_id IS NULL THEN NEW.cost ELSE tiny_dancer.settle_by_outcome(NEW) END;
    IF due > 0 THEN
        -- One statement and no calls: with budgets set, this is the hot path of every outcome.
        INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount)
        SELECT b.id, tiny_dancer.window_start(b.period, b.time_zone, moment), due
        FROM tiny_dancer.budgets b
        WHERE b.scope = 'overall' OR b.tag = ANY (NEW.tags)
              OR b.agent_name = (SELECT a.name FROM tiny_dancer.agents a WHERE a.id = NEW.agent_id);
        IF FOUND AND NEW.id % 64 = 0 THEN
            PERFORM tiny_dancer.merge_charges(b.id, tiny_dancer.window_start(b.period, b.time_zone, moment))
            FROM tiny_dancer.budgets b;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tiny_dancer.count_usage() IS
    'trigger: whichever way an outcome gets into the ledger, its key is remembered, its cost is charged, and a failure counts for the circuit breaker';

-- One trigger, and without a condition: a condition is parsed anew for each statement, which takes longer than the
-- first lines of the function.
CREATE TRIGGER count_usage BEFORE INSERT ON tiny_dancer.usage
    FOR EACH ROW EXECUTE FUNCTION tiny_dancer.count_usage();

-- Opening a budget counts what its present window has seen already, so that neither removing a budget and setting
-- it again nor moving it to another time zone erases spend.
CREATE FUNCTION tiny_dancer.open_budget() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began timestamptz := tiny_dancer.window_start(NEW.period, NEW.time_zone, clock_timestamp());
BEGIN
    DELETE FROM tiny_dancer.budget_charges c WHERE c.budget_id = NEW.id;
    DELETE FROM tiny_dancer.budget_holds h WHERE h.budget_id = NEW.id;
    INSERT INTO tiny_dancer.budget_charges (budget_id, window_start, amount)
    SELECT NEW.id, began, sum(spent.cost)
    FROM (
        SELECT u.cost::numeric AS cost
        FROM tiny_dancer.usage u
        WHERE u.recorded_at >= began
              AND (NEW.agent_name IS NULL
                   OR u.agent_id IN (SELECT a.id FROM tiny_dancer.agents a WHERE a.name = NEW.agent_name))
              AND (NEW.tag IS NULL OR NEW.tag = ANY (u.tags))
        UNION ALL
        -- Settled without an outcome in the ledger.
        SELECT r.actual_cost
        FROM tiny_dancer.reservations r
        WHERE r.ended_at >= began AND r.state = 'settled' AND r.usage_id IS NULL
              AND (NEW.agent_name IS NULL OR r.agent_name = NEW.agent_name)
              AND (NEW.tag IS NULL OR NEW.tag = ANY (r.tags))
    ) spent
    HAVING count(*) > 0;
    INSERT INTO tiny_dancer.budget_holds (reservation_id, budget_id, window_start, amount, expires_at)
    SELECT r.id, NEW.id, began, r.amount, r.expires_at
    FROM tiny_dancer.reservations r
    WHERE r.state = 'held' AND r.expires_at > clock_timestamp() AND r.reserved_at >= began
          AND (NEW.agent_name IS NULL OR r.agent_name = NEW.agent_name)
          AND (NEW.tag IS NULL OR NEW.tag = ANY (r.tags));
    UPDATE tiny_dancer.budgets b SET opened_at = clock_timestamp() WHERE b.id = NEW.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.open_budget() IS
    'trigger: counts what the present window of a new or moved budget has seen already';

CREATE TRIGGER open_budget AFTER INSERT ON tiny_dancer.budgets
    FOR EACH ROW WHEN (NEW.opened_at IS NULL) EXECUTE FUNCTION tiny_dancer.open_budget();
CREATE TRIGGER move_budget AFTER UPDATE ON tiny_dancer.budgets
    FOR EACH ROW WHEN (NEW.time_zone <> OLD.time_zone) EXECUTE FUNCTION tiny_dancer.open_budget();

CREATE FUNCTION tiny_dancer.close_budget() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tiny_dancer.budget_charges c WHERE c.budget_id = OLD.id;
    DELETE FROM tiny_dancer.budget_holds h WHERE h.budget_id = OLD.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tiny_dancer.close_budget() IS 'trigger: removes what was charged to a budget that is removed';

CREATE TRIGGER close_budget AFTER DELETE ON tiny_dancer.budgets
    FOR EACH ROW EXECUTE FUNCTION tiny_dancer.close_budget();
