-- What was recorded, as replaying another policy and calibrating the dial need it.

CREATE FUNCTION tiny_dancer.logged_decisions(
    after timestamptz,
    until timestamptz,
    embedding_model bigint,
    most integer,
    OUT agent_id bigint,
    OUT routed_by text,
    OUT input_tokens integer,
    OUT candidates bigint[],
    OUT expected_quality real[],
    OUT propensities real[],
    OUT embedding bytea,
    OUT features real[],
    OUT quality float8,
    OUT cost float8
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 COST 100000
BEGIN ATOMIC
    -- Ids are random, so the least of them are an even sample, and the same one each time.
    WITH drawn AS (
        SELECT d.id, d.agent_id, d.routed_by, d.input_tokens, d.candidates, d.expected_quality, d.propensities
        FROM tiny_dancer.decisions d
        WHERE d.decided_at > after AND d.decided_at <= until
        ORDER BY d.id
        LIMIT most
    )
    SELECT d.agent_id, d.routed_by, d.input_tokens, d.candidates, d.expected_quality, d.propensities,
           tiny_dancer.halfvec_bytes(v.embedding), v.features, COALESCE(f.quality, o.quality), o.cost
    FROM drawn d
    LEFT JOIN LATERAL (
        SELECT r.embedding, r.features
        FROM tiny_dancer.request_vectors r
        WHERE r.decision_id = d.id AND r.model_id = embedding_model
        ORDER BY r.recorded_at
        LIMIT 1
    ) v ON true
    -- A decision cost what all its attempts did, and achieved what the last one did.
    LEFT JOIN LATERAL (
        SELECT pg_catalog.sum(u.cost) AS cost, pg_catalog.max(u.id) AS last_id,
               (pg_catalog.array_agg(COALESCE(u.quality, u.success::integer::float8) ORDER BY u.id DESC))[1]
                   AS quality
        FROM tiny_dancer.usage u
        WHERE u.decision_id = d.id
    ) o ON true
    LEFT JOIN LATERAL (
        SELECT g.quality
        FROM (
            SELECT b.id, b.quality FROM tiny_dancer.feedback b WHERE b.usage_id = o.last_id
            UNION ALL
            SELECT b.id, b.quality FROM tiny_dancer.feedback b WHERE b.decision_id = d.id
        ) g
        ORDER BY g.id DESC
        LIMIT 1
    ) f ON true;
END;
COMMENT ON FUNCTION tiny_dancer.logged_decisions(timestamptz, timestamptz, bigint, integer) IS
    'internal: recorded decisions with their request and what they led to; embedding is NULL where none by this model was recorded';

CREATE FUNCTION tiny_dancer.recorded_requests(
    after timestamptz,
    embedding_model bigint,
    most integer,
    OUT input_tokens integer,
    OUT embedding bytea,
    OUT features real[]
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 COST 100000
BEGIN ATOMIC
    WITH drawn AS (
        SELECT d.id, d.input_tokens
        FROM tiny_dancer.decisions d
        WHERE d.decided_at > after
        ORDER BY d.id
        LIMIT most
    )
    SELECT d.input_tokens, tiny_dancer.halfvec_bytes(v.embedding), v.features
    FROM drawn d
    CROSS JOIN LATERAL (
        SELECT r.embedding, r.features
        FROM tiny_dancer.request_vectors r
        WHERE r.decision_id = d.id AND r.model_id = embedding_model
        ORDER BY r.recorded_at
        LIMIT 1
    ) v;
END;
COMMENT ON FUNCTION tiny_dancer.recorded_requests(timestamptz, bigint, integer) IS
    'internal: length and embedding of the requests of recorded decisions, an even sample where there are more';
