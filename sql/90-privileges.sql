-- Nothing is for PUBLIC. Two levels of rights are handed out by role and remembered, because grants made in an
-- update script do not survive a dump: tiny_dancer.regrant() gives the remembered roles what is new.

CREATE TABLE tiny_dancer.granted_roles (
    role_name name NOT NULL,
    level text NOT NULL CHECK (level IN ('usage', 'admin')),
    PRIMARY KEY (role_name, level)
);
COMMENT ON TABLE tiny_dancer.granted_roles IS 'roles that grant_usage() and grant_admin() gave rights to';
REVOKE ALL ON tiny_dancer.granted_roles FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.granted_roles', '');

CREATE FUNCTION tiny_dancer.privileges(
    OUT level text,
    OUT kind text,
    OUT object text,
    OUT rights text
) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 40
BEGIN ATOMIC
    SELECT * FROM (VALUES
        ('usage', 'function', 'ruvector_acquire', 'EXECUTE'),
        ('usage', 'function', 'ruvector_batch_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_budget_status', 'EXECUTE'),
        ('usage', 'function', 'ruvector_check_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_classify_capabilities', 'EXECUTE'),
        ('usage', 'function', 'ruvector_classify_request', 'EXECUTE'),
        ('usage', 'function', 'ruvector_embed', 'EXECUTE'),
        ('usage', 'function', 'ruvector_embed_batch', 'EXECUTE'),
        ('usage', 'function', 'ruvector_explain_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_find_agents_by_capability', 'EXECUTE'),
        ('usage', 'function', 'ruvector_get_agent', 'EXECUTE'),
        ('usage', 'function', 'ruvector_list_agents', 'EXECUTE'),
        ('usage', 'function', 'ruvector_list_capability_aliases', 'EXECUTE'),
        ('usage', 'function', 'ruvector_list_routes', 'EXECUTE'),
        ('usage', 'function', 'ruvector_optimize_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_pool_status', 'EXECUTE'),
        ('usage', 'function', 'ruvector_predict_quality', 'EXECUTE'),
        ('usage', 'function', 'ruvector_record_feedback', 'EXECUTE'),
        ('usage', 'function', 'ruvector_record_usage', 'EXECUTE'),
        ('usage', 'function', 'ruvector_release', 'EXECUTE'),
        ('usage', 'function', 'ruvector_release_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_renew', 'EXECUTE'),
        ('usage', 'function', 'ruvector_reserve_budget', 'EXECUTE'),
        ('usage', 'function', 'ruvector_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_route_fits', 'EXECUTE'),
        ('usage', 'function', 'ruvector_route_multi', 'EXECUTE'),
        ('usage', 'function', 'ruvector_router_models', 'EXECUTE'),
        ('usage', 'function', 'ruvector_routing_analytics', 'EXECUTE'),
        ('usage', 'function', 'ruvector_routing_stats', 'EXECUTE'),
        ('usage', 'function', 'ruvector_semantic_route', 'EXECUTE'),
        ('usage', 'function', 'ruvector_settle_budget', 'EXECUTE'),
        ('usage', 'function', 'agent_budgets', 'EXECUTE'),
        ('usage', 'function', 'agent_health', 'EXECUTE'),
        ('usage', 'function', 'agent_load', 'EXECUTE'),
        ('usage', 'function', 'agent_outcomes', 'EXECUTE'),
        ('usage', 'function', 'are_tags', 'EXECUTE'),
        ('usage', 'function', 'baseline_agent', 'EXECUTE'),
        ('usage', 'function', 'batch_route', 'EXECUTE'),
        ('usage', 'function', 'blended', 'EXECUTE'),
        ('usage', 'function', 'boot', 'EXECUTE'),
        ('usage', 'function', 'breaker_cooldown', 'EXECUTE'),
        ('usage', 'function', 'breaker_rules', 'EXECUTE'),
        ('usage', 'function', 'breaker_state', 'EXECUTE'),
        ('usage', 'function', 'bucket_latency', 'EXECUTE'),
        ('usage', 'function', 'budget_balances', 'EXECUTE'),
        ('usage', 'function', 'budget_scopes', 'EXECUTE'),
        ('usage', 'function', 'check_cost', 'EXECUTE'),
        ('usage', 'function', 'check_feedback', 'EXECUTE'),
        ('usage', 'function', 'check_outcome', 'EXECUTE'),
        ('usage', 'function', 'check_tags', 'EXECUTE'),
        ('usage', 'function', 'decided', 'EXECUTE'),
        ('usage', 'function', 'doctor', 'EXECUTE'),
        ('usage', 'function', 'exhausted_routes', 'EXECUTE'),
        ('usage', 'function', 'first_instant', 'EXECUTE'),
        ('usage', 'function', 'has_whole_hours', 'EXECUTE'),
        ('usage', 'function', 'is_plain_outcome', 'EXECUTE'),
        ('usage', 'function', 'latency_bucket', 'EXECUTE'),
        ('usage', 'function', 'list_settings', 'EXECUTE'),
        ('usage', 'function', 'load_library', 'EXECUTE'),
        ('usage', 'function', 'numbers_as_stored', 'EXECUTE'),
        ('usage', 'function', 'outcomes_since', 'EXECUTE'),
        ('usage', 'function', 'raise_unknown_agent', 'EXECUTE'),
        ('usage', 'function', 'rate_limit', 'EXECUTE'),
        ('usage', 'function', 'record_request_vector', 'EXECUTE'),
        ('usage', 'function', 'refusal_detail', 'EXECUTE'),
        ('usage', 'function', 'refuse_lease_writes', 'EXECUTE'),
        ('usage', 'function', 'registry_mark', 'EXECUTE'),
        ('usage', 'function', 'require_agent', 'EXECUTE'),
        ('usage', 'function', 'require_writable', 'EXECUTE'),
        ('usage', 'function', 'rolled_period', 'EXECUTE'),
        ('usage', 'function', 'rolled_usage', 'EXECUTE'),
        ('usage', 'function', 'route', 'EXECUTE'),
        ('usage', 'function', 'routes_mark', 'EXECUTE'),
        ('usage', 'function', 'semantic_route', 'EXECUTE'),
        ('usage', 'function', 'slot_holders', 'EXECUTE'),
        ('usage', 'function', 'tag_budgets', 'EXECUTE'),
        ('usage', 'function', 'take_route_pass', 'EXECUTE'),
        ('usage', 'function', 'take_slot', 'EXECUTE'),
        ('usage', 'function', 'to_halfvec', 'EXECUTE'),
        ('usage', 'function', 'to_vector', 'EXECUTE'),
        ('usage', 'function', 'vector_bytes', 'EXECUTE'),
        ('usage', 'function', 'vectors_as_stored', 'EXECUTE'),
        ('usage', 'function', 'warmup', 'EXECUTE'),
        ('usage', 'function', 'window_end', 'EXECUTE'),
        ('usage', 'function', 'window_start', 'EXECUTE'),
        ('usage', 'table', 'agent_embeddings', 'SELECT'),
        ('usage', 'table', 'agents', 'SELECT'),
        ('usage', 'table', 'breaker_events', 'SELECT'),
        ('usage', 'table', 'budget_charges', 'SELECT'),
        -- Not the ids of reservations: whoever knows one can end it.
        ('usage', 'table', 'budget_holds', 'SELECT (budget_id, window_start, amount, expires_at)'),
        ('usage', 'table', 'budgets', 'SELECT'),
        ('usage', 'table', 'capability_aliases', 'SELECT'),
        ('usage', 'table', 'classifiers', 'SELECT'),
        ('usage', 'table', 'decisions',
         'SELECT (id, decided_at, agent_id, route_name, tags, candidates, router_model_id, learned_quality), '
         'INSERT (id, agent_id, optimize_for, routed_by, route_name, tags, input_tokens, estimated_cost, candidates, '
         'expected_quality, propensities, propensity, request, router_model_id, learned_quality)'),
        ('usage', 'table', 'epochs', 'SELECT'),
        ('usage', 'table', 'feedback', 'SELECT, INSERT (usage_id, decision_id, quality)'),
        ('usage', 'table', 'foreseen_outcomes', 'SELECT, INSERT (usage_id, router_model_id, quality)'),
        ('usage', 'table', 'leases', 'SELECT (agent_id, acquired_at, expires_at, is_probe)'),
        ('usage', 'table', 'models', 'SELECT'),
        ('usage', 'table', 'request_vectors', 'INSERT (decision_id, usage_id, model_id, embedding, features)'),
        ('usage', 'table', 'route_heads', 'SELECT'),
        ('usage', 'table', 'route_indexes', 'SELECT'),
        ('usage', 'table', 'route_passes', 'SELECT'),
        ('usage', 'table', 'route_utterances', 'SELECT'),
        ('usage', 'table', 'router_models', 'SELECT'),
        ('usage', 'table', 'routes', 'SELECT'),
        ('usage', 'table', 'settings', 'SELECT'),
        ('usage', 'table', 'usage',
         'SELECT (id, recorded_at, agent_id, cost, success, latency_ms, quality, input_tokens, output_tokens, tags, '
         'decision_id, route_name), '
         'INSERT (agent_id, cost, success, latency_ms, quality, input_tokens, output_tokens, tags, decision_id, '
         'route_name, reservation_id, idempotency_key, request)'),
        ('usage', 'table', 'usage_keys', 'SELECT'),
        ('usage', 'table', 'usage_rollup_stale', 'SELECT'),
        ('usage', 'table', 'usage_rollup_state', 'SELECT'),
        ('usage', 'table', 'usage_rollups', 'SELECT'),
        ('usage', 'sequence', 'usage_ids', 'USAGE'),
        ('admin', 'function', 'ruvector_activate_route_fit', 'EXECUTE'),
        ('admin', 'function', 'ruvector_activate_router', 'EXECUTE'),
        ('admin', 'function', 'ruvector_calibrate_router', 'EXECUTE'),
        ('admin', 'function', 'ruvector_create_route', 'EXECUTE'),
        ('admin', 'function', 'ruvector_drop_capability_alias', 'EXECUTE'),
        ('admin', 'function', 'ruvector_drop_route', 'EXECUTE'),
        ('admin', 'function', 'ruvector_evaluate_routes', 'EXECUTE'),
        ('admin', 'function', 'ruvector_fit_routes', 'EXECUTE'),
        ('admin', 'function', 'ruvector_register_agent', 'EXECUTE'),
        ('admin', 'function', 'ruvector_remove_agent', 'EXECUTE'),
        ('admin', 'function', 'ruvector_replay', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_agent_active', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_budget', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_capability_alias', 'EXECUTE'),
        ('admin', 'function', 'ruvector_set_route_active', 'EXECUTE'),
        ('admin', 'function', 'ruvector_train_classifier', 'EXECUTE'),
        ('admin', 'function', 'ruvector_train_router', 'EXECUTE'),
        ('admin', 'function', 'capability_name', 'EXECUTE'),
        ('admin', 'function', 'check_period', 'EXECUTE'),
        ('admin', 'function', 'forget_pool_history', 'EXECUTE'),
        ('admin', 'function', 'halfvec_bytes', 'EXECUTE'),
        ('admin', 'function', 'judged_requests', 'EXECUTE'),
        ('admin', 'function', 'labelled_texts', 'EXECUTE'),
        ('admin', 'function', 'learnable_outcomes', 'EXECUTE'),
        ('admin', 'function', 'logged_decisions', 'EXECUTE'),
        ('admin', 'function', 'maintain', 'EXECUTE'),
        ('admin', 'function', 'raise_unknown_route', 'EXECUTE'),
        ('admin', 'function', 'recorded_requests', 'EXECUTE'),
        ('admin', 'function', 'request_texts', 'EXECUTE'),
        ('admin', 'function', 'reset_breaker', 'EXECUTE'),
        ('admin', 'function', 'set', 'EXECUTE'),
        ('admin', 'function', 'setup', 'EXECUTE'),
        ('admin', 'function', 'use_model', 'EXECUTE'),
        ('admin', 'table', 'agent_embeddings', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'agents', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'breaker_events', 'INSERT (agent_id, happened_at, event)'),
        -- Not when it was opened: a budget that seems to be opened is not charged with what was spent before.
        ('admin', 'table', 'budgets',
         'INSERT (agent_name, tag, period, limit_amount, time_zone), UPDATE (limit_amount, time_zone, updated_at), '
         'DELETE'),
        ('admin', 'table', 'capability_aliases', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'classifiers', 'INSERT, UPDATE, DELETE'),
        -- Whoever replays or calibrates needs a grant on request_vectors, too: they are as sensitive as the text.
        ('admin', 'table', 'decisions',
         'SELECT (routed_by, input_tokens, expected_quality, propensities)'),
        ('admin', 'table', 'epochs', 'UPDATE'),
        ('admin', 'table', 'granted_roles', 'SELECT'),
        ('admin', 'table', 'leases', 'SELECT'),
        ('admin', 'table', 'models', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'route_heads', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'route_utterances', 'INSERT, DELETE'),
        ('admin', 'table', 'router_models', 'INSERT, UPDATE (active, activated_at), DELETE'),
        ('admin', 'table', 'router_training_requests', 'SELECT, INSERT, DELETE'),
        ('admin', 'table', 'routes', 'INSERT, UPDATE, DELETE'),
        ('admin', 'table', 'settings', 'INSERT, UPDATE, DELETE'),
        ('admin', 'sequence', 'epoch_values', 'USAGE')
    ) AS granted (level, kind, object, rights);
END;
COMMENT ON FUNCTION tiny_dancer.privileges() IS
    'what a level of rights comprises; admin has what usage has, too';

CREATE FUNCTION tiny_dancer.grant_level(role_name name, level text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    installed_in regnamespace;
    granted record;
    target regprocedure;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA tiny_dancer TO %I', role_name);
    FOR installed_in IN
        SELECT DISTINCT e.extnamespace FROM pg_extension e WHERE e.extname IN ('tiny_dancer', 'vector')
    LOOP
        IF NOT has_schema_privilege(role_name, installed_in, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', installed_in, role_name);
        END IF;
    END LOOP;
    FOR granted IN
        SELECT p.* FROM tiny_dancer.privileges() p WHERE p.level IN ('usage', grant_level.level)
    LOOP
        IF granted.kind = 'function' THEN
            FOR target IN
                SELECT d.objid::regprocedure
                FROM pg_depend d
                JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
                JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
                WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e' AND p.proname = granted.object
            LOOP
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', target, role_name);
            END LOOP;
        ELSE
            EXECUTE format('GRANT %s ON %s tiny_dancer.%I TO %I',
                           granted.rights, granted.kind, granted.object, role_name);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tiny_dancer.grant_level(name, text) IS 'internal: gives a role the rights of a level';

CREATE FUNCTION tiny_dancer.grant_remembered(role_name name, level text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role_name IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) THEN
        RAISE EXCEPTION 'unknown role %', coalesce(quote_literal(role_name), 'NULL')
            USING ERRCODE = '42704', HINT = 'Create the role first.';
    END IF;
    PERFORM tiny_dancer.grant_level(role_name, level);
    INSERT INTO tiny_dancer.granted_roles VALUES (role_name, level) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION tiny_dancer.grant_remembered(name, text) IS
    'internal: gives an existing role the rights of a level and remembers it';

CREATE FUNCTION tiny_dancer.grant_usage(role_name name) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT tiny_dancer.grant_remembered(role_name, 'usage');
END;
COMMENT ON FUNCTION tiny_dancer.grant_usage(name) IS 'lets a role route, record outcomes and feedback, reserve and spend budgets, take slots, and look at all of that; remembered for regrant()';

CREATE FUNCTION tiny_dancer.grant_admin(role_name name) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT tiny_dancer.grant_remembered(role_name, 'admin');
END;
COMMENT ON FUNCTION tiny_dancer.grant_admin(name) IS 'lets a role also change agents, pools, routes, budgets, models and settings, train, and replay; remembered for regrant()';

CREATE FUNCTION tiny_dancer.regrant() RETURNS SETOF name
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remembered tiny_dancer.granted_roles;
BEGIN
    FOR remembered IN SELECT * FROM tiny_dancer.granted_roles ORDER BY 1, 2 LOOP
        IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = remembered.role_name) THEN
            PERFORM tiny_dancer.grant_level(remembered.role_name, remembered.level);
            RETURN NEXT remembered.role_name;
        ELSE
            RAISE WARNING 'role % no longer exists', quote_literal(remembered.role_name)
                USING HINT = 'Delete it from tiny_dancer.granted_roles, or create it again.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tiny_dancer.regrant() IS
    'gives the roles of grant_usage() and grant_admin() what is new; run it after an update or a restore';

CREATE FUNCTION tiny_dancer.has_rights(
    role_name name,
    kind text,
    object text,
    rights text
) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind = 'function' THEN
        RETURN NOT EXISTS (
            SELECT FROM pg_depend d
            JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
            JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
            WHERE e.extname = 'tiny_dancer' AND d.deptype = 'e' AND p.proname = object
                  AND NOT has_function_privilege(role_name, p.oid, 'EXECUTE'));
    END IF;
    -- Each right with its columns, if it is for some columns only: {INSERT,"agent_id, cost"}.
    RETURN NOT EXISTS (
        SELECT FROM regexp_matches(rights, '([A-Z]+)(?: \(([^)]*)\))?', 'g') AS stated (parts)
        WHERE CASE
            WHEN kind = 'sequence' THEN NOT has_sequence_privilege(role_name, 'tiny_dancer.' || object, parts[1])
            WHEN parts[2] IS NULL THEN NOT has_table_privilege(role_name, 'tiny_dancer.' || object, parts[1])
            ELSE EXISTS (
                SELECT FROM string_to_table(parts[2], ', ') AS column_name
                WHERE NOT has_column_privilege(role_name, 'tiny_dancer.' || object, column_name, parts[1])) END);
END
$$;
COMMENT ON FUNCTION tiny_dancer.has_rights(name, text, text, text) IS
    'internal: whether a role has what a row of tiny_dancer.privileges() gives';

CREATE FUNCTION tiny_dancer.missing_rights(
    OUT role_name name,
    OUT level text,
    OUT missing text
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
    SELECT g.role_name, g.level, p.rights || ' on ' || p.kind || ' ' || p.object
    FROM tiny_dancer.granted_roles g
    JOIN pg_catalog.pg_roles r ON r.rolname = g.role_name
    JOIN tiny_dancer.privileges() p ON p.level IN ('usage', g.level)
    WHERE NOT tiny_dancer.has_rights(g.role_name, p.kind, p.object, p.rights)
    ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION tiny_dancer.missing_rights() IS
    'what roles of grant_usage() and grant_admin() lack of their level; tiny_dancer.regrant() gives it to them';
