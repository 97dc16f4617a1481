-- What an administrator runs.

CREATE FUNCTION tiny_dancer.setup(
    model text DEFAULT NULL,
    OUT step text,
    OUT outcome text
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 100000 ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].setup(model)
$$;
COMMENT ON FUNCTION tiny_dancer.setup(text) IS
    'makes the database ready to route: activates the embedding model that is installed, embeds agents, trains the first classifiers; can be repeated';

CREATE FUNCTION tiny_dancer.doctor(
    OUT subject text,
    OUT ok boolean,
    OUT finding text,
    OUT remedy text
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 100000 ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].doctor()
$$;
COMMENT ON FUNCTION tiny_dancer.doctor() IS
    'checks what the extension needs on this host and in this database; each line is ok or says what to do';

CREATE FUNCTION tiny_dancer.warmup(
    OUT subject text,
    OUT milliseconds float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 100000 ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].warmup()
$$;
COMMENT ON FUNCTION tiny_dancer.warmup() IS
    'loads the library, the registry and the model into this backend ahead of the first request; says what took how long';

CREATE FUNCTION tiny_dancer.set(
    name text,
    value text
) RETURNS text
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].set_setting(name, value)
$$;
COMMENT ON FUNCTION tiny_dancer.set(text, text) IS
    'changes a setting of this database; a NULL value returns it to its default';

CREATE FUNCTION tiny_dancer.list_settings(
    OUT name text,
    OUT value text,
    OUT default_value text,
    OUT minimum float8,
    OUT maximum float8,
    OUT meaning text
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL UNSAFE ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].list_settings()
$$;
COMMENT ON FUNCTION tiny_dancer.list_settings() IS
    'every setting with its value, its default and its bounds';
