-- The fits of the semantic routes: which there are, and which is used.

CREATE FUNCTION @extschema@.ruvector_route_fits(
    OUT id bigint,
    OUT model text,
    OUT fitted_at timestamptz,
    OUT active boolean,
    OUT routes integer,
    OUT acceptance float8,
    OUT seed bigint,
    OUT metrics jsonb
) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 5
BEGIN ATOMIC
    SELECT h.id, m.name, h.fitted_at, h.active, pg_catalog.cardinality(h.route_ids), h.acceptance, h.seed, h.metrics
    FROM tiny_dancer.route_heads h JOIN tiny_dancer.models m ON m.id = h.model_id
    ORDER BY h.id DESC;
END;
COMMENT ON FUNCTION @extschema@.ruvector_route_fits() IS
    'the fits of the semantic routes, the latest first, with what was measured on examples held back';

CREATE FUNCTION @extschema@.ruvector_activate_route_fit(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Waits for whoever changes routes, so that what follows sees what they did.
    UPDATE tiny_dancer.route_heads SET active = false WHERE false;
    IF id IS NOT NULL AND NOT EXISTS (
        SELECT FROM tiny_dancer.route_heads h WHERE h.id = ruvector_activate_route_fit.id
    ) THEN
        RAISE EXCEPTION 'unknown route fit %', id
            USING ERRCODE = '42704', HINT = 'ruvector_route_fits() shows the fits.';
    END IF;
    UPDATE tiny_dancer.route_heads h SET active = false
    WHERE h.active AND (ruvector_activate_route_fit.id IS NULL OR h.model_id = (
        SELECT o.model_id FROM tiny_dancer.route_heads o WHERE o.id = ruvector_activate_route_fit.id));
    UPDATE tiny_dancer.route_heads h SET active = true WHERE h.id = ruvector_activate_route_fit.id;
    RETURN id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.ruvector_activate_route_fit(bigint) IS
    'uses a fit of the semantic routes instead of the present one of its model; NULL uses none';
