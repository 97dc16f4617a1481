-- Router models: what they are trained from, which there are, and what came in since.

CREATE FUNCTION tiny_dancer.learnable_outcomes(
    embedding_model bigint,
    most integer,
    OUT usage_id bigint,
    OUT agent_id bigint,
    OUT quality float8,
    OUT embedding bytea,
    OUT features real[]
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 COST 100000
BEGIN ATOMIC
    WITH recent AS (
        SELECT u.id, u.agent_id, u.decision_id, u.success, u.quality
        FROM tiny_dancer.usage u
        JOIN tiny_dancer.agents a ON a.id = u.agent_id AND a.removed_at IS NULL
        ORDER BY u.recorded_at DESC, u.id DESC
        LIMIT most
    ),
    -- As in tiny_dancer.agent_outcomes(): feedback on a decision judges its last outcome.
    judged AS (
        SELECT DISTINCT ON (f.id) f.id, f.quality
        FROM (
            SELECT r.id, g.quality, g.id AS feedback_id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.usage_id = r.id
            UNION ALL
            SELECT r.id, g.quality, g.id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.decision_id = r.decision_id
            WHERE NOT EXISTS (
                SELECT FROM tiny_dancer.usage later
                WHERE later.decision_id = r.decision_id AND later.id > r.id)
        ) f
        ORDER BY f.id, f.feedback_id DESC
    ),
    vectors AS (
        SELECT DISTINCT ON (n.id) n.id, n.embedding, n.features
        FROM (
            SELECT r.id, v.embedding, v.features, v.recorded_at
            FROM recent r
            JOIN tiny_dancer.request_vectors v ON v.usage_id = r.id AND v.model_id = embedding_model
            UNION ALL
            SELECT r.id, v.embedding, v.features, v.recorded_at
            FROM recent r
            JOIN tiny_dancer.request_vectors v ON v.decision_id = r.decision_id AND v.model_id = embedding_model
        ) n
        ORDER BY n.id, n.recorded_at
    )
    SELECT r.id, r.agent_id, COALESCE(j.quality, r.quality, r.success::integer::float8),
           tiny_dancer.halfvec_bytes(v.embedding), v.features
    FROM recent r
    LEFT JOIN judged j ON j.id = r.id
    LEFT JOIN vectors v ON v.id = r.id;
END;
COMMENT ON FUNCTION tiny_dancer.learnable_outcomes(bigint, integer) IS
    'the latest outcomes of living agents with what is known of their requests; embedding is NULL where none by this model was recorded';

CREATE FUNCTION tiny_dancer.outcomes_since(
    router_model bigint,
    since bigint,
    most integer DEFAULT 300,
    OUT agent_id bigint,
    OUT outcomes bigint,
    OUT quality float8,
    OUT foreseen bigint,
    OUT foreseen_quality float8
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 10000
BEGIN ATOMIC
    WITH recent AS (
        SELECT a.id AS agent_id, u.id, u.decision_id, u.success, u.quality
        FROM tiny_dancer.agents a
        CROSS JOIN LATERAL (
            SELECT r.id, r.decision_id, r.success, r.quality
            FROM tiny_dancer.usage r
            WHERE r.agent_id = a.id AND r.id > since
            ORDER BY r.recorded_at DESC
            LIMIT most
        ) u
        WHERE a.removed_at IS NULL
    ),
    judged AS (
        SELECT DISTINCT ON (f.id) f.id, f.quality
        FROM (
            SELECT r.id, g.quality, g.id AS feedback_id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.usage_id = r.id
            UNION ALL
            SELECT r.id, g.quality, g.id
            FROM recent r
            JOIN tiny_dancer.feedback g ON g.decision_id = r.decision_id
            WHERE NOT EXISTS (
                SELECT FROM tiny_dancer.usage later
                WHERE later.decision_id = r.decision_id AND later.id > r.id)
        ) f
        ORDER BY f.id, f.feedback_id DESC
    ),
    predicted AS (
        SELECT r.id, pg_catalog.min(p.quality) AS quality
        FROM recent r
        JOIN LATERAL (
            SELECT d.learned_quality[pg_catalog.array_position(d.candidates, r.agent_id)] AS quality
            FROM tiny_dancer.decisions d
            WHERE d.id = r.decision_id AND d.router_model_id = router_model
            UNION ALL
            SELECT f.quality
            FROM tiny_dancer.foreseen_outcomes f
            WHERE f.usage_id = r.id AND f.router_model_id = router_model
        ) p ON p.quality BETWEEN 0 AND 1
        GROUP BY r.id
    )
    SELECT r.agent_id,
           pg_catalog.count(*),
           pg_catalog.avg(COALESCE(j.quality, r.quality, r.success::integer::float8)),
           pg_catalog.count(p.quality),
           pg_catalog.avg(p.quality)::float8
    FROM recent r
    LEFT JOIN judged j ON j.id = r.id
    LEFT JOIN predicted p ON p.id = r.id
    GROUP BY r.agent_id;
END;
COMMENT ON FUNCTION tiny_dancer.outcomes_since(bigint, bigint, integer) IS
    'internal: the latest outcomes of each living agent since a router model was trained, their mean quality, and what the model expected of those whose request it saw';

CREATE FUNCTION @extschema@.ruvector_router_models(
    OUT id bigint,
    OUT predictor text,
    OUT active boolean,
    OUT embedding_model text,
    OUT is_current boolean,
    OUT agents text[],
    OUT requests integer,
    OUT outcomes integer,
    OUT held_back integer,
    OUT loss float8,
    OUT means_loss float8,
    OUT prior_loss float8,
    OUT brier float8,
    OUT calibration_error float8,
    OUT prediction_us float8,
    OUT seed integer,
    OUT bytes integer,
    OUT created_at timestamptz,
    OUT created_by text,
    OUT activated_at timestamptz,
    OUT metrics jsonb
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10 COST 1000
BEGIN ATOMIC
    SELECT r.id, r.predictor, r.active, m.name, m.active,
           ARRAY(SELECT a.name FROM tiny_dancer.agents a
                 WHERE a.id = ANY (r.agent_ids) AND a.removed_at IS NULL
                 ORDER BY a.name COLLATE "C"),
           r.requests, r.outcomes, r.held_back,
           (r.metrics ->> 'loss')::float8, (r.metrics ->> 'means_loss')::float8,
           (r.metrics ->> 'prior_loss')::float8, (r.metrics ->> 'brier')::float8,
           (r.metrics ->> 'calibration_error')::float8,
           r.prediction_us, r.seed, pg_catalog.octet_length(r.weights),
           r.created_at, r.created_by::text, r.activated_at, r.metrics
    FROM tiny_dancer.router_models r
    JOIN tiny_dancer.models m ON m.id = r.model_id
    ORDER BY r.id DESC;
END;
COMMENT ON FUNCTION @extschema@.ruvector_router_models() IS
    'the trained router models, the newest first, with what was measured on the requests held back from each';
