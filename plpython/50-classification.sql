-- Classifying requests: what kind they are, and what they need.

CREATE FUNCTION @extschema@.ruvector_classify_request(
    request text,
    embedding real[] DEFAULT NULL,
    classifier text DEFAULT 'requests'
) RETURNS jsonb
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 200
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].classify_request(request, embedding, classifier)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_classify_request(text, real[], text) IS
    'which kind of request it is: all classes with their probabilities, the likeliest first';

CREATE FUNCTION @extschema@.ruvector_classify_capabilities(
    request text,
    embedding real[] DEFAULT NULL,
    threshold float8 DEFAULT 0.5,
    classifier text DEFAULT 'capabilities',
    OUT capability text,
    OUT probability float8
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 200 ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].classify_capabilities(request, embedding, threshold, classifier)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_classify_capabilities(text, real[], float8, text) IS
    'which capabilities the request needs, each with its probability, the likeliest first';

-- What reads a query of the caller has no SET clause, so that the query runs on the caller's search path; and
-- what reads it is STABLE, so that the query can not write.
CREATE FUNCTION tiny_dancer.labelled_texts(
    query text,
    OUT content text,
    OUT label text
) RETURNS SETOF record
LANGUAGE plpython3u STABLE PARALLEL UNSAFE COST 100000 ROWS 1000
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].labelled_texts(query)
$$;
COMMENT ON FUNCTION tiny_dancer.labelled_texts(text) IS
    'internal: the rows (text, label) of a query, read as the caller and without writing';

CREATE FUNCTION @extschema@.ruvector_train_classifier(
    query text,
    name text DEFAULT 'requests',
    multi_label boolean DEFAULT false,
    OUT metric text,
    OUT value float8
) RETURNS SETOF record
LANGUAGE plpython3u VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 6
AS $$
if 'tiny_dancer/@VERSION@' not in GD: plpy.execute('SELECT tiny_dancer.boot()')
return GD['tiny_dancer/@VERSION@'].train_classifier(query, name, multi_label)
$$;
COMMENT ON FUNCTION @extschema@.ruvector_train_classifier(text, text, boolean) IS
    'trains a classifier from the rows (text, label) of a query and makes it the active one of its name; of a multi-label classifier the labels of equal texts belong together';
