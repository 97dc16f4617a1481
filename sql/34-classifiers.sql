-- Trained classifiers. Weights are raw 32-bit floats with their shapes and a checksum; nothing is ever unpickled.

CREATE TABLE tiny_dancer.classifiers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (pg_catalog.length(name) BETWEEN 1 AND 200),
    model_id bigint NOT NULL REFERENCES tiny_dancer.models ON DELETE CASCADE,
    multi_label boolean NOT NULL,
    classes text[] NOT NULL CHECK (pg_catalog.cardinality(classes) >= 1),
    weights bytea NOT NULL,
    metrics jsonb NOT NULL,
    trained_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    active boolean NOT NULL DEFAULT false,
    from_starting_corpus boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX classifiers_one_active ON tiny_dancer.classifiers (name) WHERE active;
COMMENT ON TABLE tiny_dancer.classifiers IS 'trained classifiers of requests, of each name at most one active';
COMMENT ON COLUMN tiny_dancer.classifiers.model_id IS 'the embedding model whose vectors it was trained on';
COMMENT ON COLUMN tiny_dancer.classifiers.from_starting_corpus IS
    'trained by tiny_dancer.setup() from the texts that come with the extension';
COMMENT ON COLUMN tiny_dancer.classifiers.weights IS 'weights with their shapes and checksum; see tiny_dancer.weights in the package';
REVOKE ALL ON tiny_dancer.classifiers FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.classifiers
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('classifiers');
ALTER TABLE tiny_dancer.classifiers ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.classifiers
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('classifiers');
ALTER TABLE tiny_dancer.classifiers ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.classifiers', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.classifiers_id_seq', '');
