-- The embedding models that this database knows. The file of a model is found by its name under the folder
-- that the server's installation fixes; no path is stored.

CREATE TABLE tiny_dancer.models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
    provider text NOT NULL CHECK (provider IN ('onnx', 'static', 'service', 'external', 'hashing')),
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 16000),
    checksum text CHECK (checksum ~ '^[0-9a-f]{64}$'),
    active boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE (id, dimension),
    CHECK ((provider IN ('onnx', 'static', 'service')) = (checksum IS NOT NULL))
);
CREATE UNIQUE INDEX models_one_active ON tiny_dancer.models (active) WHERE active;
COMMENT ON TABLE tiny_dancer.models IS 'embedding models; at most one is active, and every stored vector names its model';
COMMENT ON COLUMN tiny_dancer.models.checksum IS 'of what decides the vectors of the model, NULL where nothing but its name does';
REVOKE ALL ON tiny_dancer.models FROM PUBLIC;

CREATE TRIGGER advance_epoch BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.models
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('models');
ALTER TABLE tiny_dancer.models ENABLE ALWAYS TRIGGER advance_epoch;
CREATE TRIGGER advance_epoch_again AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiny_dancer.models
    FOR EACH STATEMENT EXECUTE FUNCTION tiny_dancer.advance_epoch('models');
ALTER TABLE tiny_dancer.models ENABLE ALWAYS TRIGGER advance_epoch_again;

SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.models', '');
SELECT pg_catalog.pg_extension_config_dump('tiny_dancer.models_id_seq', '');
