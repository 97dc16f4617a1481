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

CREATE FUNCTION tiny_dancer.refuse_outcome(
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
        WHEN (actual_cost >= 0 AND actual_cost < 'Infinity') IS NOT TRUE THEN
            problem := 'actual_cost is ' || coalesce(actual_cost::text, 'NULL');
            remedy := 'Give what the request cost in dollars, a finite number of at least 0.';
        WHEN success IS NULL THEN
            problem := 'success is NULL';
            remedy := 'Say whether the agent succeeded, true or false.';
        WHEN NOT (latency_ms >= 0 AND latency_ms < 'Infinity') THEN
            problem := 'latency_ms is ' || latency_ms;
            remedy := 'Give a finite number of milliseconds of at least 0, or NULL if unknown.';
        WHEN NOT (quality BETWEEN 0 AND 1) THEN
            problem := 'quality is ' || quality;
            remedy := 'Give a number between 0 and 1, or NULL if unknown.';
        WHEN input_tokens < 0 OR output_tokens < 0 THEN
            problem := format('the numbers of tokens are %s and %s', input_tokens, output_tokens);
            remedy := 'Give numbers of at least 0, or NULL if unknown.';
        WHEN cardinality(tags) > 100 OR array_position(tags, NULL) IS NOT NULL OR array_ndims(tags) > 1
             OR length(array_to_string(tags, '')) > 20000 THEN
            problem := format('the tags can not be stored, there are %s', cardinality(tags));
            remedy := 'Give a flat array of at most 100 tags without NULLs, of 20000 characters together.';
        ELSE
            problem := format('the idempotency key has %s characters', length(idempotency_key));
            remedy := 'Give a key of 1 to 200 characters, for example a UUID.';
    END CASE;
    RAISE EXCEPTION '%', problem USING ERRCODE = '22023', HINT = remedy;
END
$$;
COMMENT ON FUNCTION tiny_dancer.refuse_outcome(float8, boolean, float8, float8, integer, integer, text[], text) IS
    'internal: the error that says what is wrong with an outcome';

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
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    acting bigint;
    decided_agent text;
    decided_route text;
    all_tags text[] := coalesce(tags, '{}');
    recorded bigint;
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        PERFORM tiny_dancer.require_writable('record an outcome');
    END IF;
    IF (actual_cost >= 0 AND actual_cost < 'Infinity' AND success IS NOT NULL
        AND (latency_ms IS NULL OR latency_ms >= 0 AND latency_ms < 'Infinity')
        AND (quality IS NULL OR quality BETWEEN 0 AND 1)
        AND coalesce(input_tokens, 0) >= 0 AND coalesce(output_tokens, 0) >= 0
        AND (tags IS NULL OR tags = '{}'
             OR cardinality(tags) <= 100 AND array_position(tags, NULL) IS NULL AND array_ndims(tags) = 1
                AND length(array_to_string(tags, '')) <= 20000)
        AND (idempotency_key IS NULL OR length(idempotency_key) BETWEEN 1 AND 200)) IS NOT TRUE
    THEN
        PERFORM tiny_dancer.refuse_outcome(
            actual_cost, success, latency_ms, quality, input_tokens, output_tokens, tags, idempotency_key);
    END IF;
    IF decision_id IS NOT NULL THEN
        SELECT d.agent_id, a.name, d.route_name,
               CASE WHEN d.tags = '{}' THEN all_tags
                    ELSE d.tags || ARRAY(SELECT unnest(all_tags) EXCEPT SELECT unnest(d.tags)) END
        INTO acting, decided_agent, decided_route, all_tags
        FROM tiny_dancer.decisions d
        JOIN tiny_dancer.agents a ON a.id = d.agent_id
        WHERE d.id = ruvector_record_usage.decision_id;
        all_tags := coalesce(all_tags, tags, '{}');
    END IF;
    -- An agent that was removed since still gets the outcome of its decision. Whoever else took the request
    -- over is charged as itself.
    IF decided_agent IS DISTINCT FROM agent OR agent IS NULL THEN
        SELECT a.id INTO acting FROM tiny_dancer.agents a WHERE a.name = agent AND a.removed_at IS NULL;
        IF acting IS NULL THEN
            PERFORM tiny_dancer.raise_unknown_agent(agent);
        END IF;
    END IF;
    INSERT INTO tiny_dancer.usage AS u
        (agent_id, cost, success, latency_ms, quality, input_tokens, output_tokens, tags, decision_id,
         route_name, reservation_id, idempotency_key, request)
    VALUES (acting, actual_cost, success, latency_ms, quality, input_tokens, output_tokens, all_tags, decision_id,
            decided_route, reservation, idempotency_key, request)
    RETURNING u.id INTO recorded;
    IF recorded IS NULL THEN
        SELECT k.usage_id INTO STRICT recorded FROM tiny_dancer.usage_keys k WHERE k.key = idempotency_key;
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
