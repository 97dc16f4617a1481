-- The part of the semantic routes that needs no Python.

CREATE FUNCTION @extschema@.ruvector_list_routes(
    OUT route_name text,
    OUT description text,
    OUT target_agent text,
    OUT priority integer,
    OUT utterances text[],
    OUT threshold float8,
    OUT conditions jsonb,
    OUT active boolean
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    SELECT r.name, r.description, r.target_agent, r.priority,
           ARRAY(SELECT u.utterance FROM tiny_dancer.route_utterances u
                 WHERE u.route_id = r.id AND u.utterance IS NOT NULL ORDER BY u.id),
           r.threshold, r.conditions, r.active
    FROM tiny_dancer.routes r
    ORDER BY r.name COLLATE "C";
END;
COMMENT ON FUNCTION @extschema@.ruvector_list_routes() IS
    'the semantic routes by name; threshold is NULL where the default holds';

CREATE FUNCTION @extschema@.ruvector_drop_route(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tiny_dancer.routes r WHERE r.name = ruvector_drop_route.name;
    IF NOT FOUND THEN
        PERFORM tiny_dancer.raise_unknown_route(name);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_drop_route(text) IS 'drops a semantic route with its utterances';

CREATE FUNCTION @extschema@.ruvector_set_route_active(name text, is_active boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_active IS NULL THEN
        RAISE EXCEPTION 'is_active must not be NULL' USING ERRCODE = '22023', HINT = 'Pass true or false.';
    END IF;
    UPDATE tiny_dancer.routes r SET active = is_active, updated_at = now()
    WHERE r.name = ruvector_set_route_active.name;
    IF NOT FOUND THEN
        PERFORM tiny_dancer.raise_unknown_route(name);
    END IF;
    RETURN is_active;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_route_active(text, boolean) IS
    'sets whether requests are matched to a semantic route, and returns that';

CREATE FUNCTION tiny_dancer.raise_unknown_route(name text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'unknown route %', coalesce(quote_literal(name), 'NULL')
        USING ERRCODE = '42704', HINT = 'ruvector_list_routes() shows the routes.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.raise_unknown_route(text) IS 'internal: the error that no semantic route has the name';

CREATE FUNCTION tiny_dancer.rate_limit(
    conditions jsonb,
    OUT most bigint,
    OUT span interval
) RETURNS record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (CASE pg_catalog.jsonb_typeof(conditions -> 'rate_limit')
                WHEN 'number' THEN conditions ->> 'rate_limit'
                ELSE conditions -> 'rate_limit' ->> 'limit'
            END)::numeric::bigint,
           pg_catalog.make_interval(
               secs => coalesce((conditions -> 'rate_limit' ->> 'per_seconds')::float8, 60));
END;
COMMENT ON FUNCTION tiny_dancer.rate_limit(jsonb) IS
    'how many passes the conditions of a route allow in which time; NULL where they limit none';

CREATE FUNCTION tiny_dancer.exhausted_routes() RETURNS SETOF bigint
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
    SELECT r.id
    FROM tiny_dancer.route_passes p
    JOIN tiny_dancer.routes r ON r.id = p.route_id
    CROSS JOIN LATERAL tiny_dancer.rate_limit(r.conditions) l
    WHERE p.passed >= l.most AND p.window_start + l.span > pg_catalog.clock_timestamp();
END;
COMMENT ON FUNCTION tiny_dancer.exhausted_routes() IS 'routes whose rate limit is reached in the present window';

-- SECURITY DEFINER: those who use routes may count a pass, and nothing else. The limit is the route's own, so
-- no caller can bring another.
CREATE FUNCTION tiny_dancer.take_route_pass(route bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed bigint;
    span interval;
BEGIN
    SELECT l.most, l.span INTO allowed, span
    FROM tiny_dancer.routes r, tiny_dancer.rate_limit(r.conditions) l
    WHERE r.id = route AND r.active;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF allowed IS NULL THEN
        RETURN true;
    END IF;
    -- A block of its own: where the limit is reached, going back out of it releases the row, and a caller
    -- that goes on to its next route never holds one row while it waits for another.
    BEGIN
        INSERT INTO tiny_dancer.route_passes AS p (route_id, window_start, passed)
        VALUES (route, clock_timestamp(), 1)
        ON CONFLICT (route_id) DO UPDATE SET
            passed = CASE WHEN p.window_start + span <= clock_timestamp() THEN 1 ELSE p.passed + 1 END,
            window_start = CASE WHEN p.window_start + span <= clock_timestamp()
                                THEN clock_timestamp() ELSE p.window_start END
        WHERE p.window_start + span <= clock_timestamp() OR p.passed < allowed;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the rate limit of the route is reached' USING ERRCODE = 'TD003';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'TD003' OR foreign_key_violation THEN
            RETURN false;
    END;
    RETURN true;
END
$$;
COMMENT ON FUNCTION tiny_dancer.take_route_pass(bigint) IS
    'internal: counts a pass of a route, and says whether its rate limit allows it';
