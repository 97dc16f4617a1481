-- Embedding text, and the models that do it.

CREATE FUNCTION @extschema@.ruvector_embed(
    content text
) RETURNS vector
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 2000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].embed(content)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_embed(text) IS
    'unit vector of the text by the active embedding model';

CREATE FUNCTION @extschema@.ruvector_embed_batch(
    contents text[],
    OUT ordinal integer,
    OUT embedding vector
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 100000 ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].embed_batch(contents)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_embed_batch(text[]) IS
    'unit vectors of the texts, in order, each the same as by ruvector_embed';

CREATE FUNCTION tiny_dancer.use_model(
    name text,
    provider text DEFAULT NULL,
    dimension integer DEFAULT NULL,
    discard boolean DEFAULT false
) RETURNS text
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].use_model(name, provider, dimension, discard)
$$;
COMMENT ON FUNCTION tiny_dancer.use_model(text, text, integer, boolean) IS
    'makes an embedding model the active one and embeds agents and routes with it, in one transaction; discard drops vectors that can not be made again';
