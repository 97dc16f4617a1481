-- Semantic routes, learned from examples and measured. Neither has a SET clause: they read a query of the caller.

CREATE FUNCTION @extschema@.ruvector_fit_routes(
    query text,
    acceptance float8 DEFAULT 0.99,
    seed bigint DEFAULT 0,
    OUT metric text,
    OUT value float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 12
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].fit_routes(query, acceptance, seed)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_fit_routes(text, float8, bigint) IS
    'fits the semantic routes to the rows (text, route_name) of a query, NULL for a text that means none of them';

CREATE FUNCTION @extschema@.ruvector_evaluate_routes(
    query text,
    OUT section text,
    OUT route_name text,
    OUT matched_route text,
    OUT metric text,
    OUT value float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].evaluate_routes(query)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_evaluate_routes(text) IS
    'how good the semantic routes are on the rows (text, route_name) of a query: totals, routes, worst confusions';
