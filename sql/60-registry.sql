-- The part of the registry that needs no Python.

CREATE FUNCTION tiny_dancer.blended(
    prior float8,
    observed float8,
    observations bigint,
    prior_strength float8
) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- As the library does it for decisions: without observations the registered figure itself, unrounded.
    SELECT CASE
        WHEN observed IS NULL THEN prior
        WHEN prior IS NULL THEN observed
        ELSE (prior * prior_strength + observed * observations) / (prior_strength + observations) END;
END;
COMMENT ON FUNCTION tiny_dancer.blended(float8, float8, bigint, float8) IS
    'internal: a registered figure and an observed mean, weighed by their numbers of observations';

CREATE FUNCTION @extschema@.ruvector_list_agents(
    OUT name text,
    OUT agent_type text,
    OUT capabilities text[],
    OUT cost_per_1k_tokens float8,
    OUT cost_per_1k_output_tokens float8,
    OUT cost_per_call float8,
    OUT cost_per_second float8,
    OUT avg_latency_ms float8,
    OUT p99_latency_ms float8,
    OUT quality_score float8,
    OUT success_rate float8,
    OUT total_requests bigint,
    OUT pool text,
    OUT tags text[],
    OUT metadata jsonb,
    OUT active boolean
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    -- What only recorded outcomes can tell is NULL before the first, and not invented.
    WITH setting AS (
        SELECT COALESCE(pg_catalog.max(s.value), '20')::float8 AS prior_strength
        FROM tiny_dancer.settings s
        WHERE s.name = 'prior_strength'
    )
    SELECT a.name, a.agent_type, a.capabilities, a.cost_per_1k_tokens, a.cost_per_1k_output_tokens,
           a.cost_per_call, a.cost_per_second,
           tiny_dancer.blended(a.avg_latency_ms, o.avg_latency_ms, o.latencies, setting.prior_strength),
           o.p99_latency_ms,
           tiny_dancer.blended(a.quality_score, o.mean_quality, o.observations, setting.prior_strength),
           o.success_rate, (SELECT pg_catalog.count(*) FROM tiny_dancer.usage u WHERE u.agent_id = a.id),
           a.pool, a.tags, a.metadata, a.active
    FROM tiny_dancer.agents a
    CROSS JOIN setting
    LEFT JOIN tiny_dancer.agent_outcomes() o ON o.agent_id = a.id
    WHERE a.removed_at IS NULL
    ORDER BY a.name COLLATE "C";
END;
COMMENT ON FUNCTION @extschema@.ruvector_list_agents() IS
    'the living agents by name; prices in dollars; latency in milliseconds and quality are the registered ones moved by what was observed';

CREATE FUNCTION @extschema@.ruvector_get_agent(name text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_agent jsonb;
BEGIN
    SELECT to_jsonb(a) - 'id' - 'removed_at' INTO found_agent
    FROM tiny_dancer.agents a
    WHERE a.name = ruvector_get_agent.name AND a.removed_at IS NULL;
    IF found_agent IS NULL THEN
        PERFORM tiny_dancer.raise_unknown_agent(name);
    END IF;
    RETURN found_agent;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_get_agent(text) IS 'everything that is registered of an agent';

CREATE FUNCTION @extschema@.ruvector_remove_agent(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    UPDATE tiny_dancer.agents a SET removed_at = now(), active = false, updated_at = now()
    WHERE a.name = ruvector_remove_agent.name AND a.removed_at IS NULL
    RETURNING a.id INTO removed;
    IF removed IS NULL THEN
        PERFORM tiny_dancer.raise_unknown_agent(name);
    END IF;
    DELETE FROM tiny_dancer.agent_embeddings WHERE agent_id = removed;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_remove_agent(text) IS
    'removes an agent from the registry; what it did stays known, and its name registered again is a new agent';

CREATE FUNCTION @extschema@.ruvector_set_agent_active(name text, is_active boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_active IS NULL THEN
        RAISE EXCEPTION 'is_active must not be NULL' USING ERRCODE = '22023', HINT = 'Pass true or false.';
    END IF;
    UPDATE tiny_dancer.agents a SET active = is_active, updated_at = now()
    WHERE a.name = ruvector_set_agent_active.name AND a.removed_at IS NULL;
    IF NOT FOUND THEN
        PERFORM tiny_dancer.raise_unknown_agent(name);
    END IF;
    RETURN is_active;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_set_agent_active(text, boolean) IS
    'sets whether an agent may be chosen, and returns that';

CREATE FUNCTION tiny_dancer.raise_unknown_agent(name text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'unknown agent %', coalesce(quote_literal(left(name, 80)), 'NULL')
        USING ERRCODE = '42704', HINT = 'ruvector_list_agents() shows the registered agents.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.raise_unknown_agent(text) IS 'internal: the error that no living agent has the name';
