-- Semantic routes: what requests mean that should go to an agent. The target is a name, since routes may be
-- made before the agents they lead to.

CREATE TABLE tiny_dancer.routes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
        CHECK (pg_catalog.length(name) BETWEEN 1 AND 200 AND name = pg_catalog.btrim(name)),
    description text NOT NULL CHECK (pg_catalog.btrim(description) <> ''),
    target_agent text NOT NULL CHECK (pg_catalog.length(target_agent) BETWEEN 1 AND 200),
    priority integer NOT NULL DEFAULT 0,
    threshold float8 CHECK (threshold BETWEEN -1 AND 1),
    conditions jsonb CHECK (pg_catalog.jsonb_typeof(conditions) = 'object'),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE tiny_dancer.routes IS 'semantic routes';
COMMENT ON COLUMN tiny_dancer.routes.target_agent IS 'name of the agent that takes the requests; it may be unknown';
COMMENT ON COLUMN tiny_dancer.routes.threshold IS 'least cosine similarity of a match, NULL for the default';
REVOKE ALL ON tiny_dancer.routes FROM PUBLIC;

-- The vectors that a route is known by. A row is never updated: backends and indexes know a vector by its id.
CREATE TABLE tiny_dancer.route_utterances (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    route_id bigint NOT NULL REFERENCES tiny_dancer.routes ON DELETE CASCADE,
    utterance text,
    model_id bigint NOT NULL REFERENCES tiny_dancer.models ON DELETE CASCADE,
    embedding vector NOT NULL,
    given boolean NOT NULL DEFAULT false,
    CHECK (NOT given OR utterance IS NULL)
);
CREATE INDEX route_utterances_route ON tiny_dancer.route_utterances (route_id);
COMMENT ON TABLE tiny_dancer.route_utterances IS 'unit vectors of semantic routes, by model';
COMMENT ON COLUMN tiny_dancer.route_utterances.utterance IS
    'the text of the vector; NULL where the vector is of the description, or was given';
COMMENT ON COLUMN tiny_dancer.route_utterances.given IS
    'the caller gave the vector, so it can not be made again with another model';
REVOKE ALL ON tiny_dancer.route_utterances FROM PUBLIC;

CREATE FUNCTION tiny_dancer.refuse_vector_update() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'a vector of a route can not be updated'
        USING ERRCODE = '55000', HINT = 'Delete the row and insert another, or create the route again.';
END
$$;
COMMENT ON FUNCTION tiny_dancer.refuse_vector_update() IS 'trigger: indexes know a vector by its id, so it never changes';
CREATE TRIGGER refuse_vector_update BEFORE UPDATE ON tiny_dancer.route_utterances
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.refuse_vector_update();
ALTER TABLE tiny_dancer.route_utterances ENABLE ALWAYS TRIGGER refuse_vector_update;

-- The passes that a rate limit counts, in the window that began with the first of them. Usage roles write here
-- only through tiny_dancer.take_route_pass().
CREATE TABLE tiny_dancer.route_passes (
    route_id bigint PRIMARY KEY REFERENCES tiny_dancer.routes ON DELETE CASCADE,
    window_start timestamptz NOT NULL,
    passed bigint NOT NULL CHECK (passed > 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE tiny_dancer.route_passes IS 'how often routes with a rate limit were taken in their present window';
REVOKE ALL ON tiny_dancer.route_passes FROM PUBLIC;

-- Indexes of hnswlib, built by tiny_dancer.rebuild_indexes() and loaded by backends. Native code reads them, so
-- nobody but the owner may write them.
CREATE TABLE tiny_dancer.route_indexes (
    model_id bigint PRIMARY KEY REFERENCES tiny_dancer.models ON DELETE CASCADE,
    built_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    vectors bigint NOT NULL CHECK (vectors > 0),
    checksum text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
    graph bytea NOT NULL
);
ALTER TABLE tiny_dancer.route_indexes ALTER COLUMN graph SET STORAGE EXTERNAL;
COMMENT ON TABLE tiny_dancer.route_indexes IS 'hnswlib indexes over the vectors of routes, by model';
REVOKE ALL ON tiny_dancer.route_indexes FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.routes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.routes ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.routes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.routes ENABLE ALWAYS TRIGGER advance_epoch_again;
CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_utterances
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_utterances ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_utterances
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_utterances ENABLE ALWAYS TRIGGER advance_epoch_again;
CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_indexes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_indexes ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.route_indexes
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('routes');
ALTER TABLE tiny_dancer.route_indexes ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.routes', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.routes_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_utterances', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_utterances_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.route_passes', '');
