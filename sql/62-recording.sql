-- Recording outcomes and feedback. This is the hot path of an application: plpgsql and two tables, and Python only
-- where a request is passed that has to be embedded.

CREATE FUNCTION tiny_dancer.require_writable(what text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'can not % in a read-only transaction', what
            USING ERRCODE = '25006',
                  HINT = CASE WHEN pg_is_in_recovery() THEN 'This server is a standby: connect to the primary.'
                              ELSE 'Use a transaction that may write.' END;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.require_writable(text) IS 'internal: refuses to record where nothing can be written';

CREATE FUNCTION tiny_dancer.are_tags(tags text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The dimensions first: array_position() fails on more than one.
    SELECT CASE WHEN pg_catalog.array_ndims(tags) > 1 THEN false
                ELSE pg_catalog.cardinality(tags) <= 100 AND pg_catalog.array_position(tags, NULL) IS NULL
           END;
END;
COMMENT ON FUNCTION tiny_dancer.are_tags(text[]) IS 'internal: whether these can be the tags of a request';

CREATE FUNCTION tiny_dancer.is_plain_outcome(
    actual_cost float8,
    success boolean,
    latency_ms float8,
    input_tokens integer,
    output_tokens integer,
    extras integer
) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT LEAST(actual_cost, latency_ms, input_tokens, output_tokens) >= 0
           AND GREATEST(actual_cost, latency_ms) <= 1e12
           AND pg_catalog.num_nulls(actual_cost, success) + extras = 0
           AND pg_catalog.current_setting('transaction_read_only') = 'off';
END;
COMMENT ON FUNCTION tiny_dancer.is_plain_outcome(float8, boolean, float8, integer, integer, integer) IS
    'internal: whether an outcome can be recorded without looking at it more closely';

CREATE FUNCTION tiny_dancer.check_outcome(
    actual_cost float8,
    success boolean,
    latency_ms float8,
    quality float8,
    input_tokens integer,
    output_tokens integer,
    tags text[],
    idempotency_key text
) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
    remedy text;
BEGIN
    CASE
        WHEN (actual_cost BETWEEN 0 AND 1e12) IS NOT TRUE THEN
            problem := 'actual_cost is ' || coalesce(actual_cost::text, 'NULL');
            remedy := 'Give what the request cost in dollars, a number from 0 to 10^12.';
        WHEN success IS NULL THEN
            problem := 'success is NULL';
            remedy := 'Say whether the agent succeeded, true or false.';
        WHEN NOT (latency_ms BETWEEN 0 AND 1e12) THEN
            problem := 'latency_ms is ' || latency_ms;
            remedy := 'Give a number of milliseconds from 0 to 10^12, or NULL if unknown.';
        WHEN NOT (quality BETWEEN 0 AND 1) THEN
            problem := 'quality is ' || quality;
            remedy := 'Give a number between 0 and 1, or NULL if unknown.';
        WHEN input_tokens < 0 OR output_tokens < 0 THEN
            problem := format('the numbers of tokens are %s and %s', input_tokens, output_tokens);
            remedy := 'Give numbers of at least 0, or NULL if unknown.';
        WHEN NOT tiny_dancer.are_tags(tags) THEN
            PERFORM tiny_dancer.check_tags(tags);
        WHEN length(idempotency_key) NOT BETWEEN 1 AND 200 THEN
            problem := format('the idempotency key has %s characters', length(idempotency_key));
            remedy := 'Give a key of 1 to 200 characters, for example a UUID.';
        ELSE
            RETURN;
    END CASE;
    RAISE EXCEPTION '%', problem USING ERRCODE = '22023', HINT = remedy;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_outcome(float8, boolean, float8, float8, integer, integer, text[], text) IS
    'internal: says what is wrong with an outcome, if anything is';

CREATE FUNCTION tiny_dancer.decided(
    decision uuid,
    agent text,
    given_tags text[],
    OUT agent_id bigint,
    OUT route_name text,
    OUT tags text[]
) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An agent that was removed since still gets the outcome of its decision. Another one that took the request
    -- over is charged as itself.
    SELECT (SELECT a.id FROM tiny_dancer.agents a WHERE a.id = d.agent_id AND a.name = agent), d.route_name,
           ARRAY(SELECT unnest(d.tags) UNION SELECT unnest(given_tags))
    INTO agent_id, route_name, tags
    FROM tiny_dancer.decisions d
    WHERE d.id = decision;
    IF NOT FOUND THEN
        tags := given_tags;
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.decided(uuid, text, text[]) IS
    'internal: agent (NULL if another one acted), route and all tags of a recorded decision';

CREATE FUNCTION @extschema@.ruvector_record_usage(
    agent text,
    actual_cost float8,
    success boolean,
    latency_ms float8 DEFAULT NULL,
    decision_id uuid DEFAULT NULL,
    request text DEFAULT NULL,
    embedding real[] DEFAULT NULL,
    quality float8 DEFAULT NULL,
    input_tokens integer DEFAULT NULL,
    output_tokens integer DEFAULT NULL,
    tags text[] DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    reservation uuid DEFAULT NULL
) RETURNS bigint
-- Without a SET clause, which would cost a tenth of the throughput: every name is qualified instead, and operators
-- are, or stand in functions that were bound when they were created.
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
    acting pg_catalog.int8;
    decided_route pg_catalog.text;
    all_tags pg_catalog.text[];
    recorded pg_catalog.int8;
BEGIN
    IF tiny_dancer.is_plain_outcome(
        actual_cost, success, latency_ms, input_tokens, output_tokens,
        pg_catalog.num_nonnulls(quality, tags, idempotency_key, decision_id, reservation, request, embedding))
    THEN
        -- One statement: each further one would cost as much as what it does.
        INSERT INTO tiny_dancer.usage AS u (agent_id, cost, success, latency_ms, input_tokens, output_tokens)
        SELECT a.id, actual_cost, success, latency_ms, input_tokens, output_tokens
        FROM tiny_dancer.agents a WHERE a.name OPERATOR(pg_catalog.=) agent AND a.removed_at IS NULL
        RETURNING u.id INTO recorded;
        IF FOUND THEN
            RETURN recorded;
        END IF;
    END IF;
    PERFORM tiny_dancer.require_writable('record an outcome');
    PERFORM tiny_dancer.check_outcome(
        actual_cost, success, latency_ms, quality, input_tokens, output_tokens, tags, idempotency_key);
    SELECT d.agent_id, d.route_name, d.tags INTO acting, decided_route, all_tags
    FROM tiny_dancer.decided(decision_id, agent, tags) d;
    IF acting IS NULL THEN
        SELECT a.id INTO acting
        FROM tiny_dancer.agents a WHERE a.name OPERATOR(pg_catalog.=) agent AND a.removed_at IS NULL;
        IF acting IS NULL THEN
            PERFORM tiny_dancer.raise_unknown_agent(agent);
        END IF;
    END IF;
    INSERT INTO tiny_dancer.usage AS u
        (agent_id, cost, success, latency_ms, quality, input_tokens, output_tokens, tags, decision_id,
         route_name, reservation_id, idempotency_key, request)
    VALUES (acting, actual_cost, success, latency_ms, quality, input_tokens, output_tokens,
            coalesce(all_tags, '{}'), decision_id, decided_route, reservation, idempotency_key, request)
    RETURNING u.id INTO recorded;
    IF recorded IS NULL THEN
        SELECT k.usage_id INTO STRICT recorded
        FROM tiny_dancer.usage_keys k WHERE k.key OPERATOR(pg_catalog.=) idempotency_key;
    ELSIF request IS NOT NULL OR embedding IS NOT NULL THEN
        PERFORM tiny_dancer.record_request_vector(recorded, request, embedding);
    END IF;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_record_usage(text, float8, boolean, float8, uuid, text, real[], float8, integer, integer, text[], text, uuid) IS
    'records what an agent did and cost, in dollars, and returns the id of the outcome; a repeated idempotency key returns the first one';

CREATE FUNCTION tiny_dancer.check_feedback(quality float8) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tiny_dancer.require_writable('record feedback');
    IF (quality BETWEEN 0 AND 1) IS NOT TRUE THEN
        RAISE EXCEPTION 'quality is %', coalesce(quality::text, 'NULL')
            USING ERRCODE = '22023', HINT = 'Give a number between 0 and 1.';
    END IF;
END
$$;
COMMENT ON FUNCTION tiny_dancer.check_feedback(float8) IS 'internal: refuses feedback that can not be recorded';

CREATE FUNCTION @extschema@.ruvector_record_feedback(decision_id uuid, quality float8) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recorded bigint;
BEGIN
    PERFORM tiny_dancer.check_feedback(quality);
    IF NOT EXISTS (SELECT FROM tiny_dancer.usage u WHERE u.decision_id = ruvector_record_feedback.decision_id)
       AND NOT EXISTS (SELECT FROM tiny_dancer.decisions d WHERE d.id = ruvector_record_feedback.decision_id)
    THEN
        RAISE EXCEPTION 'unknown decision %', coalesce(quote_literal(decision_id), 'NULL')
            USING ERRCODE = '42704',
                  HINT = 'Pass the decision_id of a decision made with record := true, or that an outcome was recorded with.';
    END IF;
    INSERT INTO tiny_dancer.feedback AS f (decision_id, quality)
    VALUES (ruvector_record_feedback.decision_id, ruvector_record_feedback.quality)
    RETURNING f.id INTO recorded;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_record_feedback(uuid, float8) IS
    'records the quality in [0,1] of what a decision led to; the newest counts';

CREATE FUNCTION @extschema@.ruvector_record_feedback(usage_id bigint, quality float8) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recorded bigint;
BEGIN
    PERFORM tiny_dancer.check_feedback(quality);
    IF NOT EXISTS (SELECT FROM tiny_dancer.usage u WHERE u.id = ruvector_record_feedback.usage_id) THEN
        RAISE EXCEPTION 'unknown outcome %', coalesce(usage_id::text, 'NULL')
            USING ERRCODE = '42704', HINT = 'Pass the id that ruvector_record_usage() returned.';
    END IF;
    INSERT INTO tiny_dancer.feedback AS f (usage_id, quality)
    VALUES (ruvector_record_feedback.usage_id, ruvector_record_feedback.quality)
    RETURNING f.id INTO recorded;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_record_feedback(bigint, float8) IS
    'records the quality in [0,1] of an outcome; the newest counts';
